"""Read a checkpoint's weights off the main thread, and their digest where it is not known yet."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from ingest.checkpoints import Checkpoint, weight_files, weights_sha256
from ingest.errors import CheckpointError

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Arrival:
    """A checkpoint that is here, or the `problem` why it is not.

    `tensors` are its weights as its files name them, and None where these are in any way unusual.
    """

    checkpoint: Checkpoint
    problem: CheckpointError | None = None
    tensors: Tensors | None = None
    weights_sha256: str | None = None


def read(checkpoint: Checkpoint) -> Arrival:
    """The checkpoint with its weights in host memory: mapped, and read once by their digest."""
    if not weight_files(checkpoint.path):
        return Arrival(checkpoint)  # loading says what is wrong
    sha256 = checkpoint.weights_sha256
    try:
        sha256 = sha256 or weights_sha256(checkpoint.path)
    except OSError as error:
        problem = CheckpointError(f"{checkpoint.revision} cannot be read ({error}): run again")
        return Arrival(checkpoint, problem)
    return Arrival(checkpoint, None, read_tensors(checkpoint.path), sha256)


def read_tensors(folder: Path) -> Tensors | None:
    """Weights by their names in the files; None where a file is damaged or names come twice."""
    tensors: Tensors = {}
    for path in weight_files(folder):
        try:
            found = load_file(path) if path.suffix == ".safetensors" else _unpickled(path)
        except Exception:  # any library error: from_pretrained finds the words for it
            return None
        if tensors.keys() & found.keys() or not all(map(torch.is_tensor, found.values())):
            return None
        tensors |= found
    return tensors


def _unpickled(path: Path) -> Tensors:
    loaded: Tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return dict(loaded)

"""Fetch and read the next checkpoints while one is scored, only so many at once; free the done."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file

from ingest.errors import CheckpointError
from ingest.sources.checkpoints import Checkpoint, weight_files, weights_sha256
from ingest.sources.folder import Source

# Read a checkpoint's weights off the main thread, and their digest where it is not known yet.

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


_Coming = tuple[Checkpoint, Future[Checkpoint]]


def arriving(source: Source, todo: list[Checkpoint], at_once: int) -> Iterator[Arrival]:
    """Each checkpoint, in order, once it is on disk and read, or the reason why it cannot be.

    At most `at_once` are on disk, the one that the caller works on included; it is freed when the
    next one is asked for. The next one is read meanwhile. Raises OSError where the disk is full.
    """
    # One thread does all fetching and freeing, in order: a place is free before it is filled.
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fetch")
    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read")
    rest = iter(todo)
    freed: Future[None] | None = None
    coming: deque[_Coming] = deque()
    try:
        for checkpoint in islice(rest, at_once):
            coming.append((checkpoint, worker.submit(source.fetch, checkpoint)))
        following = _start_reading(reader, coming)
        while following:
            arrival = following.result()
            coming.popleft()
            following = _start_reading(reader, coming)
            checkpoint = arrival.checkpoint
            yield arrival
            if freed:
                freed.result()
            freed = worker.submit(source.free, checkpoint)
            for later in islice(rest, 1):
                coming.append((later, worker.submit(source.fetch, later)))
            following = following or _start_reading(reader, coming)
        if freed:
            freed.result()
    finally:
        # An interrupted run does not wait for the download: it is fetched anew next time.
        worker.shutdown(wait=False, cancel_futures=True)
        reader.shutdown(wait=False, cancel_futures=True)


def _start_reading(reader: ThreadPoolExecutor, coming: deque[_Coming]) -> Future[Arrival] | None:
    return reader.submit(_arrival, *coming[0]) if coming else None


def _arrival(checkpoint: Checkpoint, fetched: Future[Checkpoint]) -> Arrival:
    try:
        return read(fetched.result())
    except CheckpointError as error:
        return Arrival(checkpoint, problem=error)

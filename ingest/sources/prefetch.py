"""Fetch and read the next checkpoints while one is scored; free those that are scored."""

import hashlib
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import torch
from safetensors.torch import load_file

from ingest.errors import CheckpointError
from ingest.sources.checkpoint_files import joint_sha256, weight_digests, weight_files
from ingest.sources.revisions import Checkpoint
from ingest.sources.source import Source

Tensors = dict[str, torch.Tensor]
_SAMPLE = 4_096


@dataclass(frozen=True)
class FetchedCheckpoint:
    """A checkpoint whose files are on this machine, or the `problem` that prevented it.

    `tensors` are its weights under the names in its files, or None if the files are unusual in any
    way; loading the model then finds out what is wrong.
    """

    checkpoint: Checkpoint
    problem: CheckpointError | None = None
    tensors: Tensors | None = None
    weights_sha256: str | None = None


_Queue = deque[tuple[Checkpoint, Future[Checkpoint]]]


def fetch_ahead(
    source: Source, checkpoints: list[Checkpoint], at_once: int, pinned: bool = False
) -> Iterator[FetchedCheckpoint]:
    """Yields each checkpoint, in order, once it is on disk and read, or the reason why it is not.

    At most `at_once` are on disk, including the one that the caller works on, which is freed when
    the caller asks for the next. Raises OSError if the disk is full. `pinned` weights are read into
    page-locked memory, from which an accelerator copies while other work goes on.
    """
    # One thread fetches and frees, in order: space is released before it is needed again.
    fetcher = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fetch")
    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read")
    rest = iter(checkpoints)
    freed: Future[None] | None = None
    queue: _Queue = deque()
    try:
        for checkpoint in islice(rest, at_once):
            queue.append((checkpoint, fetcher.submit(source.fetch, checkpoint)))
        next_read = _start_reading(reader, queue, pinned)
        while next_read:
            fetched = next_read.result()
            queue.popleft()
            next_read = _start_reading(reader, queue, pinned)
            yield fetched
            if freed:
                freed.result()
            freed = fetcher.submit(source.free, fetched.checkpoint)
            for later in islice(rest, 1):
                queue.append((later, fetcher.submit(source.fetch, later)))
            next_read = next_read or _start_reading(reader, queue, pinned)
        if freed:
            freed.result()
    finally:
        # An interrupted run does not wait for a download; the next run starts it again.
        fetcher.shutdown(wait=False, cancel_futures=True)
        reader.shutdown(wait=False, cancel_futures=True)


def _start_reading(
    reader: ThreadPoolExecutor, queue: _Queue, pinned: bool
) -> Future[FetchedCheckpoint] | None:
    return reader.submit(_read_when_fetched, *queue[0], pinned) if queue else None


def _read_when_fetched(
    checkpoint: Checkpoint, fetched: Future[Checkpoint], pinned: bool
) -> FetchedCheckpoint:
    try:
        found = read_weights(fetched.result())
        return pin(found) if pinned else found
    except CheckpointError as error:
        return FetchedCheckpoint(checkpoint, problem=error)


def read_weights(checkpoint: Checkpoint) -> FetchedCheckpoint:
    """Map the checkpoint's weights into memory, and compute their digest if it is not known yet."""
    if not weight_files(checkpoint.path):
        return FetchedCheckpoint(checkpoint)  # loading says what is wrong
    sha256, before = checkpoint.weights_sha256, None
    try:
        if not sha256:
            before = _state(checkpoint.path)
            checkpoint = replace(checkpoint, weight_digests=weight_digests(checkpoint.path))
            sha256 = joint_sha256([digest for _, digest in checkpoint.weight_digests])
    except OSError as error:
        problem = CheckpointError(
            f"{checkpoint.revision} cannot be read ({error}): rerun the same command to retry"
        )
        return FetchedCheckpoint(checkpoint, problem)
    tensors = read_tensors(checkpoint.path)
    checkpoint = replace(checkpoint, tensor_samples=tensor_samples(tensors or {}))
    if before and before != _state(checkpoint.path):
        problem = CheckpointError(
            f"{checkpoint.revision} changed while it was read, by a running training for example: "
            "run the same command again when it is complete"
        )
        return FetchedCheckpoint(checkpoint, problem)
    return FetchedCheckpoint(checkpoint, None, tensors, sha256)


def tensor_samples(tensors: Tensors) -> tuple[tuple[str, str], ...]:
    """Name and digest of up to 4,096 evenly spaced elements of each tensor, in order of name.

    A step of training changes nearly every element, so two tensors that agree in these are equal.
    Tensors of one repeated value, such as norms before training, are left out: they are equal in
    unrelated models.
    """
    found = []
    for name, tensor in sorted(tensors.items()):
        if not tensor.numel():
            continue
        sample = tensor.detach().flatten()[:: max(tensor.numel() // _SAMPLE, 1)].contiguous()
        content = sample.view(torch.uint8).numpy().tobytes()
        if content[: tensor.element_size()] * len(sample) != content:
            found.append((name, hashlib.sha256(content).hexdigest()[:16]))
    return tuple(found)


def _state(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of the last change of each weight file."""
    stats = [(path.name, path.stat()) for path in weight_files(folder)]
    return [(name, s.st_size, s.st_mtime_ns) for name, s in stats]


def is_asynchronous(device: str) -> bool:
    """Does the device copy from page-locked memory while other work goes on?"""
    return torch.device(device).type in ("cuda", "xpu")


def pin(fetched: FetchedCheckpoint) -> FetchedCheckpoint:
    """The checkpoint with its weights in page-locked memory, or as it was if they are too large.

    Such memory cannot be swapped out, so weights beyond a quarter of this machine's stay a map of
    their file. torch keeps and reuses the memory.
    """
    tensors = fetched.tensors or {}
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    if sum(t.nbytes for t in tensors.values()) > limit:
        return fetched
    try:
        return replace(fetched, tensors={name: t.pin_memory() for name, t in tensors.items()})
    except RuntimeError:  # the system allows less
        return fetched


def read_tensors(folder: Path) -> Tensors | None:
    """Weights by their names; None if a file is damaged, holds anything but dense tensors, or
    shares a name with another file."""
    tensors: Tensors = {}
    for path in weight_files(folder):
        try:
            found = load_file(path) if path.suffix == ".safetensors" else _unpickle(path)
        except Exception:  # any library error: from_pretrained words it better
            return None
        if tensors.keys() & found.keys() or not all(map(is_dense, found.values())):
            return None
        tensors |= found
    return tensors


def is_dense(value: object) -> bool:
    """Is this a tensor as models have them, not a sparse one or another entry of a pickle?"""
    return isinstance(value, torch.Tensor) and value.layout == torch.strided


def _unpickle(path: Path) -> Tensors:
    loaded: Tensors = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return dict(loaded)

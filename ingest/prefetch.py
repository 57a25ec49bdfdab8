"""Fetch and read the next checkpoints while one is scored, only so many at once; free the done."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from ingest.checkpoints import Checkpoint
from ingest.errors import CheckpointError
from ingest.reading import Arrival, read
from ingest.sources import Source

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

"""Fetch the next checkpoints while one is scored, only so many at once; free what is done."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice

from ingest.checkpoints import Checkpoint
from ingest.errors import CheckpointError
from ingest.sources import Source

Arrival = tuple[Checkpoint, CheckpointError | None]


def arriving(source: Source, todo: list[Checkpoint], at_once: int) -> Iterator[Arrival]:
    """Each checkpoint, in order, once it is on disk, or with the reason why it cannot be.

    At most `at_once` are on disk, the one that the caller works on included; it is freed when the
    next one is asked for. Raises OSError where the disk is full.
    """
    # One thread does all fetching and freeing, in order: a place is free before it is filled.
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fetch")
    rest = iter(todo)
    freed: Future[None] | None = None
    coming: deque[tuple[Checkpoint, Future[Checkpoint]]] = deque()
    try:
        for checkpoint in islice(rest, at_once):
            coming.append((checkpoint, worker.submit(source.fetch, checkpoint)))
        while coming:
            checkpoint, fetched = coming.popleft()
            yield _arrival(checkpoint, fetched)
            if freed:
                freed.result()
            freed = worker.submit(source.free, checkpoint)
            for following in islice(rest, 1):
                coming.append((following, worker.submit(source.fetch, following)))
        if freed:
            freed.result()
    finally:
        # An interrupted run does not wait for the download: it is fetched anew next time.
        worker.shutdown(wait=False, cancel_futures=True)


def _arrival(checkpoint: Checkpoint, fetched: Future[Checkpoint]) -> Arrival:
    try:
        return fetched.result(), None
    except CheckpointError as error:
        return checkpoint, error

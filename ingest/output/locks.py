"""Locks between processes, also of several machines on a shared disk; they end with the process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ingest.errors import IngestError
from ingest.sources.checkpoints import Shard
from store.layout import Layout


@contextmanager
def only_writer(layout: Layout, shard: Shard | None = None) -> Iterator[None]:
    """Be the only run that writes the store, or the only one of this shard of it.

    Shards are let in together, if they agree on their number. Raises IngestError where another
    run is at work.
    """
    layout.losses.mkdir(parents=True, exist_ok=True)
    run = layout.root / ".run.lock"
    if shard is None:
        with held(run, _taken(layout, "another ingest is writing")):
            _sweep(layout)
            yield
        return
    same = _taken(layout, f"another ingest of shard {shard} is writing")
    with held(layout.root / f".shard-{shard.number}.lock", same), _together(layout, run, shard):
        yield


@contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Wait to be the only one that writes files which all shards write; for moments only."""
    with held(layout.root / ".files.lock"):
        yield


@contextmanager
def _together(layout: Layout, run: Path, shard: Shard) -> Iterator[None]:
    with alone(layout):
        try:
            descriptor = _open_locked(run, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.truncate(descriptor, 0)
            os.write(descriptor, str(shard.of).encode())
        except BlockingIOError:
            descriptor = _shared(layout, run)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        found = os.pread(descriptor, 100, 0).decode()
    try:
        if found != str(shard.of):
            raise IngestError(
                f"other shards of {layout.root} are being written as 1/{found} to {found}/{found}, "
                f"this is {shard}: give all of them the same number, or wait"
            )
        yield
    finally:
        with alone(layout):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _sweep(layout)  # the last one out
                run.unlink(missing_ok=True)
            except BlockingIOError:
                pass
            os.close(descriptor)


def _sweep(layout: Layout) -> None:
    """Remove the locks of killed shards; only where no shard is at work."""
    for path in layout.root.glob(".shard-*.lock"):
        path.unlink(missing_ok=True)


def _shared(layout: Layout, run: Path) -> int:
    try:
        return _open_locked(run, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _taken(layout, "another ingest, of no shard, is writing") from error


@contextmanager
def held(path: Path, taken: IngestError | None = None) -> Iterator[None]:
    """Hold a lock file; raises `taken`, or waits where that is None, while another holds it."""
    try:
        descriptor = _open_locked(path, fcntl.LOCK_EX | (fcntl.LOCK_NB if taken else 0))
    except BlockingIOError as error:
        raise taken or error from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is held; who waits for it looks again
        os.close(descriptor)


def _open_locked(path: Path, how: int) -> int:
    """A descriptor of the file at `path`, locked. Raises BlockingIOError, and OSError."""
    while True:
        # For writing: on NFS, only such a file can be locked against others.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, how)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass  # who held it before has removed it
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _taken(layout: Layout, what: str) -> IngestError:
    return IngestError(f"{what} {layout.root}: wait for it or stop it")

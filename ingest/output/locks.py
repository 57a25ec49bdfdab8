"""Locks between the processes that write a store, also on several machines with a shared disk.

They are advisory POSIX locks (`flock`), which the kernel releases when a process ends for any
reason. So ingest runs on Linux and macOS, not on Windows. A shared disk must support them: NFS
does (version 3 with lockd, or version 4).
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ingest.errors import IngestError
from ingest.sources.selection import Shard
from store.layout import Layout


@contextmanager
def writer_lock(layout: Layout, shard: Shard | None = None) -> Iterator[None]:
    """Be the only run that writes the store, or the only run of this shard of it.

    Several shards may write at once if they agree on their number. Raises IngestError if another
    run is writing.
    """
    layout.losses.mkdir(parents=True, exist_ok=True)
    run = layout.root / ".run.lock"
    with ExitStack() as stack:
        if shard is not None:
            taken = _taken(layout, f"another ingest of shard {shard} is writing")
            stack.enter_context(file_lock(layout.root / f".shard-{shard.number}.lock", taken))
            stack.enter_context(_joined(layout, run, shard))
        else:
            with _admission(layout):
                taken = _taken(layout, "another ingest is writing")
                stack.enter_context(file_lock(run, taken))
                _remove_shard_locks(layout)
        yield


@contextmanager
def files_lock(layout: Layout) -> Iterator[None]:
    """Wait for exclusive access to the files that all shards write. Hold it only for moments."""
    with file_lock(layout.root / ".files.lock"):
        yield


@contextmanager
def file_lock(path: Path, taken: IngestError | None = None) -> Iterator[None]:
    """Hold an exclusive lock on a file. If another process holds it, raise `taken`; without
    `taken`, wait."""
    try:
        descriptor = _open_locked(path, fcntl.LOCK_EX | (fcntl.LOCK_NB if taken else 0))
    except BlockingIOError as error:
        raise taken or error from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)  # while it is locked; a waiting process opens a new file
        os.close(descriptor)


@contextmanager
def _admission(layout: Layout) -> Iterator[None]:
    """Wait to be the only process that takes, shares or leaves the lock of a run.

    `flock` releases a lock before it converts it to a shared one. Without this, another run could
    take the lock in between.
    """
    with file_lock(layout.root / ".admission.lock"):
        yield


@contextmanager
def _joined(layout: Layout, run: Path, shard: Shard) -> Iterator[None]:
    """Share the run's lock with all other shards."""
    with _admission(layout):
        descriptor = _first_shard(run, shard) or _later_shard(layout, run)
        found = os.pread(descriptor, 100, 0).decode()
    try:
        if found != str(shard.of):
            raise IngestError(
                f"other shards of {layout.root} are being written as 1/{found} to {found}/{found}, "
                f"this is {shard}: give all of them the same number, or wait"
            )
        yield
    finally:
        with _admission(layout):
            _leave(layout, run, descriptor)


def _first_shard(run: Path, shard: Shard) -> int | None:
    """A descriptor of the run's lock, shared, in which the number of shards is now written.

    None if other processes hold the lock.
    """
    try:
        descriptor = _open_locked(run, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None
    os.truncate(descriptor, 0)
    os.write(descriptor, str(shard.of).encode())
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:  # taken by a program that does not ask for admission
        os.close(descriptor)
        return None
    return descriptor


def _later_shard(layout: Layout, run: Path) -> int:
    try:
        return _open_locked(run, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise _taken(layout, "another ingest, without --shard, is writing") from error


def _leave(layout: Layout, run: Path, descriptor: int) -> None:
    """Close the shared lock; the last shard removes all lock files."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _remove_shard_locks(layout)
        run.unlink(missing_ok=True)
    except BlockingIOError:
        pass
    os.close(descriptor)


def _remove_shard_locks(layout: Layout) -> None:
    """Remove what killed shards left. Call this only while no shard is at work."""
    for path in layout.root.glob(".shard-*.lock"):
        path.unlink(missing_ok=True)


def _open_locked(path: Path, operation: int) -> int:
    """A descriptor of the file at `path`, locked. Raises BlockingIOError, and OSError."""
    while True:
        # Open for writing: on NFS, only such a file can be locked exclusively.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, operation)
            if os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        except FileNotFoundError:
            pass  # the previous holder has removed it
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _taken(layout: Layout, what: str) -> IngestError:
    return IngestError(f"{what} {layout.root}: wait for it or stop it")

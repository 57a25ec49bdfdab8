"""Files that are whole or absent: write beside, fsync, rename."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".tmp"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; it becomes `path` only if the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{os.getpid()}-{threading.get_ident()}"
    temporary = path.with_name(f".{path.name}.{writer}{TEMPORARY}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
        _sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def leftovers(folder: Path, older_than: float = 0) -> list[Path]:
    """Temporary files in `folder` that a killed process left behind.

    `older_than`, in seconds since their last change, spares those of a process that still writes.
    """
    found = folder.glob(f".*.[0-9]*{TEMPORARY}")
    return sorted(p for p in found if _age(p) >= older_than)


def _age(path: Path) -> float:
    try:
        return max(time.time() - path.stat().st_mtime, 0)
    except FileNotFoundError:  # its writer has just finished
        return -1


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

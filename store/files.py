"""Files that are whole or absent: write a temporary file, fsync it, rename it."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".tmp"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder. It replaces `path` only if the block succeeds."""
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

    `older_than`, in seconds since the last change, skips those that a process is still writing.
    """
    found = folder.glob(f".*.[0-9]*{TEMPORARY}")
    return sorted(p for p in found if _age(p) >= older_than)


def _age(path: Path) -> float:
    try:
        return max(time.time() - path.stat().st_mtime, 0)
    except FileNotFoundError:  # its writer has just renamed it
        return -1


def _sync(path: Path) -> None:
    """Flush a file or folder to disk. Windows can neither open folders nor sync read-only files."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""A running training still writes its last checkpoint: wait until its files are whole."""

import json
import time
import zipfile
from pathlib import Path

from ingest.errors import CheckpointError
from ingest.sources.checkpoint_files import ADAPTER_CONFIG, WEIGHT_INDEXES, weight_files
from ingest.sources.revisions import Checkpoint

QUIET = 10.0
"""Seconds without a change after which nobody is taken to be writing."""
LONGEST = 600.0
"""Seconds to wait at most for files that keep changing."""
POLL = 0.5


def wait_until_whole(checkpoint: Checkpoint) -> None:
    """Returns at once for whole files, and for files that nobody has changed for some seconds.

    Raises CheckpointError if the files are incomplete and still changing after ten minutes.
    """
    started = time.monotonic()
    while is_being_written(checkpoint.path):
        if time.monotonic() - started > LONGEST:
            raise CheckpointError(
                f"{checkpoint.revision} is still being written: run the same command again when "
                "it is complete"
            )
        time.sleep(POLL)


def is_being_written(folder: Path) -> bool:
    """Are its files incomplete, and did the last of them change within some seconds?"""
    return not is_whole(folder) and _age(folder) < QUIET


def is_whole(folder: Path) -> bool:
    """Are config.json and all weights there, each file as long as its own header says?"""
    files = weight_files(folder)
    described = any((folder / name).exists() for name in ("config.json", ADAPTER_CONFIG))
    if not files or not described:
        return False
    try:
        names = {path.name for path in files}
        return _indexed(folder, files[0].suffix) <= names and all(map(_is_whole_file, files))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def _indexed(folder: Path, suffix: str) -> set[str]:
    """The files that the index of shards names."""
    found: set[str] = set()
    for name in WEIGHT_INDEXES:
        if suffix in name and (folder / name).exists():
            found |= set(json.loads((folder / name).read_text("utf-8"))["weight_map"].values())
    return found


def _is_whole_file(path: Path) -> bool:
    if path.suffix != ".safetensors":
        return zipfile.is_zipfile(path) or path.open("rb").read(1) == b"\x80"  # a legacy pickle
    with path.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        if length > path.stat().st_size:  # not a header: reading it could take all memory
            return False
        header = json.loads(handle.read(length))
    end = max((v["data_offsets"][1] for k, v in header.items() if k != "__metadata__"), default=0)
    return path.stat().st_size == 8 + length + int(end)


def _age(folder: Path) -> float:
    """Seconds since the last change in the folder."""
    times = [p.lstat().st_mtime for p in (folder, *folder.iterdir())] if folder.is_dir() else []
    return time.time() - max(times, default=0.0)

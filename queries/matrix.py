"""The loss matrix: float32, tokens x checkpoints, memory-mapped; an index made from the loss files.

It stands in blocks of 64 checkpoints. A block's file name is a digest of the loss files that it
was made from, so that a stale one is never found; new checkpoints change only the last block.
"""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from queries.errors import QueryError, StoreError
from store.files import whole_file

BLOCK = 64
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class LossMatrix:
    """Losses in nats. Row r is the token occurrence `row`; columns are checkpoints, increasing."""

    checkpoints: np.ndarray
    """int64 (checkpoints,)"""
    blocks: list[np.ndarray]
    """float32 (tokens, up to 64) each, side by side."""

    @property
    def n_tokens(self) -> int:
        return len(self.blocks[0])

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Losses of some tokens at all checkpoints, float32 (len(rows), checkpoints)."""
        return np.concatenate([block[rows] for block in self.blocks], axis=1)

    def column(self, checkpoint: int) -> np.ndarray:
        """Losses of all tokens at one checkpoint, float32 (tokens,). Raises QueryError."""
        at = int(np.searchsorted(self.checkpoints, checkpoint))
        if at == len(self.checkpoints) or self.checkpoints[at] != checkpoint:
            raise QueryError(_no_such_checkpoint(checkpoint, self.checkpoints))
        return self.blocks[at // BLOCK][:, at % BLOCK]


def open_matrix(
    folder: Path, files: dict[int, Path], n_tokens: int, progress: Progress | None = None
) -> LossMatrix:
    """The matrix over these loss files (checkpoint -> path); missing blocks are built.

    `progress` is called with (checkpoints read, checkpoints in all) while building.
    Raises StoreError for a loss file that is unreadable or has other rows, and where there is no
    place for the index.
    """
    checkpoints = sorted(files)
    report = progress or (lambda done, total: None)
    blocks: list[np.ndarray] = []
    used: set[str] = set()
    for start in range(0, len(checkpoints), BLOCK):
        part = {c: files[c] for c in checkpoints[start : start + BLOCK]}
        path = _find_or_build(folder, part, n_tokens, partial(_shifted, report, start, len(files)))
        shape = (n_tokens, len(part))
        blocks.append(np.memmap(path, dtype=np.float32, mode="r", shape=shape))
        used.add(path.name)
    _drop_others(folder, used)
    return LossMatrix(np.array(checkpoints, dtype=np.int64), blocks)


def _shifted(report: Progress, start: int, total: int, done: int) -> None:
    report(start + done, total)


def _find_or_build(
    folder: Path, part: dict[int, Path], n_tokens: int, report: Callable[[int], None]
) -> Path:
    name, size = f"losses-{_digest(part, n_tokens)}.f32", n_tokens * len(part) * 4
    # The second place is for a store on a disk that is full or that we may only read.
    places = [folder / name, _elsewhere(folder) / name]
    for path in places:
        if path.exists() and path.stat().st_size == size:
            return path
    troubles = []
    for path in places:
        try:
            _build(path, part, n_tokens, report)
            return path
        except OSError as error:
            troubles.append(f"{path.parent} ({error.strerror})")
    raise StoreError(
        f"the index of losses cannot be written to {' nor to '.join(troubles)}: "
        f"make room for {size:,} bytes in one of them"
    )


def _build(path: Path, part: dict[int, Path], n_tokens: int, report: Callable[[int], None]) -> None:
    with whole_file(path) as temporary:
        block = np.empty((n_tokens, len(part)), dtype=np.float32)
        for column, losses in enumerate(_read_columns(part, n_tokens)):
            block[:, column] = losses
            report(column + 1)
        block.tofile(temporary)


def _read_columns(part: dict[int, Path], n_tokens: int) -> Iterator[np.ndarray]:
    for path in part.values():
        try:
            losses = pq.read_table(path, columns=["loss"])["loss"].to_numpy()
        except (OSError, KeyError, pa.ArrowInvalid) as error:
            raise StoreError(
                f"{path} cannot be read ({error}): delete it and run ingest again"
            ) from error
        if len(losses) != n_tokens:
            raise StoreError(
                f"{path} has {len(losses):,} rows, the store's tokens are {n_tokens:,}: "
                "delete it and run ingest again"
            )
        yield losses


def _digest(part: dict[int, Path], n_tokens: int) -> str:
    """Changes when any loss file does: checkpoint, size and time of modification of each."""
    try:
        facts = [(c, p.stat().st_size, p.stat().st_mtime_ns) for c, p in part.items()]
    except FileNotFoundError as error:
        raise StoreError(
            f"{error.filename} has gone since the store was opened: open the store again"
        ) from error
    return hashlib.sha256(repr((n_tokens, facts)).encode()).hexdigest()[:16]


def _elsewhere(folder: Path) -> Path:
    name = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"token-trails-index-{os.getuid()}" / name


def _drop_others(folder: Path, used: set[str]) -> None:
    for path in folder.glob("losses-*.f32"):
        if path.name not in used:
            with contextlib.suppress(OSError):  # gone already, or a disk that we may only read
                path.unlink()


def _no_such_checkpoint(checkpoint: int, there: np.ndarray) -> str:
    near = there[np.argsort(np.abs(there - checkpoint), kind="stable")[:2]]
    names = " and ".join(f"{c:,}" for c in sorted(near.tolist()))
    return f"checkpoint {checkpoint:,} is not in the store: the nearest are {names}"

"""The loss matrix: float32, tokens x checkpoints, in blocks of 64; and its index on disk.

Other measures of a token have a matrix of the same kind, made from the files of predictions.
"""

import contextlib
import getpass
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from queries.engine.measures import LOSS, Measure
from queries.errors import QueryError, StoreError
from store.files import leftovers, whole_file

BLOCK = 64
"""Checkpoints per block."""
MEMORY_LIMIT = 2**30
"""Bytes; a larger block needs a place on disk."""
Progress = Callable[[int, int], None]
_ROWS = 122_880  # of one block that are in memory at a time in each thread: 32 MB
_BUFFER = 65_536  # bytes of a loss file read at a time
_WORKERS = os.cpu_count() or 1


@dataclass(frozen=True)
class LossMatrix:
    """Losses in nats, or another measure.

    Row r is the token occurrence `row`; columns are checkpoints, increasing.
    """

    checkpoints: np.ndarray
    """int64 (checkpoints,)"""
    blocks: list[np.ndarray]
    """float32 (tokens, up to 64) each, side by side."""

    @property
    def n_tokens(self) -> int:
        return len(self.blocks[0])

    def rows(self, rows: np.ndarray, columns: np.ndarray | None = None) -> np.ndarray:
        """Losses of some tokens at all checkpoints, float32 (len(rows), checkpoints).

        With `columns`, increasing places of checkpoints, only at these.
        """
        if columns is None:
            return np.concatenate([block[rows] for block in self.blocks], axis=1)
        parts = [
            block[rows][:, columns[columns // BLOCK == at] % BLOCK]
            for at, block in enumerate(self.blocks)
            if (columns // BLOCK == at).any()
        ]
        return np.concatenate(parts, axis=1)

    def column(self, checkpoint: int) -> np.ndarray:
        """Losses of all tokens at one checkpoint, float32 (tokens,). Raises QueryError."""
        at = self.place(checkpoint)
        return self.blocks[at // BLOCK][:, at % BLOCK]

    def place(self, checkpoint: int) -> int:
        """The number of a checkpoint's column, from 0. Raises QueryError."""
        return column_of(self.checkpoints, checkpoint)


def column_of(checkpoints: np.ndarray, checkpoint: int) -> int:
    """The place of a checkpoint among `checkpoints`, int64 increasing. Raises QueryError."""
    at = int(np.searchsorted(checkpoints, checkpoint))
    if at == len(checkpoints) or checkpoints[at] != checkpoint:
        near = checkpoints[np.argsort(np.abs(checkpoints - checkpoint), kind="stable")[:2]]
        names = " and ".join(f"{c:,}" for c in sorted(near.tolist()))
        raise QueryError(f"checkpoint {checkpoint:,} is not in the store: the nearest are {names}")
    return at


# The index of a store: its loss matrix on disk, generated from the loss files.
#
# It is stored in blocks of 64 checkpoints, so that new ones change only the last block, which is
# copied with their columns added: of the loss files, only the new ones are read. A block's
# name is a digest of the loss files that it was made from, so a stale one is never found. Its time
# of modification is derived from the same digest, so a block that was modified or is incomplete is
# recognised and rebuilt.


def open_matrix(
    folder: Path,
    files: dict[int, Path],
    n_tokens: int,
    progress: Progress | None = None,
    measure: Measure = LOSS,
) -> LossMatrix:
    """The matrix over these loss files (checkpoint -> path); missing blocks are built.

    For another measure than the loss, they are the files of predictions.

    Blocks are built in parallel, each in less than 200 MB whatever the store's size. `progress` is
    called with (losses read, losses to read). Raises StoreError for a loss file that is unreadable
    or has the wrong number of rows, and if the index can neither be written nor kept in memory.
    """
    checkpoints = sorted(files)
    parts = [checkpoints[start : start + BLOCK] for start in range(0, len(checkpoints), BLOCK)]
    blocks = [_Block(folder, {c: files[c] for c in part}, n_tokens, measure) for part in parts]
    _build_missing([b for b in blocks if not b.path], progress or (lambda done, total: None))
    for place in (folder, _elsewhere(folder)):
        _drop_others(place, measure, {block.name for block in blocks})
    return LossMatrix(np.array(checkpoints, dtype=np.int64), [block.open() for block in blocks])


@dataclass
class _Block:
    """One file of the index: float32, tokens x up to 64 checkpoints, row by row."""

    folder: Path
    files: dict[int, Path]
    n_tokens: int
    measure: Measure = LOSS
    done: int = 0
    """Losses read so far while it is built."""
    digest: str = field(init=False)
    path: Path | None = field(init=False)
    """Where it is; None until it is built, and if no place can be written."""
    held: np.ndarray | None = field(init=False, default=None)
    """The block itself if it is kept in memory instead."""

    def __post_init__(self) -> None:
        self.digest = _digest(_facts(self.files), self.n_tokens)
        self.path = next((p for p in self.places if self._is_whole(p)), None)

    @property
    def name(self) -> str:
        return self.measure.block_name(self.digest)

    @property
    def places(self) -> list[Path]:
        """The second one is for stores on a full or read-only disk."""
        return [self.folder / self.name, _elsewhere(self.folder) / self.name]

    @property
    def size(self) -> int:
        return self.n_tokens * len(self.files)

    @property
    def modified(self) -> int:
        """An even number of seconds (some file systems store only those), from 1970 to 2038."""
        return int(self.digest[:8], 16) // 4 * 2

    def _is_whole(self, path: Path) -> bool:
        try:
            facts = path.stat()
        except OSError:
            return False
        return facts.st_size == self.size * 4 and int(facts.st_mtime) == self.modified

    def build(self) -> None:
        """Write it to the first place that can be written, or else keep it in memory."""
        errors = []
        for path in self.places:
            try:
                self._write(path)
                self.path = path
                return
            except OSError as error:
                errors.append(f"{path.parent} ({error.strerror})")
        if self.size * 4 <= MEMORY_LIMIT:
            self.held = self._read()
            return
        raise StoreError(
            f"the index of losses cannot be written to {' nor to '.join(errors)}: "
            f"free {self.size * 4:,} bytes in one of them"
        )

    def _write(self, path: Path) -> None:
        self.done = 0
        with whole_file(path) as temporary:
            with temporary.open("wb") as handle:
                for rows in self._rows():
                    rows.tofile(handle)
            os.utime(temporary, (self.modified, self.modified))

    def _read(self) -> np.ndarray:
        self.done = 0
        return np.concatenate([np.empty((0, len(self.files)), np.float32), *self._rows()])

    def _rows(self) -> Iterator[np.ndarray]:
        """The block from top to bottom, float32 (up to `_ROWS`, checkpoints)."""
        known = self._shorter()
        paths = list(self.files.values())[known.shape[1] :]
        start = 0
        for columns in zip(*map(self._pieces, paths), strict=True):
            end = start + len(columns[0])
            rows = np.concatenate([known[start:end], np.stack(columns, axis=1)], axis=1)
            yield rows
            start, self.done = end, self.done + rows.size

    def _shorter(self) -> np.ndarray:
        """The longest block on disk of the first of these files, float32 (tokens, fewer files).

        With no column if there is none.
        """
        facts = list(_facts(self.files).items())
        there = {p.name for place in self.places for p in place.parent.glob("*.f32")}
        for n in range(len(facts) - 1, 0, -1):
            if self.measure.block_name(_digest(dict(facts[:n]), self.n_tokens)) not in there:
                continue
            files = dict(list(self.files.items())[:n])
            block = _Block(self.folder, files, self.n_tokens, self.measure)
            with contextlib.suppress(OSError):  # deleted by another process just now
                if block.path:
                    return block.open()
        return np.empty((self.n_tokens, 0), np.float32)

    def _pieces(self, path: Path) -> Iterator[np.ndarray]:
        """A loss file's losses, float32, in pieces of `_ROWS`, independent of its row groups."""
        rest = np.empty(0, np.float32)
        try:
            # Otherwise all losses of 64 files would be read ahead in each thread.
            how = {"pre_buffer": False, "buffer_size": _BUFFER, "page_checksum_verification": True}
            with pq.ParquetFile(path, **how) as parquet:
                self._check_rows(path, parquet.metadata.num_rows)
                column = self.measure.column
                for batch in parquet.iter_batches(_ROWS, columns=[column], use_threads=False):
                    rest = np.concatenate([rest, self.measure.values(batch[column])])
                    while len(rest) >= _ROWS:
                        yield rest[:_ROWS]
                        rest = rest[_ROWS:]
        except (OSError, KeyError, pa.ArrowException) as error:
            raise StoreError(
                f"{path} cannot be read ({error}): delete it and run ingest again"
            ) from error
        if len(rest):
            yield rest

    def _check_rows(self, path: Path, rows: int) -> None:
        if rows != self.n_tokens:
            raise StoreError(
                f"{path} has {rows:,} rows, but the store has {self.n_tokens:,} tokens: delete the "
                "file and run ingest again"
            )

    def open(self) -> np.ndarray:
        if self.held is not None:
            return self.held
        assert self.path
        return np.memmap(
            self.path, dtype=np.float32, mode="r", shape=(self.n_tokens, len(self.files))
        )


def _build_missing(blocks: list[_Block], progress: Progress) -> None:
    """Build them in parallel; progress is reported in the caller's thread, as Streamlit needs."""
    total = sum(block.size for block in blocks)
    with ThreadPoolExecutor(_WORKERS, thread_name_prefix="index") as pool:
        left: set[Future[None]] = {pool.submit(block.build) for block in blocks}
        try:
            while left:
                done, left = wait(left, timeout=0.2)
                progress(sum(block.done for block in blocks), total)
                for future in done:
                    future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _digest(facts: dict[int, tuple[int, int]], n_tokens: int) -> str:
    """Changes when any loss file does: depends on the checkpoint, size and mtime of each."""
    listed = [(checkpoint, *of_file) for checkpoint, of_file in facts.items()]
    return hashlib.sha256(repr((n_tokens, listed)).encode()).hexdigest()[:16]


def _facts(files: dict[int, Path]) -> dict[int, tuple[int, int]]:
    """Size in bytes and mtime in ns of each loss file. Raises StoreError if one was deleted."""
    try:
        found = {c: p.stat() for c, p in files.items()}
    except FileNotFoundError as error:
        raise StoreError(
            f"{error.filename} was deleted after the store was opened: open the store again"
        ) from error
    return {c: (facts.st_size, facts.st_mtime_ns) for c, facts in found.items()}


def _elsewhere(folder: Path) -> Path:
    user = os.getuid() if hasattr(os, "getuid") else getpass.getuser()  # Windows has no user ids
    name = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"token-trails-index-{user}" / name


def _drop_others(folder: Path, measure: Measure, used: set[str]) -> None:
    """Delete the measure's blocks of other files, and what a killed build left behind."""
    stale = [path for path in folder.glob(measure.block_name("*")) if path.name not in used]
    for path in [*stale, *leftovers(folder, older_than=3_600)]:
        with contextlib.suppress(OSError):  # deleted already, or a read-only disk
            path.unlink()

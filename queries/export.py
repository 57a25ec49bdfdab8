"""A store's losses for other tools: a frame or array in memory, or files.

Every file is written under another name and renamed, so that it is whole or absent. A matrix comes
with its token table, whose row r is the matrix's row r.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from queries.engine.matrix import LossMatrix
from queries.errors import QueryError
from store.files import TEMPORARY, whole_file
from store.manifest import Manifest

if TYPE_CHECKING:
    from xarray import Dataset

KINDS = (".parquet", ".npy", ".zarr")
LIMIT = 2**30
"""Bytes; the size limit of a frame or array in memory."""
_FRAME_BYTES = 41  # per row of a frame
_ROWS = 2**17  # tokens of a matrix in memory at a time


class Store(Protocol):
    """The part of `queries.store.Store` that is needed here; that imports this module."""

    manifest: Manifest

    @property
    def steps(self) -> list[int]: ...
    @property
    def matrix(self) -> LossMatrix: ...
    @property
    def checkpoints(self) -> pd.DataFrame: ...
    @property
    def token_table(self) -> pa.Table: ...
    def nonempty_members(self, group: str) -> np.ndarray: ...


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    file: str
    content: str
    bytes: int


def export(store: Store, to: Path, where: str = "true", overwrite: bool = False) -> pd.DataFrame:
    """Write the losses of a group at all checkpoints to `to`, in the format of its suffix.

    .parquet: a row per checkpoint and token, the columns of the store's loss files and `source`.
    .npy: float32 (tokens, checkpoints), in nats, with NAME-tokens.parquet and
    NAME-checkpoints.parquet next to it. .zarr: a group with `loss` (token, checkpoint),
    `checkpoint` and the columns of the tokens, which xarray opens (needs the package zarr).
    Returns file, content, bytes. Raises QueryError, GroupError.
    """
    if to.suffix not in KINDS:
        raise QueryError(f"{to.name}: expected a name that ends in {', '.join(KINDS)}")
    if to.exists() and not overwrite:
        raise QueryError(f"{to} exists already: name another file, or give --overwrite")
    rows = store.nonempty_members(where)
    write = {".parquet": _long, ".npy": _matrix, ".zarr": _zarr}[to.suffix]
    try:
        found = write(store, to, rows)
    except OSError as error:
        raise QueryError(f"{to} cannot be written ({error.strerror or error})") from error
    return pd.DataFrame([(e.file, e.content, e.bytes) for e in found], columns=_COLUMNS)


_COLUMNS = ["file", "content", "bytes"]


def token_table(store: Store, rows: np.ndarray) -> pa.Table:
    """All columns of `tokens` for these rows, int64 (n,) increasing."""
    found = store.token_table
    return found if len(rows) == found.num_rows else found.take(pa.array(rows))


def _long(store: Store, to: Path, rows: np.ndarray) -> list[Exported]:
    """One row group per checkpoint, so that a reader can pick checkpoints."""
    with whole_file(to) as temporary:
        writer: pq.ParquetWriter | None = None
        for table in long_tables(store, rows):
            if writer is None:
                writer = pq.ParquetWriter(temporary, table.schema, compression="zstd")
            writer.write_table(table)
        assert writer
        writer.close()
    n = len(rows) * len(store.steps)
    return [_exported(to, f"{n:,} rows: one per checkpoint and token")]


def long_tables(
    store: Store, rows: np.ndarray, steps: list[int] | None = None
) -> Iterator[pa.Table]:
    """checkpoint, doc, position, token_id, token_str, is_word_start, loss, source of each step."""
    tokens = token_table(store, rows)
    names = ["doc", "position", "token_id", "token_str", "is_word_start"]
    for step in store.steps if steps is None else steps:
        checkpoint = pa.repeat(pa.scalar(step, pa.int64()), len(rows))
        losses = pa.array(store.matrix.column(step)[rows], pa.float32())
        columns = {"checkpoint": checkpoint, **{n: tokens[n] for n in names}, "loss": losses}
        yield pa.table({**columns, "source": tokens["source"]})


def _matrix(store: Store, to: Path, rows: np.ndarray) -> list[Exported]:
    shape = (len(rows), len(store.steps))
    with whole_file(to) as temporary, temporary.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), _ROWS):
            store.matrix.rows(rows[start : start + _ROWS]).astype("<f4", copy=False).tofile(file)
    tokens = to.with_name(f"{to.stem}-tokens.parquet")
    checkpoints = to.with_name(f"{to.stem}-checkpoints.parquet")
    with whole_file(tokens) as temporary:
        pq.write_table(token_table(store, rows), temporary, compression="zstd")
    with whole_file(checkpoints) as temporary:
        frame = store.checkpoints
        frame = frame[frame["checkpoint"].isin(store.steps)]
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), temporary)
    size = "x".join(map(str, shape))
    return [
        _exported(to, f"float32 {size}: losses in nats, tokens x checkpoints"),
        _exported(tokens, "the token of each row"),
        _exported(checkpoints, "the checkpoint of each column"),
    ]


def _zarr(store: Store, to: Path, rows: np.ndarray) -> list[Exported]:
    if not find_spec("zarr"):
        raise QueryError(
            f"{to.name} needs the package zarr, which is not installed: install "
            "token-trails[arrays], or export to .npy"
        )
    import zarr

    temporary = to.with_name(f".{to.name}{TEMPORARY}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        group = zarr.open_group(str(temporary), mode="w", zarr_format=2)
        _fill(group, store, rows)
        zarr.consolidate_metadata(str(temporary), zarr_format=2)
        shutil.rmtree(to, ignore_errors=True)
        temporary.rename(to)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [_exported(to, f"loss (token {len(rows):,}, checkpoint {len(store.steps):,}) in nats")]


def _fill(group: Any, store: Store, rows: np.ndarray) -> None:
    """Arrays as xarray expects them: `_ARRAY_DIMENSIONS` names the dimensions of each."""
    shape = (len(rows), len(store.steps))
    loss = group.create_array("loss", shape=shape, chunks=(min(len(rows), _ROWS), 64), dtype="<f4")
    loss.attrs.update(_ARRAY_DIMENSIONS=["token", "checkpoint"], units="nats")
    for start in range(0, len(rows), _ROWS):
        loss[start : start + _ROWS] = store.matrix.rows(rows[start : start + _ROWS])
    steps = group.create_array("checkpoint", shape=shape[1:], dtype="<i8", fill_value=None)
    steps[:] = np.array(store.steps)
    steps.attrs.update(_ARRAY_DIMENSIONS=["checkpoint"])
    tokens = token_table(store, rows)
    for name in COORDINATES:
        values = coordinate(tokens, name)
        array = group.create_array(name, shape=values.shape, dtype=values.dtype, fill_value=None)
        array[:] = values
        array.attrs.update(_ARRAY_DIMENSIONS=["token"])
    group.attrs.update(coordinates=" ".join(COORDINATES), model=store.manifest.model)


def frame(store: Store, group: str, checkpoints: Sequence[int] | None) -> pd.DataFrame:
    """See `Store.frame`."""
    rows = store.nonempty_members(group)
    steps = store.steps if checkpoints is None else [int(step) for step in checkpoints]
    for step in steps:
        store.matrix.place(step)  # refuses unknown ones
    _refuse_large(len(rows) * len(steps) * _FRAME_BYTES, len(rows), len(steps), "frame")
    tokens = token_table(store, rows).select(
        ["row", "doc", "position", "token_id", "token_str", "is_word_start", "source"]
    )
    of_tokens = tokens.to_pandas()
    for name in ("token_str", "source"):
        of_tokens[name] = of_tokens[name].astype("category")
    parts = [
        of_tokens.assign(checkpoint=step, loss=store.matrix.column(step)[rows]) for step in steps
    ]
    found: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return found.loc[:, ["checkpoint", *of_tokens.columns, "loss"]]


def to_xarray(store: Store, group: str) -> "Dataset":
    """See `Store.to_xarray`."""
    if not find_spec("xarray"):
        raise QueryError("the package xarray is not installed: install token-trails[arrays]")
    import xarray

    rows = store.nonempty_members(group)
    _refuse_large(len(rows) * len(store.steps) * 4, len(rows), len(store.steps), "array")
    tokens = token_table(store, rows)
    coordinates = {name: ("token", coordinate(tokens, name)) for name in COORDINATES}
    return xarray.Dataset(
        {"loss": (("token", "checkpoint"), store.matrix.rows(rows), {"units": "nats"})},
        {"checkpoint": np.array(store.steps), **coordinates},
        {"model": store.manifest.model, "text": store.manifest.text},
    )


def _refuse_large(size: int, n_tokens: int, n_steps: int, what: str) -> None:
    if size > LIMIT:
        raise QueryError(
            f"the {what} of {n_tokens:,} tokens at {n_steps:,} checkpoints would take "
            f"{size / 1e9:.1f} GB, more than the limit of {LIMIT / 1e9:.1f} GB: choose a "
            "smaller group or fewer checkpoints, or write a file with `python -m queries export`"
        )


COORDINATES = ("row", "doc", "position", "token_id", "token_str", "source")
"""Columns of tokens that label the dimension `token` of an array."""


def coordinate(tokens: pa.Table, name: str) -> np.ndarray:
    """A column as NumPy has it: text as fixed-width Unicode."""
    values = tokens[name]
    if pa.types.is_string(values.type):
        return np.array([value or "" for value in values.to_pylist()], dtype=np.str_)
    return np.asarray(values.to_numpy())


def _exported(path: Path, content: str) -> Exported:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return Exported(str(path), content, sum(p.stat().st_size for p in files))

"""Matrices: .npy, .npz or .pt, tokens x checkpoints or a file per checkpoint, and their tokens."""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np

from ingest.errors import IngestError, first_line
from ingest.imports.files import checkpoint_of, kind_of
from ingest.imports.results import Column, Format, ImportOptions, Preview, Results, Tokens, Unit
from ingest.imports.token_table import read_tokens

ARRAYS = (".npy", ".npz", ".pt")
_BLOCK = 2**27  # bytes of a matrix that are in memory at a time
_UNREADABLE = (OSError, ValueError, RuntimeError, EOFError, zipfile.BadZipFile, UnpicklingError)
_TOKENS = ("token_ids", "tokens", "input_ids")


@dataclass(frozen=True)
class Matrix:
    """Losses of all tokens at some checkpoints, in a file."""

    file: Path
    read: Callable[[], np.ndarray]
    """float (tokens, checkpoints), perhaps mapped into memory."""
    dtype: str
    checkpoints: list[int]


def recognise(found: Preview) -> str | None:
    """Any file with an array."""
    if found.kind not in ARRAYS:
        return None
    return f"an array in {found.files[0].name} ({found.kind})"


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with columns, in nats unless --unit says otherwise."""
    return from_arrays(found, options, options.unit or "nats")


def from_arrays(
    found: Preview,
    options: ImportOptions,
    unit: Unit,
    checkpoints: Callable[[Path], list[int] | None] = lambda path: None,
) -> Results:
    """Results of matrices with a token table, or with ids in the same .npz or .pt file."""
    arrays = load(found.files[0], options.member)
    tokens = _tokens(found.files[0], arrays, options)
    matrices = []
    for path in found.files:
        arrays = load(path, options.member)
        matrices.append(_matrix(found, options, checkpoints(path), path, arrays, tokens.n_scored))
    every = [c for m in matrices for c in m.checkpoints]
    if len(set(every)) < len(every):
        twice = next(c for c in every if every.count(c) > 1)
        if options.checkpoints and len(found.files) == 1:
            raise IngestError(f"--checkpoints names {twice:,} twice")
        raise IngestError(
            f"the files in {found.path} name checkpoint {twice:,} twice: give --checkpoints, or "
            "put the steps into their names"
        )
    return Results(
        unit,
        matrices[0].dtype,
        tokens=tokens,
        columns=lambda: (column for m in matrices for column in _columns(m)),
        n_losses=tokens.n_scored * len(every),
    )


def load(path: Path, member: str | None) -> dict[str, np.ndarray]:
    """The arrays in a file: {"": array} or by name. Raises IngestError if it cannot be read."""
    if kind_of(path) not in ARRAYS:
        raise IngestError(f"{path} is not an array: expected a file in {', '.join(ARRAYS)}")
    try:
        if kind_of(path) == ".npy":
            return {"": np.load(path, mmap_mode="r", allow_pickle=False)}
        if kind_of(path) == ".npz":
            with np.load(path, allow_pickle=False) as file:
                found = {name: file[name] for name in file.files}
        else:
            found = _torch_arrays(path)
    except _UNREADABLE as error:
        raise IngestError(f"{path} cannot be read ({first_line(error)})") from error
    if member is not None and member not in found:
        names = ", ".join(found)
        raise IngestError(f"{path} has no array {member!r}: its arrays are {names}")
    return found


def _torch_arrays(path: Path) -> dict[str, np.ndarray]:
    import torch

    def arrays(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
        if isinstance(value, torch.Tensor):
            wide = value.float() if value.dtype == torch.bfloat16 else value
            yield name, wide.numpy()
        elif isinstance(value, dict):
            for key, each in value.items():
                yield from arrays(str(key), each)
        elif isinstance(value, list | tuple) and value:
            yield name, np.asarray(value)

    return dict(arrays("", torch.load(path, map_location="cpu", weights_only=True)))


def _tokens(path: Path, found: dict[str, np.ndarray], options: ImportOptions) -> Tokens:
    losses = _losses(path, found, options.member)
    if options.tokens:
        return read_tokens(options.tokens, options.columns, {*losses.shape, losses.size})
    ids = next((found[name] for name in _TOKENS if name in found), None)
    if ids is None:
        raise IngestError(
            f"{path} has no tokens: name a table of them (.csv, .parquet, .jsonl, .npy, or .txt "
            "with a line of ids per document) with --tokens"
        )
    docs = np.asarray(found.get("doc", np.zeros(len(ids), np.int64)))
    names, codes = np.unique(docs, return_inverse=True)
    starts = np.concatenate([[True], np.diff(codes) != 0])
    ordinal = np.arange(len(ids)) - np.maximum.accumulate(np.where(starts, np.arange(len(ids)), 0))
    return Tokens(
        codes,
        [str(x) for x in names],
        ordinal + 1,
        np.ones(len(ids), bool),
        np.asarray(ids, int),
        None,
    )


def _losses(path: Path, found: dict[str, np.ndarray], member: str | None) -> np.ndarray:
    """The array of losses: the one that was named, or the only one of floating-point numbers."""
    if member is not None:
        return found[member]
    usable = [name for name, array in found.items() if np.issubdtype(array.dtype, np.floating)]
    if not usable:
        types = ", ".join(sorted({str(array.dtype) for array in found.values()})) or "no array"
        raise IngestError(f"{path} holds {types}: expected an array of floating-point numbers")
    if len(usable) > 1:
        raise IngestError(
            f"{path} has {len(usable)} arrays of losses ({', '.join(usable)}): name one with "
            "--array NAME"
        )
    return found[usable[0]]


def _matrix(
    found: Preview,
    options: ImportOptions,
    known: list[int] | None,
    path: Path,
    arrays: dict[str, np.ndarray],
    n_tokens: int,
) -> Matrix:
    losses = _losses(path, arrays, options.member)
    values = _upright(losses, n_tokens)
    if values.ndim != 2 or n_tokens not in values.shape:
        raise IngestError(
            f"{path} has the shape {'x'.join(map(str, values.shape))}, but there are {n_tokens:,} "
            "scored tokens: expected tokens x checkpoints"
        )
    n = values.shape[1]
    inside = arrays.get("checkpoints", arrays.get("steps"))
    if inside is not None and not options.checkpoints:
        known = [int(c) for c in inside]
    checkpoints = list(options.checkpoints) or known
    if not checkpoints and n == 1:
        checkpoints = [checkpoint_of(path, found.path, ())]
    if not checkpoints or len(checkpoints) != n:
        raise IngestError(
            f"{path} has {n:,} columns, but {len(checkpoints or ()):,} checkpoints are known: give "
            "their steps with --checkpoints 0,100,…"
        )
    is_mapped = kind_of(path) == ".npy"  # others are read again, so that one is in memory at a time
    read = (
        (lambda: values)
        if is_mapped
        else (lambda: _upright(_losses(path, load(path, None), options.member), n_tokens))
    )
    return Matrix(path, read, str(values.dtype), checkpoints)


def _upright(losses: np.ndarray, n_tokens: int) -> np.ndarray:
    """tokens x checkpoints, if the shape allows."""
    if losses.size == n_tokens:
        return losses.reshape(-1, 1)
    return losses.T if losses.ndim == 2 and losses.shape[0] != n_tokens else losses


def _columns(matrix: Matrix) -> Iterator[Column]:
    """One column after another, several of which are read at a time."""
    values = matrix.read()
    n_tokens, n = values.shape
    width = max(1, _BLOCK // max(1, n_tokens * values.itemsize))
    for start in range(0, n, width):
        block = np.ascontiguousarray(values[:, start : start + width].T)
        for offset, losses in enumerate(block):
            yield Column(matrix.checkpoints[start + offset], str(matrix.file), losses)


FORMAT = Format(
    "matrix", "an array of tokens x checkpoints, or one per checkpoint", recognise, read
)

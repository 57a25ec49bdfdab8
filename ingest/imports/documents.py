"""Formats that are nested (a record per document) describe documents; batches follow from them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.errors import IngestError
from ingest.imports.results import Batch

TOKENS = 2**18
"""Tokens per batch, at least."""


@dataclass(frozen=True)
class Document:
    """One document at one checkpoint. Arrays have the shape (tokens,)."""

    file: str
    record: int
    """The row of the file, from 1."""
    checkpoint: int
    doc: int | str
    loss: np.ndarray
    """float, as published; NaN, or absent, for a first token without one."""
    token_id: np.ndarray | None = None
    token_str: pa.Array | None = None
    rank: np.ndarray | None = None
    entropy: np.ndarray | None = None
    source: str | None = None


def batches_of(documents: Iterable[Document]) -> Iterator[Batch]:
    """The documents' tokens in batches. Raises IngestError for lists of unequal lengths."""
    some: list[Document] = []
    n_tokens = 0
    for document in documents:
        if some and document.file != some[0].file:
            yield _batch(some)
            some, n_tokens = [], 0
        some.append(document)
        n_tokens += len(document.loss)
        if n_tokens >= TOKENS:
            yield _batch(some)
            some, n_tokens = [], 0
    if some:
        yield _batch(some)


def _batch(documents: list[Document]) -> Batch:
    n = np.array([_n_tokens(d) for d in documents])
    losses = [_padded(d, "loss", k) for d, k in zip(documents, n, strict=True)]
    position = [np.arange(len(x)) + int(not _is_silent(x)) for x in losses]
    of = np.repeat(np.arange(len(documents)), n)
    first = documents[0]
    sources = pa.array([d.source for d in documents], pa.string())
    optional: dict[str, Any] = {
        name: np.concatenate([_padded(d, name, k) for d, k in zip(documents, n, strict=True)])
        for name in ("rank", "entropy")
        if getattr(first, name) is not None
    }
    if first.token_id is not None:
        optional["token_id"] = np.concatenate([d.token_id for d in documents]).astype(np.int64)
    if first.token_str is not None:
        optional["token_str"] = pa.concat_arrays([d.token_str for d in documents])
    return Batch(
        first.file,
        np.array([d.record for d in documents])[of],
        np.array([d.checkpoint for d in documents], np.int64)[of],
        np.concatenate(losses),
        pa.array([d.doc for d in documents]).take(pa.array(of)),
        np.concatenate(position),
        source=None if first.source is None else sources.take(pa.array(of)),
        **optional,
    )


def _is_silent(losses: np.ndarray) -> bool:
    return bool(len(losses)) and bool(np.isnan(losses[0]))


def _n_tokens(document: Document) -> int:
    found = [len(x) for x in (document.token_id, document.token_str) if x is not None]
    where = f"{document.file}, row {document.record:,}"
    if not found:
        raise IngestError(
            f"{where}: losses without tokens: name the column of tokens with --map token_id=… or "
            "--map token_str=…, or a table of tokens with --tokens"
        )
    if len(set(found)) > 1:
        raise IngestError(f"{where}: {found[0]:,} token ids, but {found[1]:,} texts of tokens")
    return found[0]


def _padded(document: Document, name: str, n: int) -> np.ndarray:
    """The values as float; NaN in front if the first token has none."""
    values = getattr(document, name)
    where = f"{document.file}, row {document.record:,}"
    if values is None:
        raise IngestError(f"{where}: no {name}, which earlier rows have")
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.floating):
        values = values.astype(np.float64)
    if len(values) == n:
        return values
    if len(values) == n - 1:
        return np.concatenate([np.full(1, np.nan, values.dtype), values])
    raise IngestError(
        f"{where}: {len(values):,} values of {name} for {n:,} tokens; expected as many, or one "
        "less if the first token has none"
    )

"""What a format gives: tokens and losses as published, before units, checks and features."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import pyarrow as pa

from ingest.errors import IngestError

Unit = Literal["nats", "bits", "log10", "logprob", "probability"]
Pieces = Literal["plain", "byte-level", "sentencepiece", "words"]
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class ImportOptions:
    """What the user said about the files. None: find out."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Our name of a column -> the name in the files."""
    unit: Unit | None = None
    tokens: Path | None = None
    """A token table, for losses that are published without their tokens."""
    checkpoints: tuple[int, ...] = ()
    """The checkpoints of the columns of a matrix; or one, of files that do not name theirs."""
    member: str | None = None
    """Which of the matrices in an .npz or .pt file."""
    rank_from: Literal[0, 1] | None = None
    """The rank of the most likely token."""
    pieces: Pieces | None = None


@dataclass(frozen=True)
class Batch:
    """Tokens in the order of a file, with their losses. Arrays have the shape (n,)."""

    file: str
    record: np.ndarray
    """int64: the row of the file, from 1, that holds each token."""
    checkpoint: np.ndarray
    """int64"""
    loss: np.ndarray
    """float, in the published unit; NaN where there is none."""
    doc: pa.Array | None = None
    position: np.ndarray | None = None
    """int64, as published; None: count the tokens of each doc."""
    token_id: np.ndarray | None = None
    token_str: pa.Array | None = None
    is_word_start: np.ndarray | None = None
    source: pa.Array | None = None
    rank: np.ndarray | None = None
    entropy: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.loss)


@dataclass(frozen=True)
class Tokens:
    """The tokens of every checkpoint, doc by doc. Arrays have the shape (tokens,)."""

    doc: np.ndarray
    """int64, non-decreasing: a place in `names`."""
    names: list[str]
    position: np.ndarray
    """int64, increasing by one within a doc."""
    scored: np.ndarray
    """bool. Only the first token of a doc may have no loss; it has no row in the store."""
    token_id: np.ndarray | None
    token_str: pa.Array | None
    is_word_start: np.ndarray | None = None
    sources: list[str] | None = None
    """The source document of each doc; None: each doc is one."""

    @property
    def n_scored(self) -> int:
        return int(self.scored.sum())


@dataclass(frozen=True)
class Column:
    """One checkpoint's values for all scored tokens, in order, as published."""

    checkpoint: int
    file: str
    loss: np.ndarray
    rank: np.ndarray | None = None
    entropy: np.ndarray | None = None


@dataclass(frozen=True)
class Results:
    """The results in some files: either `batches`, or `tokens` and `columns`.

    The functions can be called several times, and read the files anew.
    """

    unit: Unit
    dtype: str
    """The type of the published numbers, such as float16."""
    batches: Callable[[], Iterator[Batch]] | None = None
    tokens: Tokens | None = None
    columns: Callable[[], Iterator[Column]] | None = None
    n_losses: int | None = None
    """For the progress bar; None if only reading all files would tell."""
    rank_from: Literal[0, 1] = 0
    pieces: Pieces | None = None
    notes: tuple[str, ...] = ()
    """Sentences about what was assumed."""


@dataclass(frozen=True)
class Preview:
    """The files at a path, and the first record of one of them."""

    path: Path
    files: list[Path]
    kind: str
    """The suffix that the files share, such as ".parquet"."""
    record: Mapping[str, Any]
    """Column -> value of the first row. Empty for arrays."""


@dataclass(frozen=True)
class Format:
    """A format that `import` reads."""

    name: str
    title: str
    """What it is and who publishes it, for --help and the documentation."""
    recognise: Callable[[Preview], str | None]
    """Why the files are in this format; None if they are not."""
    read: Callable[[Preview, ImportOptions], Results]


def needed(value: _Value | None, sentence: str) -> _Value:
    """The value. Raises IngestError with the sentence if there is none."""
    if value is None:
        raise IngestError(sentence)
    return value

"""Nested tables: a row per document (and checkpoint) with lists of tokens and of losses."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import IngestError
from ingest.imports.documents import Document, batches_of
from ingest.imports.files import checkpoint_of, floats, integers, refuse_without_loss, tables
from ingest.imports.formats.long import text, type_name, unit_of
from ingest.imports.results import Format, ImportOptions, Preview, Results, Unit
from ingest.imports.token_table import read_tokens

NAMES = {
    "checkpoint": ("checkpoint", "step", "training_step", "global_step"),
    "doc": ("doc", "doc_id", "seq_idx", "id", "uid"),
    "source": ("source",),
    "token_id": ("token_ids", "input_ids"),
    "token_str": ("tokens", "token_strs", "pieces"),
    "loss": ("losses", "loss", "logprobs", "token_logprobs", "sup", "surprisals", "probabilities"),
    "rank": ("rank", "ranks"),
    "entropy": ("entropy", "entropies"),
}
UNITS: dict[str, Unit] = {
    "losses": "nats",
    "sup": "nats",
    "logprobs": "logprob",
    "token_logprobs": "logprob",
    "probabilities": "probability",
}
_PER_TOKEN = ("token_id", "token_str", "loss", "rank", "entropy")
_ROWS = 512
"""Documents in memory at a time."""


def recognise(found: Preview) -> str | None:
    """A column of lists that is named like losses."""
    names = columns(found.record, {})
    if "loss" not in names:
        return None
    listed = ", ".join(f"{ours}={name}" for ours, name in names.items())
    return f"a row per document, with lists in the columns {listed}"


def columns(record: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Our name -> name in the file, of the columns that are there. Raises IngestError."""
    if unknown := given.keys() - NAMES.keys():
        raise IngestError(
            f"--map {min(unknown)}=… is no column of this format: expected {', '.join(NAMES)}"
        )
    lists = {name for name, value in record.items() if isinstance(value, list)}
    usable = {ours: lists if ours in _PER_TOKEN else set(record) - lists for ours in NAMES}
    found = {
        ours: next((name for name in names if name in usable[ours]), None)
        for ours, names in NAMES.items()
        if ours not in given
    }
    return {**{k: v for k, v in found.items() if v is not None}, **given}


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with batches. A row without a doc's name is the document of its number."""
    names = columns(found.record, options.columns)
    refuse_without_loss(found, names)
    return Results(
        options.unit or UNITS.get(names["loss"]) or unit_of(names["loss"], None),
        type_of(found, names["loss"]),
        batches=lambda: batches_of(documents(found, options, names)),
    )


def documents(
    found: Preview, options: ImportOptions, names: Mapping[str, str]
) -> Iterator[Document]:
    """The documents of all files, with lists under our names in `names`."""
    seen: dict[int, int] = {}
    known = _Known(options) if options.tokens else None
    for path in found.files:
        at = 0
        for table in tables(path, names.values(), _ROWS):
            rows = {k: table[v].combine_chunks() for k, v in names.items()}
            checkpoints = _checkpoints(rows, path, found, options, table.num_rows)
            lists = {k: _Lists(rows[k], path, k, at) for k in _PER_TOKEN if k in rows}
            for row in range(table.num_rows):
                checkpoint = int(checkpoints[row])
                number = seen[checkpoint] = seen.get(checkpoint, -1) + 1
                doc = rows["doc"][row].as_py() if "doc" in rows else number
                values = {k: column.of(row) for k, column in lists.items()}
                if known:
                    values |= known.of(doc, path, at + row + 1)
                source = str(rows["source"][row]) if "source" in rows else None
                yield Document(str(path), at + row + 1, checkpoint, doc, source=source, **values)
            at += table.num_rows


def _checkpoints(
    rows: Mapping[str, pa.Array], path: Path, found: Preview, options: ImportOptions, n: int
) -> np.ndarray:
    if "checkpoint" in rows:
        return integers(rows["checkpoint"], path, "checkpoint")
    return np.full(n, checkpoint_of(path, found.path, options.checkpoints))


class _Lists:
    """A column of lists, flat. Raises IngestError for a null, and for other types."""

    def __init__(self, values: pa.Array, path: Path, name: str, before: int) -> None:
        if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)):
            raise IngestError(f"{path}: {name} is a column of {values.type}, expected lists")
        if values.null_count:
            at = int(values.is_null().to_numpy(zero_copy_only=False).argmax())
            raise IngestError(f"{path}, row {before + at + 1:,}: {name} is null")
        offsets = values.offsets.to_numpy()
        flat = values.values.slice(offsets[0], offsets[-1] - offsets[0])
        self._bounds = (offsets - offsets[0]).tolist()
        kinds = {"token_str": lambda: text(flat), "token_id": lambda: integers(flat, path, name)}
        self._flat = kinds.get(name, lambda: floats(flat, path, name))()

    def of(self, row: int) -> Any:
        """The list in a row, as an array."""
        return self._flat[self._bounds[row] : self._bounds[row + 1]]


class _Known:
    """Tokens that are published in a file of their own: doc -> ids, texts."""

    def __init__(self, options: ImportOptions) -> None:
        assert options.tokens
        self._file = options.tokens
        self._tokens = read_tokens(options.tokens, options.columns)
        bounds = np.searchsorted(self._tokens.doc, np.arange(len(self._tokens.names) + 1))
        self._bounds = dict(zip(self._tokens.names, pairwise(bounds), strict=True))

    def of(self, doc: int | str, path: Path, row: int) -> dict[str, Any]:
        if str(doc) not in self._bounds:
            raise IngestError(f"{path}, row {row:,}: {self._file} has no tokens of doc {doc}")
        start, end = self._bounds[str(doc)]
        ids, texts = self._tokens.token_id, self._tokens.token_str
        return {
            "token_id": None if ids is None else ids[start:end],
            "token_str": None if texts is None else texts[start:end],
        }


def type_of(found: Preview, name: str) -> str:
    """The type of the numbers in a column of lists."""
    if found.kind != ".parquet":
        return "decimal numbers (JSON)"
    column = pq.read_schema(found.files[0]).field(name).type
    return type_name(column.value_type if hasattr(column, "value_type") else column)


FORMAT = Format("nested", "a table with a row per document, and lists", recognise, read)

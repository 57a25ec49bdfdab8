"""Long tables: a row per token (and checkpoint), in CSV, TSV, Parquet or JSONL."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import IngestError
from ingest.imports.files import (
    checkpoint_of,
    floats,
    integers,
    kind_of,
    refuse_without_loss,
    tables,
)
from ingest.imports.results import Batch, Format, ImportOptions, Preview, Results, Unit

TABLES = (".parquet", ".csv", ".tsv", ".jsonl")
NAMES = {
    "checkpoint": ("checkpoint", "step", "training_step", "global_step"),
    "doc": ("doc", "doc_id", "seq_idx", "sequence", "sentence_id", "sentid", "document"),
    "position": ("position", "token_index", "token_idx"),
    "token_id": ("token_id",),
    "token_str": ("token_str", "token", "word", "piece"),
    "is_word_start": ("is_word_start",),
    "source": ("source",),
    "loss": ("loss", "nll", "logprob", "log_prob", "probability", "prob", "surprisal", "surp"),
    "rank": ("rank",),
    "entropy": ("entropy",),
}
"""Our columns, and the names under which they are found without --map."""
UNITS: dict[str, Unit] = {
    "loss": "nats",
    "nll": "nats",
    "logprob": "logprob",
    "log_prob": "logprob",
    "prob": "probability",
    "probability": "probability",
}


def recognise(found: Preview) -> str | None:
    """A column of numbers that is named like a loss, and one of tokens."""
    names = columns(found.record, {})
    if found.kind not in TABLES or "loss" not in names:
        return None
    if not isinstance(found.record[names["loss"]], int | float | None):
        return None  # None: the first token of a doc may have no loss
    return f"a row per token, with the columns {', '.join(f'{k}={v}' for k, v in names.items())}"


def columns(record: Mapping[str, Any], given: Mapping[str, str]) -> dict[str, str]:
    """Our name -> name in the file, of the columns that are there. Raises IngestError."""
    if unknown := given.keys() - NAMES.keys():
        raise IngestError(
            f"--map {min(unknown)}=… is no column of a store: expected {', '.join(NAMES)}"
        )
    found = {
        ours: next((name for name in names if name in record), None)
        for ours, names in NAMES.items()
        if ours not in given
    }
    return {**{k: v for k, v in found.items() if v is not None}, **given}


def unit_of(name: str, given: Unit | None) -> Unit:
    """What a column's name says of its unit. Raises IngestError for "surprisal" and the like."""
    unit = given or UNITS.get(name.lower())
    if unit is None:
        raise IngestError(
            f"the column {name!r} does not say its unit: give --unit {' | '.join(get_args(Unit))}"
        )
    return unit


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with batches. Rows may be in any order if there is a column of positions."""
    names = columns(found.record, options.columns)
    refuse_without_loss(found, names)
    kinds = {"CSV": (".csv", ".tsv"), "JSON": (".jsonl",)}
    written = next((f"decimal numbers ({k})" for k, v in kinds.items() if found.kind in v), None)
    return Results(
        unit_of(names["loss"], options.unit),
        written or type_name(pq.read_schema(found.files[0]).field(names["loss"]).type),
        batches=lambda: batches(found, options, names),
        n_losses=_n_rows(found.files),
    )


def batches(found: Preview, options: ImportOptions, names: dict[str, str]) -> Iterator[Batch]:
    """The rows of all files."""
    for path in found.files:
        at = 0
        given = (
            None if "checkpoint" in names else checkpoint_of(path, found.path, options.checkpoints)
        )
        for table in tables(path, names.values()):
            columns = {k: table[v].combine_chunks() for k, v in names.items()}
            records = np.arange(at + 1, at + 1 + table.num_rows)
            yield _batch(path, records, columns, given)
            at += table.num_rows


def _batch(
    path: Path, records: np.ndarray, found: dict[str, pa.Array], checkpoint: int | None
) -> Batch:
    numbers = {
        k: integers(found[k], path, k) for k in ("checkpoint", "position", "token_id") if k in found
    }
    if checkpoint is not None:
        numbers["checkpoint"] = np.full(len(records), checkpoint)
    batch = Batch(str(path), records, loss=floats(found["loss"], path, "loss"), **numbers)
    texts = {k: text(found[k]) for k in ("token_str", "source") if k in found}
    measures = {k: floats(found[k], path, k) for k in ("rank", "entropy") if k in found}
    starts = found.get("is_word_start")
    return replace(
        batch,
        doc=found.get("doc"),
        is_word_start=None if starts is None else starts.to_numpy(zero_copy_only=False),
        **cast(dict[str, Any], texts | measures),
    )


def type_name(kind: pa.DataType) -> str:
    """float16 for Arrow's halffloat, and so on."""
    return f"float{kind.bit_width}" if pa.types.is_floating(kind) else str(kind)


def text(values: pa.Array) -> pa.Array:
    """A column as text."""
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def _n_rows(files: list[Path]) -> int | None:
    if kind_of(files[0]) != ".parquet":
        return None
    return sum(int(pq.read_metadata(path).num_rows) for path in files)


FORMAT = Format("long", "a table with a row per token and checkpoint", recognise, read)

"""Write a store's Parquet files, each whole or not at all, the same bytes for the same content."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.checkpoints import Checkpoint
from ingest.corpus import Corpus
from ingest.tables import read_table
from store import schema
from store.files import whole_file
from store.layout import Layout

ROW_GROUP = 122_880  # one DuckDB scan unit


@dataclass(frozen=True)
class Outcome:
    """What became of one checkpoint: scored, or failed with `error`."""

    checkpoint: Checkpoint
    weights_sha256: str | None = None
    n_tokens: int | None = None
    mean_loss: float | None = None
    seconds: float | None = None
    error: str | None = None


def write_text(layout: Layout, corpus: Corpus) -> None:
    """Write docs.parquet and tokens.parquet."""
    _write(layout.docs, corpus.docs)
    _write(layout.tokens, corpus.tokens)


def write_losses(
    layout: Layout, checkpoint: int, tokens: pa.Table, losses: np.ndarray, sha256: str
) -> None:
    """Write one loss file: `tokens` columns repeated, `losses` float32 (tokens,) in nats."""
    columns = [pa.repeat(pa.scalar(checkpoint, pa.int64()), len(losses))]
    columns += [tokens[name].combine_chunks() for name in schema.REPEATED]
    columns.append(pa.array(losses, pa.float32()))
    table = pa.table(columns, schema=schema.LOSSES)
    with whole_file(layout.loss_file(checkpoint)) as temporary:
        pq.write_table(
            table.replace_schema_metadata({"weights_sha256": sha256}),
            temporary,
            compression="zstd",
            compression_level=9,
            row_group_size=ROW_GROUP,
            write_page_checksum=True,
            use_dictionary=["token_id", "token_str"],
            column_encoding={
                "checkpoint": "DELTA_BINARY_PACKED",
                "doc": "DELTA_BINARY_PACKED",
                "position": "DELTA_BINARY_PACKED",
                "is_word_start": "PLAIN",
                "loss": "BYTE_STREAM_SPLIT",
            },
        )


def scored_outcome(path: Path, checkpoint: Checkpoint) -> Outcome:
    """What a loss file says of its checkpoint; the seconds it took are not in it."""
    table = read_table(path)
    sha256 = (table.schema.metadata or {}).get(b"weights_sha256")
    return Outcome(
        checkpoint,
        weights_sha256=sha256.decode() if sha256 else None,
        n_tokens=table.num_rows,
        mean_loss=mean_loss(table["loss"].to_numpy()),
    )


def mean_loss(losses: np.ndarray) -> float:
    """Mean of losses float32 (tokens,) in nats: to the last bit the same, from memory or a file."""
    return float(losses.mean(dtype=np.float64))


def write_outcomes(layout: Layout, outcomes: Iterable[Outcome]) -> None:
    """Write checkpoints.parquet, one row per checkpoint, in order."""
    columns = schema.CHECKPOINTS.append(schema.DUPLICATE_OF)
    ordered = sorted(outcomes, key=lambda o: o.checkpoint.checkpoint)
    of = duplicates(ordered)
    rows = [{**_outcome_row(o), "duplicate_of": of.get(o.checkpoint.checkpoint)} for o in ordered]
    _write(layout.checkpoints, pa.Table.from_pylist(rows, schema=columns))


def duplicates(outcomes: Iterable[Outcome]) -> dict[int, int]:
    """Of those whose weights an earlier one has: that first one; `outcomes` are in order."""
    first: dict[str, int] = {}
    found = {}
    for outcome in outcomes:
        number = outcome.checkpoint.checkpoint
        if outcome.weights_sha256 and first.setdefault(outcome.weights_sha256, number) != number:
            found[number] = first[outcome.weights_sha256]
    return found


def read_outcomes(layout: Layout) -> dict[int, Outcome]:
    """What checkpoints.parquet says, by checkpoint; nothing where there is none yet."""
    if not layout.checkpoints.exists():
        return {}
    rows = read_table(layout.checkpoints).to_pylist()
    return {row["checkpoint"]: _outcome(row, layout) for row in rows}


def _outcome_row(outcome: Outcome) -> dict[str, object]:
    c = outcome.checkpoint
    return {
        "checkpoint": c.checkpoint,
        "revision": c.revision,
        "commit": c.commit,
        "tokens_seen": c.tokens_seen,
        "weights_sha256": outcome.weights_sha256,
        "n_tokens": outcome.n_tokens,
        "mean_loss": outcome.mean_loss,
        "seconds": outcome.seconds,
        "stage": c.stage,
        "step": c.step,
        "error": outcome.error,
    }


def _outcome(row: dict[str, object], layout: Layout) -> Outcome:
    of_checkpoint = ("checkpoint", "revision", "step", "stage", "commit", "tokens_seen")
    checkpoint = Checkpoint(path=layout.root, **{k: row[k] for k in of_checkpoint})  # type: ignore[arg-type]
    rest = ("weights_sha256", "n_tokens", "mean_loss", "seconds", "error")
    return Outcome(checkpoint, **{k: row[k] for k in rest})  # type: ignore[arg-type]


def _write(path: Path, table: pa.Table) -> None:
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=9,
                       row_group_size=ROW_GROUP, write_page_checksum=True)  # fmt: skip

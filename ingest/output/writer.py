"""Write a store's Parquet files, each whole or not at all, the same bytes for the same content."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import IngestError
from ingest.sources.checkpoints import Checkpoint
from ingest.text.corpus import Corpus
from store import schema
from store.files import leftovers, whole_file
from store.layout import Layout
from store.manifest import Manifest, ManifestError, read_manifest, write_manifest

# Read a store's Parquet files, or say what to do; needs no torch.


def read_table(path: Path) -> pa.Table:
    """A whole Parquet file of a store. Raises IngestError where it is damaged or absent."""
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise IngestError(
            f"{path} cannot be read ({error}): delete it and run again; it is made anew"
        ) from error


ROW_GROUP = 122_880  # one DuckDB scan unit
# Of loss files, which are many: each row group repeats the text of its token types, and each page
# is compressed without knowledge of the others.
_LOSS_ROW_GROUP = 2**20
_LOSS_PAGE = 2**23  # bytes: a whole row group's column
_DIGESTS = ("weights_sha256", "losses_sha256")


@dataclass(frozen=True)
class Outcome:
    """What became of one checkpoint: scored, or failed with `error`."""

    checkpoint: Checkpoint
    weights_sha256: str | None = None
    n_tokens: int | None = None
    mean_loss: float | None = None
    seconds: float | None = None
    error: str | None = None
    losses_sha256: str | None = None  # kept in the loss file, so that it is there after a resume


@dataclass(frozen=True)
class Duplicate:
    """That a checkpoint equals the first one that has the very same weights or losses."""

    of: int
    by_weights: bool

    def __str__(self) -> str:
        if self.by_weights:
            return f"has the very same weights as {self.of}"
        return f"gives the very same losses as {self.of}, though its weight files differ"


def write_text(layout: Layout, corpus: Corpus) -> None:
    """Write docs.parquet and tokens.parquet."""
    _write(layout.docs, corpus.docs)
    _write(layout.tokens, corpus.tokens)


def write_losses(layout: Layout, outcome: Outcome, tokens: pa.Table, losses: np.ndarray) -> None:
    """Write one loss file: `tokens` columns repeated, `losses` float32 (tokens,) in nats."""
    checkpoint = outcome.checkpoint.checkpoint
    columns = [pa.repeat(pa.scalar(checkpoint, pa.int64()), len(losses))]
    columns += [tokens[name].combine_chunks() for name in schema.REPEATED]
    columns.append(pa.array(losses, pa.float32()))
    table = pa.table(columns, schema=schema.LOSSES)
    digests = {name: getattr(outcome, name) or "" for name in _DIGESTS}
    with whole_file(layout.loss_file(checkpoint)) as temporary:
        pq.write_table(
            table.replace_schema_metadata(digests),
            temporary,
            compression="zstd",
            compression_level=9,
            row_group_size=_LOSS_ROW_GROUP,
            data_page_size=_LOSS_PAGE,
            max_rows_per_page=_LOSS_ROW_GROUP,
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
    said = digests(table.schema)
    outcome = Outcome(checkpoint, said["weights_sha256"], table.num_rows)
    return replace(outcome, **summary(table["loss"].to_numpy()))


def digests(schema: pa.Schema) -> dict[str, str | None]:
    """weights_sha256 and losses_sha256, as a loss file's schema says them."""
    said = schema.metadata or {}
    return {name: said.get(name.encode(), b"").decode() or None for name in _DIGESTS}


def summary(losses: np.ndarray) -> dict[str, Any]:
    """mean_loss and losses_sha256 of losses float32 (tokens,)."""
    return {
        "mean_loss": mean_loss(losses),
        "losses_sha256": hashlib.sha256(losses.astype("<f4", copy=False).tobytes()).hexdigest(),
    }


def mean_loss(losses: np.ndarray) -> float:
    """Mean of losses float32 (tokens,) in nats: to the last bit the same, from memory or a file."""
    return float(losses.mean(dtype=np.float64))


def write_outcomes(layout: Layout, outcomes: Iterable[Outcome]) -> None:
    """Write checkpoints.parquet, one row per checkpoint, in order."""
    columns = schema.CHECKPOINTS.append(schema.DUPLICATE_OF)
    ordered = sorted(outcomes, key=lambda o: o.checkpoint.checkpoint)
    of = duplicates(ordered)
    numbers = {number: same.of for number, same in of.items()}
    rows = [
        {**_outcome_row(o), "duplicate_of": numbers.get(o.checkpoint.checkpoint)} for o in ordered
    ]
    _write(layout.checkpoints, pa.Table.from_pylist(rows, schema=columns))


def duplicates(outcomes: Iterable[Outcome]) -> dict[int, Duplicate]:
    """Of those that an earlier one equals, by weights or else by losses: the first such one.

    `outcomes` are in order.
    """
    first: dict[str, int] = {}
    found = {}
    for outcome in outcomes:
        number = outcome.checkpoint.checkpoint
        for digest in (outcome.losses_sha256, outcome.weights_sha256):
            if digest and first.setdefault(digest, number) != number:
                found[number] = Duplicate(first[digest], digest == outcome.weights_sha256)
    return found


def read_outcomes(layout: Layout) -> dict[int, Outcome]:
    """What checkpoints.parquet says, by checkpoint; nothing where there is none yet."""
    if not layout.checkpoints.exists():
        return {}
    rows = read_table(layout.checkpoints).to_pylist()
    scored = layout.scored()
    return {row["checkpoint"]: _outcome(row, layout, scored) for row in rows}


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


def _outcome(row: dict[str, Any], layout: Layout, scored: dict[int, Path]) -> Outcome:
    of_checkpoint = ("checkpoint", "revision", "step", "stage", "commit", "tokens_seen")
    checkpoint = Checkpoint(path=layout.root, **{k: row[k] for k in of_checkpoint})
    rest = ("weights_sha256", "n_tokens", "mean_loss", "seconds", "error")
    outcome = Outcome(checkpoint, **{k: row[k] for k in rest})
    path = scored.get(row["checkpoint"])
    return replace(outcome, losses_sha256=_losses_sha256(path) if path else None)


def _losses_sha256(path: Path) -> str | None:
    """From the file's footer alone; a damaged file is told by those who need its losses."""
    try:
        return digests(pq.read_schema(path))["losses_sha256"]
    except (OSError, pa.ArrowException):
        return None


def _write(path: Path, table: pa.Table) -> None:
    with whole_file(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=9,
            row_group_size=ROW_GROUP,
            write_page_checksum=True,
        )


# Open a store for writing: sure that it is the right one, knowing what is done.


def open_store(
    layout: Layout, corpus: Corpus, manifest: Manifest, share: list[Checkpoint] | None = None
) -> None:
    """Make the store, or check that it is the one that this run would make.

    Loss files that a killed run has left half-written are removed, if they are of `share`: the
    others may be another shard's, which is writing them.
    """
    for path in [*leftovers(layout.root), *_half_written(layout, share)]:
        path.unlink()
    if layout.manifest.exists():
        try:
            found = read_manifest(layout.manifest)
        except ManifestError as error:
            raise IngestError(str(error)) from error
        _refuse_other(layout.root, found, manifest)
        _mend_text(layout, corpus, manifest)
        return
    if layout.scored():
        raise IngestError(
            f"{layout.root} has loss files but no manifest.json: it is damaged; "
            "restore the manifest or name another --store"
        )
    write_text(layout, corpus)
    write_manifest(manifest, layout.manifest)


def known_outcomes(layout: Layout, checkpoints: list[Checkpoint]) -> dict[int, Outcome]:
    """Outcomes so far; those that a kill left unrecorded are read from their loss files.

    Raises IngestError for a loss file that is damaged, or not what its name says.
    """
    _refuse_unusable(layout)
    known = read_outcomes(layout)
    by_number = {c.checkpoint: c for c in checkpoints}
    for number, path in layout.scored().items():
        recorded = known.get(number)
        if recorded is None or recorded.error:
            checkpoint = by_number.get(number) or Checkpoint(number, path.stem, path, number)
            known[number] = scored_outcome(path, checkpoint)
    write_outcomes(layout, known.values())
    return known


def _refuse_unusable(layout: Layout) -> None:
    """A loss file that is there counts as scored; its footer tells what it holds."""
    n_tokens = pq.read_metadata(layout.tokens).num_rows
    for number, path in layout.scored().items():
        advice = "delete it and run again; it is made anew"
        try:
            found = pq.read_metadata(path)
        except (OSError, pa.ArrowException) as error:
            raise IngestError(f"{path} is damaged: {advice}") from error
        groups = [found.row_group(i).column(0).statistics for i in range(found.num_row_groups)]
        held = {step for s in groups if s and s.has_min_max for step in (s.min, s.max)}
        # A file without rows stands for one at a URL.
        if held - {number} or found.num_rows not in (0, n_tokens):
            raise IngestError(f"{path} holds other losses than its name says: {advice}")


def _half_written(layout: Layout, share: list[Checkpoint] | None) -> list[Path]:
    found = leftovers(layout.losses)
    if share is None:
        return found
    names = tuple(f".{layout.loss_file(c.checkpoint).name}." for c in share)
    return [p for p in found if p.name.startswith(names)]


def _refuse_other(root: os.PathLike[str], found: Manifest, wanted: Manifest) -> None:
    compared = {
        "model": "another model",
        "tokenizer_sha256": "another tokenizer",
        "context_length": "another context length",
        "bos_id": "another BOS convention",
        "max_parts": "another --max-parts",
        "stride": "another --stride",
        "limit_docs": "another --limit-docs",
        "limit_tokens": "another --limit-tokens",
        "dtype": "another dtype",
        "attention": "another attention backend",
        "token_fingerprint": "another text",
    }
    for name, what in compared.items():
        old, new = getattr(found, name), getattr(wanted, name)
        if old != new:
            raise IngestError(
                f"{root} was made with {what} ({name} {_short(old)}, now {_short(new)}): losses "
                "of both cannot stand in one store; name another --store"
            )


def _mend_text(layout: Layout, corpus: Corpus, manifest: Manifest) -> None:
    """Write docs and tokens again where one of them is gone; refuse damaged ones."""
    if not (layout.docs.exists() and layout.tokens.exists()):
        write_text(layout, corpus)
    read_table(layout.docs)
    tokens = read_table(layout.tokens)
    if tokens.schema.names != schema.TOKENS.names or (
        schema.fingerprint(tokens) != manifest.token_fingerprint
    ):
        raise IngestError(
            f"{layout.tokens} does not hold the tokens that manifest.json names: delete it and "
            "run again; it is made anew"
        )


def _short(value: object) -> str:
    return str(value)[:40]

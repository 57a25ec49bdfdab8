"""What became of each checkpoint: checkpoints.parquet, and what loss files say of themselves."""

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import IngestError
from ingest.output.tables import read_table, write_table
from ingest.sources.audit import Parts
from ingest.sources.revisions import Checkpoint
from store import schema
from store.layout import Layout

DIGESTS = ("weights_sha256", "losses_sha256")
"""What a loss file's metadata holds of the whole weights and losses."""
_PARTS = "weight_parts"
"""What it holds of single files and tensors: their digests, as compressed JSON."""


@dataclass(frozen=True)
class Outcome:
    """A checkpoint that was scored, or that failed with `error`."""

    checkpoint: Checkpoint
    weights_sha256: str | None = None
    n_tokens: int | None = None
    mean_loss: float | None = None
    seconds: float | None = None
    error: str | None = None
    losses_sha256: str | None = None  # kept in the loss file, so that it survives a resume


@dataclass(frozen=True)
class Duplicate:
    """A checkpoint has the same weights or losses as an earlier one, `of`."""

    of: int
    by_weights: bool

    def __str__(self) -> str:
        if self.by_weights:
            return f"has the same weights as {self.of}"
        return f"gives the same losses as {self.of}, though its weight files differ"


def summarize(losses: np.ndarray) -> dict[str, Any]:
    """mean_loss and losses_sha256 of losses float32 (tokens,).

    The mean is the same to the last bit whether the losses come from memory or from a file.
    """
    return {
        "mean_loss": float(losses.mean(dtype=np.float64)),
        "losses_sha256": hashlib.sha256(losses.astype("<f4", copy=False).tobytes()).hexdigest(),
    }


def duplicates(outcomes: Iterable[Outcome]) -> dict[int, Duplicate]:
    """The checkpoints that equal an earlier one, by weights or else by losses, and the first such.

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


def write_outcomes(layout: Layout, outcomes: Iterable[Outcome]) -> None:
    """Write checkpoints.parquet, one row per checkpoint, in order."""
    columns = schema.CHECKPOINTS.append(schema.DUPLICATE_OF)
    ordered = sorted(outcomes, key=lambda o: o.checkpoint.checkpoint)
    equal_to = {number: duplicate.of for number, duplicate in duplicates(ordered).items()}
    rows = [{**_to_row(o), "duplicate_of": equal_to.get(o.checkpoint.checkpoint)} for o in ordered]
    write_table(layout.checkpoints, pa.Table.from_pylist(rows, schema=columns))


def read_outcomes(layout: Layout) -> dict[int, Outcome]:
    """The rows of checkpoints.parquet by checkpoint; empty if the file does not exist yet."""
    if not layout.checkpoints.exists():
        return {}
    rows = read_table(layout.checkpoints).to_pylist()
    scored = layout.scored()
    return {row["checkpoint"]: _from_row(row, layout, scored) for row in rows}


def known_outcomes(layout: Layout, checkpoints: list[Checkpoint]) -> dict[int, Outcome]:
    """All outcomes so far. Those that a killed run did not record are read from the loss files.

    Raises IngestError for a loss file that is damaged, or does not hold what its name says.
    """
    _refuse_unusable(layout)
    known = read_outcomes(layout)
    by_number = {c.checkpoint: c for c in checkpoints}
    for number, path in layout.scored().items():
        recorded = known.get(number)
        if recorded is None or recorded.error:
            checkpoint = by_number.get(number) or Checkpoint(number, path.stem, path, number)
            known[number] = outcome_of_file(path, checkpoint)
    write_outcomes(layout, known.values())
    return known


def outcome_of_file(path: Path, checkpoint: Checkpoint) -> Outcome:
    """What a loss file says of its checkpoint. It does not say how many seconds scoring took."""
    table = read_table(path)
    digests = stored_digests(table.schema)
    outcome = Outcome(checkpoint, digests["weights_sha256"], table.num_rows)
    return replace(outcome, **summarize(table["loss"].to_numpy()))


def _refuse_unusable(layout: Layout) -> None:
    """Every existing loss file counts as scored, so check what its footer says it holds."""
    n_tokens = pq.read_metadata(layout.tokens).num_rows
    advice = "delete it and run again, which recreates it"
    for number, path in layout.scored().items():
        try:
            found = pq.read_metadata(path)
        except (OSError, pa.ArrowException) as error:
            raise IngestError(f"{path} is damaged: {advice}") from error
        groups = [found.row_group(i).column(0).statistics for i in range(found.num_row_groups)]
        held = {step for s in groups if s and s.has_min_max for step in (s.min, s.max)}
        # A file without rows is the placeholder for one at a URL.
        if held - {number} or found.num_rows not in (0, n_tokens):
            raise IngestError(f"{path} holds other losses than its name says: {advice}")


def _to_row(outcome: Outcome) -> dict[str, object]:
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


def _from_row(row: dict[str, Any], layout: Layout, scored: dict[int, Path]) -> Outcome:
    of_checkpoint = ("checkpoint", "revision", "step", "stage", "commit", "tokens_seen")
    checkpoint = Checkpoint(path=layout.root, **{k: row[k] for k in of_checkpoint})
    rest = ("weights_sha256", "n_tokens", "mean_loss", "seconds", "error")
    outcome = Outcome(checkpoint, **{k: row[k] for k in rest})
    path = scored.get(row["checkpoint"])
    return replace(outcome, losses_sha256=_losses_sha256(path) if path else None)


def stored_digests(table: pa.Schema) -> dict[str, str | None]:
    """What the metadata of a loss file say: DIGESTS -> value, None if there is none."""
    metadata = table.metadata or {}
    return {name: metadata.get(name.encode(), b"").decode() or None for name in DIGESTS}


def file_metadata(outcome: Outcome) -> dict[str, str]:
    """The metadata of the outcome's loss file, which later runs compare their weights with."""
    digests = {name: getattr(outcome, name) or "" for name in DIGESTS}
    checkpoint = outcome.checkpoint
    parts = json.dumps([dict(checkpoint.weight_digests), dict(checkpoint.tensor_samples)])
    return {**digests, _PARTS: base64.b64encode(zlib.compress(parts.encode(), 9)).decode()}


def scored_parts(layout: Layout, outcomes: Iterable[Outcome]) -> list[Parts]:
    """The weights of the checkpoints that have loss files, as these describe them."""
    scored = layout.scored()
    return [
        _stored_parts(scored[o.checkpoint.checkpoint], o.checkpoint)
        for o in outcomes
        if o.checkpoint.checkpoint in scored
    ]


def _stored_parts(path: Path, checkpoint: Checkpoint) -> Parts:
    """Files of other writers say nothing of single files and tensors."""
    found = pq.read_schema(path)
    digests = stored_digests(found)
    packed = (found.metadata or {}).get(_PARTS.encode())
    try:
        files, tensors = json.loads(zlib.decompress(base64.b64decode(packed or b"")))
    except (ValueError, zlib.error):
        files, tensors = {}, {}
    whole, losses = digests["weights_sha256"], digests["losses_sha256"]
    return Parts(checkpoint, whole, files, tensors, losses=losses)


def _losses_sha256(path: Path) -> str | None:
    """From the file's footer only. Whoever needs the losses reports a damaged file."""
    try:
        return stored_digests(pq.read_schema(path))["losses_sha256"]
    except (OSError, pa.ArrowException):
        return None

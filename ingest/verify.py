"""Check a store: is it whole and consistent, and how do its losses differ from another's?

Needs no torch.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingest.errors import IngestError
from ingest.output.outcomes import stored_digests, summarize
from ingest.output.tables import read_store_manifest, read_table
from store import schema
from store.features import FeatureError, read_feature
from store.files import leftovers
from store.layout import Layout
from store.manifest import Manifest

ENTROPY_BOUND = np.log(2**31)  # nats, of more token types than a token_id can number
ROUNDING = 1e-3  # nats; as `ingest compare` accepts between two stores
HIGHEST_SCORE = 1.01  # attention weights sum to 1 up to rounding, which is coarse in bfloat16


def verify(root: Path) -> list[str]:
    """All problems, each a sentence; an empty list means that the store is whole and consistent.

    Raises IngestError if `root` is not a store.
    """
    layout = Layout(root)
    manifest = read_store_manifest(layout)
    tables, problems = _read_tables(layout, chat=bool(manifest.options.get("chat")))
    if problems:
        return problems
    problems += _text_problems(manifest, tables[layout.tokens], tables[layout.docs])
    outcomes = {row["checkpoint"]: row for row in tables[layout.checkpoints].to_pylist()}
    problems += _file_problems(layout, outcomes)
    problems += _plan_problems(layout, manifest, outcomes)
    tokens = tables[layout.tokens].select(schema.REPEATED)
    for checkpoint, path in layout.scored().items():
        found = _loss_problems(path, checkpoint, tokens, outcomes.get(checkpoint))
        problems += [f"{path.name}: {p}" for p in found]
    problems += _prediction_problems(layout, manifest, tokens)
    weights = {n: o["weights_sha256"] for n, o in outcomes.items() if not o["error"]}
    problems += _probe_problems(layout, weights)
    return [*problems, *_feature_problems(layout, manifest)]


def _read_tables(layout: Layout, chat: bool) -> tuple[dict[Path, pa.Table], list[str]]:
    """Every table except the losses, and what is wrong with those that cannot be used."""
    tables, problems = {}, []
    expected = {
        layout.tokens: schema.tokens(chat),
        layout.docs: schema.DOCS,
        layout.checkpoints: schema.CHECKPOINTS,
    }
    for path, columns in expected.items():
        try:
            tables[path] = read_table(path)
        except IngestError as error:
            problems.append(str(error))
            continue
        found = list(tables[path].schema)[: len(columns)]  # docs may have more: metadata
        if found != list(columns):
            problems.append(
                f"{path.name} has other columns than expected ({_names(found)}, expected "
                f"{_names(columns)}): delete it and run ingest again"
            )
    return tables, problems


def _text_problems(manifest: Manifest, tokens: pa.Table, docs: pa.Table) -> Iterator[str]:
    if schema.fingerprint(tokens) != manifest.token_fingerprint:
        yield "tokens.parquet does not have the fingerprint in manifest.json"
        return
    if not np.array_equal(tokens["row"].to_numpy(), np.arange(tokens.num_rows)):
        yield "tokens.parquet: row does not count 0, 1, 2, …"
    if tokens.num_rows != manifest.n_tokens or docs.num_rows != manifest.n_docs:
        yield "manifest.json has other numbers of docs and tokens than the tables"
    counted = np.bincount(tokens["doc"].to_numpy(), minlength=docs.num_rows)
    if not np.array_equal(counted, docs["n_tokens"].to_numpy()):
        yield "docs.parquet: n_tokens is not the number of each doc's rows in tokens.parquet"


def _file_problems(layout: Layout, outcomes: dict[int, dict[str, Any]]) -> Iterator[str]:
    folders = (layout.root, layout.losses, layout.predictions)
    for path in [path for folder in folders for path in leftovers(folder)]:
        yield f"{path.name} was left behind by a killed ingest: run it again"
    scored = layout.scored()
    for path in sorted(set(layout.losses.glob("*.parquet")) - {*scored.values()}):
        yield f"losses/{path.name} is not a loss file of this store: move it elsewhere"
    for number in sorted(scored.keys() - outcomes.keys()):
        yield f"checkpoint {number} has a loss file but no row in checkpoints.parquet"
    for number, outcome in sorted(outcomes.items()):
        if outcome["error"]:
            yield f"checkpoint {number} failed: {outcome['error']}"
        elif number not in scored:
            yield f"checkpoint {number} is in checkpoints.parquet but has no loss file"


def _plan_problems(
    layout: Layout, manifest: Manifest, outcomes: dict[int, dict[str, Any]]
) -> Iterator[str]:
    for number in sorted({*(manifest.planned or ())} - outcomes.keys() - layout.scored().keys()):
        yield f"checkpoint {number} was planned but is not scored: run ingest again"


def _loss_problems(
    path: Path, checkpoint: int, tokens: pa.Table, outcome: dict[str, Any] | None
) -> Iterator[str]:
    try:
        table = read_table(path)
    except IngestError as error:
        yield str(error)
        return
    if not table.schema.equals(schema.LOSSES, check_metadata=False):
        yield f"has other columns than expected ({_names(table.schema)})"
        return
    if table.num_rows != tokens.num_rows or not table.select(schema.REPEATED).equals(tokens):
        yield "does not have the rows of tokens.parquet"
    if pc.any(pc.not_equal(table["checkpoint"], checkpoint)).as_py():
        yield "holds another checkpoint than its name says"
    losses = table["loss"].to_numpy()
    if not np.isfinite(losses).all() or (losses < 0).any():
        yield "has losses that are missing, infinite or negative"
        return
    scored = outcome if outcome and not outcome["error"] else None
    problems = [*_mean_problems(losses, scored)] if scored else []
    yield from problems or _digest_problems(table, scored)


def _digest_problems(table: pa.Table, outcome: dict[str, Any] | None) -> Iterator[str]:
    """What the file says of itself. Files of other writers may say nothing."""
    digests = stored_digests(table.schema)
    losses, weights = digests["losses_sha256"], digests["weights_sha256"]
    if losses and losses != summarize(table["loss"].to_numpy())["losses_sha256"]:
        yield "holds other losses than those that it was written with"
    if outcome and weights and weights != outcome["weights_sha256"]:
        yield "was scored with other weights than checkpoints.parquet says"


def _mean_problems(losses: np.ndarray, outcome: dict[str, Any]) -> Iterator[str]:
    """Two sums of the same float32 values differ only by their rounding, far below 1e-9."""
    mean = losses.mean(dtype=np.float64)
    if len(losses) != outcome["n_tokens"] or abs(mean - outcome["mean_loss"]) > 1e-9:
        yield "does not have the count and mean in checkpoints.parquet"


def _prediction_problems(layout: Layout, manifest: Manifest, tokens: pa.Table) -> Iterator[str]:
    """A store without `predictions` in its manifest may have them for some of its checkpoints."""
    scored, predicted = layout.scored(), layout.predicted()
    lacking = scored.keys() - predicted.keys() if manifest.options.get("predictions") else ()
    for number in sorted(lacking):
        yield f"checkpoint {number} has losses but no predictions: run ingest again"
    for number, path in predicted.items():
        if number not in scored:
            yield f"checkpoint {number} has predictions but no losses: run ingest again"
            continue
        imported = manifest.imported is not None
        for problem in _faults_of_predictions(path, number, tokens, scored[number], imported):
            yield f"predictions/{path.name}: {problem}"


def _faults_of_predictions(
    path: Path, checkpoint: int, tokens: pa.Table, losses: Path, imported: bool
) -> Iterator[str]:
    try:
        table, scored = read_table(path), read_table(losses)
    except IngestError as error:
        yield str(error)
        return
    if not table.schema.equals(schema.PREDICTIONS, check_metadata=False):
        yield f"has other columns than expected ({_names(table.schema)})"
        return
    keys = ["doc", "position"]
    if table.num_rows != tokens.num_rows or not table.select(keys).equals(tokens.select(keys)):
        yield "does not have the rows of tokens.parquet"
        return
    if pc.any(pc.not_equal(table["checkpoint"], checkpoint)).as_py():
        yield "holds another checkpoint than its name says"
    own, other = stored_digests(table.schema), stored_digests(scored.schema)
    if own["weights_sha256"] != other["weights_sha256"]:
        yield "was scored with other weights than the losses"
    # Of another run with the same weights, losses may differ by rounding.
    rounding = 0 if own["losses_sha256"] == other["losses_sha256"] else ROUNDING
    if imported:
        yield from _impossible_imports(table)
    else:
        yield from _impossible_predictions(table, scored["loss"].to_numpy() + rounding, tokens)


def _impossible_imports(table: pa.Table) -> Iterator[str]:
    """Other tools publish ranks or entropies only: a column is NULL, or has all values."""
    for name in ("rank", "entropy"):
        if table[name].null_count not in (0, table.num_rows):
            yield f"lacks values of {name}"
        elif not pc.all(pc.greater_equal(table[name], 0)).as_py() and not table[name].null_count:
            yield f"has a {name} that is negative or not a number"


def _impossible_predictions(table: pa.Table, loss: np.ndarray, tokens: pa.Table) -> Iterator[str]:
    rank, entropy, top_id, top_loss = (
        table[name].to_numpy() for name in ("rank", "entropy", "top_id", "top_loss")
    )
    if any(table[name].null_count for name in ("rank", "entropy", "top_id", "top_loss")):
        yield "lacks values"
    elif (rank < 0).any() or (top_id < 0).any() or not ((entropy >= 0) & (top_loss >= 0)).all():
        yield "has a rank, entropy, top_id or top_loss that is negative or not a number"
    elif not np.array_equal(rank == 0, top_id == tokens["token_id"].to_numpy()):
        yield "has a rank of 0 where the first guess is another token, or the reverse"
    elif (top_loss > loss).any():
        yield "has a first guess that is less likely than the actual token"
    elif (entropy > ENTROPY_BOUND).any() or not np.isfinite(top_loss).all():
        yield "has an entropy or a top_loss that no vocabulary can have"


def _probe_problems(layout: Layout, weights: dict[int, str | None]) -> Iterator[str]:
    """What is wrong with the probes. `weights` has the sha256 of each scored checkpoint."""
    if not layout.probes.exists():
        return
    try:
        table = read_table(layout.probes)
    except IngestError as error:
        yield str(error)
        return
    if not table.schema.equals(schema.PROBES, check_metadata=False):
        yield "probes.parquet has other columns than expected: delete it and run with --probes"
        return
    advice = "run again with --probes"
    by_checkpoint: dict[int, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        by_checkpoint.setdefault(row["checkpoint"], []).append(row)
    for number in sorted(by_checkpoint.keys() - weights.keys()):
        yield f"probes.parquet: checkpoint {number} has probes but no losses: {advice}"
    for number in sorted(weights.keys() - by_checkpoint.keys()):
        yield f"probes.parquet: checkpoint {number} has losses but no probes: {advice}"
    for number in sorted(weights.keys() & by_checkpoint.keys()):
        yield from (
            f"probes.parquet: checkpoint {number} {fault}: {advice}"
            for fault in _probe_faults(by_checkpoint[number], weights[number])
        )


def _probe_faults(rows: list[dict[str, Any]], sha256: str | None) -> Iterator[str]:
    if {row["weights_sha256"] for row in rows} != {sha256}:
        yield "was probed with other weights than it was scored with"
    keys = [(row["probe"], row["layer"], row["head"]) for row in rows]
    names = [name for name, _, _ in keys]
    once = all(names.count(name) == 1 for name in (schema.LOSS_FIRST, schema.LOSS_SECOND))
    if not once or len(set(keys)) != len(keys) or schema.PREFIX_MATCHING not in names:
        yield "has a probe twice or not at all"
    for row in rows:
        value = row["value"]
        most = HIGHEST_SCORE if row["probe"] == schema.PREFIX_MATCHING else float("inf")
        if value is None and row["layer"] is None and row["probe"] == schema.PREFIX_MATCHING:
            continue  # a model that gives no attention weights
        if value is None or not 0 <= value <= most or value == float("inf"):
            yield f"has a {row['probe']} of {value}"


def _feature_problems(layout: Layout, manifest: Manifest) -> Iterator[str]:
    for path in sorted(layout.features.glob("*.parquet")):
        try:
            read_feature(path, manifest)
        except FeatureError as error:
            yield str(error)


def _names(columns: Iterable[pa.Field]) -> str:
    return ", ".join(f"{c.name} {c.type}" for c in columns)


@dataclass(frozen=True)
class Distance:
    """Absolute differences of one checkpoint's losses in two stores, in nats.

    If both have predictions: the largest difference of an entropy, and the share of tokens with the
    same first guess.
    """

    checkpoint: int
    largest: float
    mean: float
    entropy: float | None = None
    same_guess: float | None = None

    def within(self, tolerance: float) -> bool:
        """Is no loss and no entropy further apart, in nats? NaN is."""
        return self.largest <= tolerance and (self.entropy is None or self.entropy <= tolerance)

    def __str__(self) -> str:
        losses = f"largest difference {self.largest:.1e}, mean {self.mean:.1e} nats"
        if self.entropy is None:
            return losses
        return f"{losses}; entropy {self.entropy:.1e} nats, same first guess {self.same_guess:.3%}"


def compare(store: Path, reference: Path) -> Iterator[Distance]:
    """Distances at the checkpoints that both stores have, in order.

    Raises IngestError if one is not a store, or if they hold other tokens or share no checkpoint.
    """
    one, other = Layout(store), Layout(reference)
    _refuse_other_tokens(one, other)
    shared = sorted(one.scored().keys() & other.scored().keys())
    if not shared:
        raise IngestError(f"{store} and {reference} have no checkpoint in common")
    for checkpoint in shared:
        difference = np.abs(_losses(one, checkpoint) - _losses(other, checkpoint))
        yield Distance(
            checkpoint,
            float(difference.max()),
            float(difference.mean()),
            *_distance_of_predictions(one, other, checkpoint),
        )


def _distance_of_predictions(
    one: Layout, other: Layout, checkpoint: int
) -> tuple[float | None, float | None]:
    files = [layout.prediction_file(checkpoint) for layout in (one, other)]
    if not all(file.exists() for file in files):
        return None, None
    first, second = map(read_table, files)
    entropies = (np.asarray(t["entropy"], dtype=np.float64) for t in (first, second))
    same = np.asarray(first["top_id"]) == np.asarray(second["top_id"])
    return float(np.abs(np.subtract(*entropies)).max()), float(same.mean())


def only_in_one(store: Path, reference: Path) -> int:
    """How many checkpoints `compare` leaves out."""
    return len(Layout(store).scored().keys() ^ Layout(reference).scored().keys())


def _refuse_other_tokens(one: Layout, other: Layout) -> None:
    first, second = (read_store_manifest(layout).token_fingerprint for layout in (one, other))
    if first != second:
        raise IngestError(
            f"{one.root} and {other.root} hold other tokens (their fingerprints differ): only "
            "stores of one text, tokenizer and context length can be compared"
        )


def _losses(layout: Layout, checkpoint: int) -> np.ndarray:
    """Losses float64 (tokens,) of one checkpoint."""
    table = read_table(layout.loss_file(checkpoint))
    return np.asarray(table["loss"], dtype=np.float64)

"""Is a store whole and consistent? Reads every file, changes none, needs no torch."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ingest.errors import IngestError
from store import schema
from store.files import leftovers
from store.layout import Layout
from store.manifest import Manifest, ManifestError, read_manifest


def verify(root: Path) -> list[str]:
    """All problems found, each a sentence; an empty list means whole and consistent.

    Raises IngestError where `root` is not a store at all.
    """
    layout = Layout(root)
    try:
        manifest = read_manifest(layout.manifest)
    except ManifestError as error:
        raise IngestError(str(error)) from error
    tables = {}
    problems = []
    for path in (layout.tokens, layout.docs, layout.checkpoints):
        try:
            tables[path] = pq.read_table(path)
        except (OSError, pa.ArrowInvalid) as error:
            problems.append(f"{path.name} cannot be read: {error}")
    if problems:
        return problems
    problems += _text_problems(manifest, tables[layout.tokens], tables[layout.docs])
    problems += _checkpoint_problems(layout, tables[layout.checkpoints])
    tokens = tables[layout.tokens].select(schema.REPEATED)
    for checkpoint, path in layout.scored().items():
        problems += [f"{path.name}: {p}" for p in _loss_problems(path, checkpoint, tokens)]
    return problems


def _text_problems(manifest: Manifest, tokens: pa.Table, docs: pa.Table) -> Iterator[str]:
    if tokens.schema.names != schema.TOKENS.names:
        yield f"tokens.parquet has the columns {', '.join(tokens.schema.names)}"
        return
    if schema.fingerprint(tokens) != manifest.token_fingerprint:
        yield "tokens.parquet does not have the fingerprint that manifest.json names"
    if not np.array_equal(tokens["row"].to_numpy(), np.arange(tokens.num_rows)):
        yield "tokens.parquet: row does not count 0, 1, 2, …"
    if tokens.num_rows != manifest.n_tokens or docs.num_rows != manifest.n_docs:
        yield "manifest.json counts other numbers of docs and tokens than there are"
    counted = np.bincount(tokens["doc"].to_numpy(), minlength=docs.num_rows)
    if not np.array_equal(counted, docs["n_tokens"].to_numpy()):
        yield "docs.parquet: n_tokens is not the number of each doc's rows in tokens.parquet"


def _checkpoint_problems(layout: Layout, checkpoints: pa.Table) -> Iterator[str]:
    for path in [*leftovers(layout.root), *leftovers(layout.losses)]:
        yield f"{path.name} is left over from a killed ingest: run it again"
    rows = {row["checkpoint"]: row for row in checkpoints.to_pylist()}
    scored = layout.scored()
    for number in sorted(scored.keys() - rows.keys()):
        yield f"checkpoint {number} has a loss file but no row in checkpoints.parquet"
    for number, row in sorted(rows.items()):
        if row["error"]:
            yield f"checkpoint {number} failed: {row['error']}"
        elif number not in scored:
            yield f"checkpoint {number} is in checkpoints.parquet but has no loss file"
        else:
            yield from _mean_problems(scored[number], row["n_tokens"], row["mean_loss"])


def _mean_problems(path: Path, n_tokens: int, mean_loss: float) -> Iterator[str]:
    try:
        losses = pq.read_table(path, columns=["loss"])["loss"]
    except (OSError, pa.ArrowInvalid, KeyError):
        return  # _loss_problems says so
    mean = pc.mean(losses).as_py()
    if len(losses) != n_tokens or mean is None or abs(mean - mean_loss) > 1e-6:
        yield f"{path.name} does not have the count and mean that checkpoints.parquet names"


def _loss_problems(path: Path, checkpoint: int, tokens: pa.Table) -> Iterator[str]:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        yield f"cannot be read ({error}): delete it and run ingest again"
        return
    if not table.schema.equals(schema.LOSSES, check_metadata=False):
        yield f"has the columns {table.schema.to_string(show_schema_metadata=False)!r}"
        return
    if table.num_rows != tokens.num_rows or not table.select(schema.REPEATED).equals(tokens):
        yield "does not have the rows of tokens.parquet"
    if pc.any(pc.not_equal(table["checkpoint"], checkpoint)).as_py():
        yield "holds another checkpoint than its name says"
    losses = table["loss"].to_numpy()
    if not np.isfinite(losses).all() or (losses < 0).any():
        yield "has losses that are missing, infinite or negative"

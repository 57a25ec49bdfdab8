"""Open a store for writing: sure that it is the right one, knowing what is done."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest import writer
from ingest.checkpoints import Checkpoint
from ingest.corpus import Corpus
from ingest.errors import IngestError
from ingest.tables import read_table
from ingest.writer import Outcome
from store import schema
from store.files import leftovers
from store.layout import Layout
from store.manifest import Manifest, ManifestError, read_manifest, write_manifest


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
    writer.write_text(layout, corpus)
    write_manifest(manifest, layout.manifest)


def known_outcomes(layout: Layout, checkpoints: list[Checkpoint]) -> dict[int, Outcome]:
    """Outcomes so far; those that a kill left unrecorded are read from their loss files.

    Raises IngestError for a loss file that is damaged, or not what its name says.
    """
    _refuse_unusable(layout)
    known = writer.read_outcomes(layout)
    by_number = {c.checkpoint: c for c in checkpoints}
    for number, path in layout.scored().items():
        recorded = known.get(number)
        if recorded is None or recorded.error:
            checkpoint = by_number.get(number) or Checkpoint(number, path.stem, path, number)
            known[number] = writer.scored_outcome(path, checkpoint)
    writer.write_outcomes(layout, known.values())
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
        writer.write_text(layout, corpus)
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

"""Create a store or check that it is the right one; write its text, losses and predictions."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import IngestError
from ingest.options import recorded_options
from ingest.output.outcomes import DIGESTS, Outcome, file_metadata
from ingest.output.tables import read_store_manifest, read_table, write_table
from ingest.sources.revisions import Checkpoint
from store import schema
from store.files import leftovers, whole_file
from store.layout import Layout
from store.manifest import Manifest, write_manifest

if TYPE_CHECKING:  # imports must not load transformers
    from ingest.text.corpus import Corpus

# Loss files are many: each row group repeats the text of its token types, and each page is
# compressed independently. So both are large.
_LOSS_ROW_GROUP = 2**20
_LOSS_PAGE = 2**23  # bytes: a whole row group's column
# Fields of the manifest that must agree before losses are added, and what a difference means.
_COMPARED = {
    "model": "another model",
    "tokenizer_sha256": "another tokenizer",
    "context_length": "another context length",
    "bos_id": "another BOS convention",
    "dtype": "another dtype",
    "attention": "another attention backend",
    "shapes_sha256": "a model of other shapes",
}


def open_store(
    layout: Layout, corpus: "Corpus", manifest: Manifest, share: list[Checkpoint] | None = None
) -> None:
    """Create the store, or check that it is the one that this run would create.

    Removes files that a killed run left half-written. Of checkpoints' files, only those of `share`
    are removed: another shard may be writing the others. Raises IngestError for any other store.
    """
    for path in [*leftovers(layout.root), *_half_written(layout, share)]:
        path.unlink()
    if layout.manifest.exists():
        found = read_store_manifest(layout)
        _refuse_other(layout.root, found, manifest)
        _refuse_mixing(layout.root, found, manifest)
        _restore_text(layout, corpus, manifest)
        _extend_manifest(layout, found, manifest)
        return
    if layout.scored():
        raise IngestError(
            f"{layout.root} has loss files but no manifest.json: it is damaged; "
            "restore the manifest or name another --store"
        )
    write_text(layout, corpus)
    write_manifest(manifest, layout.manifest)


def _extend_manifest(layout: Layout, found: Manifest, wanted: Manifest) -> None:
    """Add what this run plans, and the options that may change and that it has."""
    planned = sorted({*(found.planned or ()), *(wanted.planned or ())})
    changed = {o.name: True for o in recorded_options() if o.may_change and wanted.options[o.name]}
    extended = replace(found, planned=planned or None, options={**found.options, **changed})
    if extended != found:
        write_manifest(extended, layout.manifest)


def _half_written(layout: Layout, share: list[Checkpoint] | None) -> list[Path]:
    found = [*leftovers(layout.losses), *leftovers(layout.predictions)]
    if share is None:
        return found
    names = tuple(f".{layout.loss_file(c.checkpoint).name}." for c in share)
    return [p for p in found if p.name.startswith(names)]


def _refuse_other(root: os.PathLike[str], found: Manifest, wanted: Manifest) -> None:
    pairs = [
        (what, name, getattr(found, name), getattr(wanted, name))
        for name, what in _COMPARED.items()
    ]
    pairs += [
        (f"another {o.flag}", o.name, found.options.get(o.name, o.default), wanted.options[o.name])
        for o in recorded_options()
        if not o.may_change and o.name != "predictions"
    ]
    # Last, since several of the others change the tokens as well.
    tokens = (found.token_fingerprint, wanted.token_fingerprint)
    pairs.append(("another text", "token_fingerprint", *tokens))
    for what, name, old, new in pairs:
        if old != new:
            raise IngestError(
                f"{root} was made with {what} ({name} {_short(old)}, now {_short(new)}): one store "
                "cannot hold the losses of both; name another --store"
            )


def _refuse_mixing(root: os.PathLike[str], found: Manifest, wanted: Manifest) -> None:
    """Either all checkpoints get predictions, or none does."""
    has, wants = (bool(m.options.get("predictions")) for m in (found, wanted))
    if wants and not has:
        raise IngestError(
            f"{root} was made without --predictions: omit it, or name another --store, where every "
            "checkpoint is scored with predictions"
        )
    if has and not wants:
        raise IngestError(
            f"{root} was made with --predictions: give it again, so that every checkpoint gets "
            "them, or name another --store"
        )


def _restore_text(layout: Layout, corpus: "Corpus", manifest: Manifest) -> None:
    """Write docs and tokens again if one of them is missing; refuse damaged ones."""
    if not (layout.docs.exists() and layout.tokens.exists()):
        write_text(layout, corpus)
    read_table(layout.docs)
    tokens = read_table(layout.tokens)
    if tokens.schema.names != corpus.tokens.schema.names or (
        schema.fingerprint(tokens) != manifest.token_fingerprint
    ):
        raise IngestError(
            f"{layout.tokens} does not hold the tokens that manifest.json describes: delete it and "
            "run again, which recreates it"
        )


def _short(value: object) -> str:
    return str(value)[:40]


def write_text(layout: Layout, corpus: "Corpus") -> None:
    """Write docs.parquet and tokens.parquet."""
    write_table(layout.docs, corpus.docs)
    write_table(layout.tokens, corpus.tokens)


def write_scores(
    layout: Layout,
    outcome: Outcome,
    tokens: pa.Table,
    scores: np.ndarray,
    vocabulary: pa.Array | None,
) -> None:
    """Write one checkpoint's files. A loss file that exists means that all of them are complete.

    `scores` are float32, (1, tokens) of losses or (5, tokens) with predictions (see
    `ingest.model.softmax`); the latter need the `vocabulary`, the text of each token type.
    """
    if vocabulary is not None:
        layout.loss_file(outcome.checkpoint.checkpoint).unlink(missing_ok=True)
        write_predictions(layout, outcome, tokens, scores[1:], vocabulary)
    write_losses(layout, outcome, tokens, scores[0])


def write_predictions(
    layout: Layout, outcome: Outcome, tokens: pa.Table, scores: np.ndarray, vocabulary: pa.Array
) -> None:
    """Write one file of predictions. `scores`: rank, entropy, top_id, top_loss, (4, tokens)."""
    rank, entropy, top_id, top_loss = scores
    named = pa.array(top_id, mask=top_id >= len(vocabulary)).cast(pa.int32())
    columns = {
        "rank": pa.array(rank.astype(np.int32)),
        "entropy": pa.array(entropy),
        "top_id": pa.array(top_id.astype(np.int32)),
        "top_str": vocabulary.take(named),
        "top_loss": pa.array(top_loss),
    }
    write_prediction_columns(layout, outcome, tokens, columns)


def write_prediction_columns(
    layout: Layout, outcome: Outcome, tokens: pa.Table, columns: dict[str, pa.Array], level: int = 9
) -> None:
    """Write one file of predictions from those columns that are known; the others are NULL."""
    checkpoint = outcome.checkpoint.checkpoint
    found = {
        "checkpoint": pa.repeat(pa.scalar(checkpoint, pa.int64()), tokens.num_rows),
        **{name: tokens[name].combine_chunks() for name in ("doc", "position")},
        **columns,
    }
    arrays = [found.get(f.name, pa.nulls(tokens.num_rows, f.type)) for f in schema.PREDICTIONS]
    digests = {name: getattr(outcome, name) or "" for name in DIGESTS}
    table = pa.table(arrays, schema=schema.PREDICTIONS.with_metadata(digests))
    encoding = {
        "checkpoint": "DELTA_BINARY_PACKED",
        "doc": "DELTA_BINARY_PACKED",
        "position": "DELTA_BINARY_PACKED",
        "entropy": "BYTE_STREAM_SPLIT",
        "top_loss": "BYTE_STREAM_SPLIT",
    }
    _write(
        layout.prediction_file(checkpoint), table, ["rank", "top_id", "top_str"], encoding, level
    )


def write_losses(
    layout: Layout, outcome: Outcome, tokens: pa.Table, losses: np.ndarray, level: int = 9
) -> None:
    """Write one loss file: the columns of `tokens` repeated, and `losses` float32 (tokens,).

    `level` is zstd's: 3 is twice as fast as 9, for 1% more bytes.
    """
    checkpoint = outcome.checkpoint.checkpoint
    columns = [pa.repeat(pa.scalar(checkpoint, pa.int64()), len(losses))]
    columns += [tokens[name].combine_chunks() for name in schema.REPEATED]
    columns.append(pa.array(losses, pa.float32()))
    table = pa.table(columns, schema=schema.LOSSES.with_metadata(file_metadata(outcome)))
    encoding = {
        "checkpoint": "DELTA_BINARY_PACKED",
        "doc": "DELTA_BINARY_PACKED",
        "position": "DELTA_BINARY_PACKED",
        "is_word_start": "PLAIN",
        "loss": "BYTE_STREAM_SPLIT",
    }
    _write(layout.loss_file(checkpoint), table, ["token_id", "token_str"], encoding, level)


def _write(
    path: Path, table: pa.Table, dictionary: list[str], encoding: dict[str, str], level: int = 9
) -> None:
    with whole_file(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=level,
            row_group_size=_LOSS_ROW_GROUP,
            data_page_size=_LOSS_PAGE,
            max_rows_per_page=_LOSS_ROW_GROUP,
            write_page_checksum=True,
            use_dictionary=dictionary,
            column_encoding=encoding,
        )

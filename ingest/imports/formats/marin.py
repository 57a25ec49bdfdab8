"""marin's scored_documents: a row per document, with the loss of every *byte* of its text.

A token's loss is the sum over its bytes. The first token has none. Bytes that belong to no scored
token (the boundaries of chunks) have a loss of 0 that means nothing, so they are left out.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.errors import IngestError
from ingest.imports.documents import Document, batches_of
from ingest.imports.files import checkpoint_of, tables
from ingest.imports.results import Format, ImportOptions, Preview, Results
from ingest.text.pieces import text_of_bytes

COLUMNS = ("text", "token_ids", "per_byte_loss", "token_byte_starts", "token_byte_ends")


def recognise(found: Preview) -> str | None:
    """The five columns."""
    if not all(name in found.record for name in COLUMNS):
        return None
    return f"a row per document, with the columns {', '.join(COLUMNS)}"


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with batches; the texts of tokens are cut out of the document's."""
    return Results(
        options.unit or "nats",
        "losses per byte",
        batches=lambda: batches_of(_documents(found, options)),
        pieces="plain",
    )


def _documents(found: Preview, options: ImportOptions) -> Iterator[Document]:
    for path in found.files:
        at = 0
        checkpoint = checkpoint_of(path, found.path, options.checkpoints)
        for table in tables(path, COLUMNS, 64):
            for row in table.to_pylist():
                at += 1
                yield _document(str(path), at, checkpoint, row)


def _document(path: str, record: int, checkpoint: int, row: dict[str, Any]) -> Document:
    raw = row["text"].encode()
    starts, ends = np.array(row["token_byte_starts"]), np.array(row["token_byte_ends"])
    losses = np.array(row["per_byte_loss"], np.float64)
    if len(losses) != len(raw) or (ends > len(raw)).any() or len(starts) != len(row["token_ids"]):
        raise IngestError(
            f"{path}, row {record:,}: {len(losses):,} losses for the {len(raw):,} bytes of its "
            f"text, and {len(starts):,} spans for {len(row['token_ids']):,} tokens"
        )
    total = np.concatenate([[0.0], np.cumsum(losses)])
    of_tokens = total[ends] - total[starts]
    of_tokens[:1] = np.nan
    texts = [text_of_bytes(raw[s:e]) for s, e in zip(starts.tolist(), ends.tolist(), strict=True)]
    return Document(
        path,
        record,
        checkpoint,
        record - 1,
        of_tokens,
        np.array(row["token_ids"], np.int64),
        pa.array(texts, pa.string()),
    )


FORMAT = Format(
    "marin", "marin's scored_documents.parquet: losses per byte, and byte spans", recognise, read
)

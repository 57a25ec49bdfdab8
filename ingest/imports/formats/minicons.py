"""minicons: what `scorer.token_score(texts)` returns, saved as JSON; a list per document.

Each token is [text, log-probability] or [text, log-probability, rank]. The first token of a
document has 0.0 if it was scored without a BOS, which is no log-probability.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.errors import IngestError
from ingest.imports.documents import Document, batches_of
from ingest.imports.files import checkpoint_of, records
from ingest.imports.results import Format, ImportOptions, Preview, Results


def recognise(found: Preview) -> str | None:
    """Lists of [text, number] in lists."""
    tokens = found.record.get("tokens")
    if len(found.record) != 1 or not isinstance(tokens, list) or not tokens:
        return None
    return "a list of [token, score] per document" if _is_pair(tokens[0]) else None


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with batches. Ranks count from 1."""
    return Results(
        options.unit or "logprob",
        "decimal numbers (JSON)",
        batches=lambda: batches_of(_documents(found, options)),
        rank_from=1,
    )


def _documents(found: Preview, options: ImportOptions) -> Iterator[Document]:
    for path in found.files:
        checkpoint = checkpoint_of(path, found.path, options.checkpoints)
        for number, record in enumerate(records(path), 1):
            rows = record["tokens"]
            if bad := next((n for n, row in enumerate(rows, 1) if not _is_pair(row)), None):
                raise IngestError(f"{path}, row {number:,}: entry {bad:,} is no [token, score]")
            scores = np.array([row[1] for row in rows], np.float64)
            scores[:1][scores[:1] == 0] = np.nan
            ranks = [row[2] if len(row) > 2 else None for row in rows]
            yield Document(
                str(path),
                number,
                checkpoint,
                number - 1,
                scores,
                token_str=pa.array([row[0] for row in rows], pa.string()),
                rank=None if None in ranks else np.array(ranks, np.float64),
            )


def _is_pair(row: Any) -> bool:
    return isinstance(row, list) and len(row) in (2, 3) and isinstance(row[0], str)


FORMAT = Format("minicons", "minicons' token_score, as JSON", recognise, read)

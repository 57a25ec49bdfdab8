"""prime-rl's token exports: `step_12/rank_0.jsonl`, a line per sequence.

`trainer_logprobs` has a value for every token; the first predicts nothing. Steps that trained on
different sequences cannot be in one store.
"""

from collections.abc import Iterator

import numpy as np

from ingest.errors import IngestError
from ingest.imports.documents import Document, batches_of
from ingest.imports.files import records
from ingest.imports.results import Format, ImportOptions, Preview, Results


def recognise(found: Preview) -> str | None:
    """The columns token_ids and trainer_logprobs."""
    if not {"token_ids", "trainer_logprobs"} <= found.record.keys():
        return None
    return "a line per sequence, with token_ids and trainer_logprobs"


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with batches."""
    return Results(
        options.unit or "logprob",
        "decimal numbers (JSON)",
        batches=lambda: batches_of(_documents(found)),
    )


def _documents(found: Preview) -> Iterator[Document]:
    for path in found.files:
        for number, row in enumerate(records(path), 1):
            step = row.get("export_step", row.get("step"))
            if "trainer_logprobs" not in row or step is None:
                raise IngestError(f"{path}, row {number:,}: no trainer_logprobs or no step")
            losses = np.array(row["trainer_logprobs"], np.float64)  # null is NaN
            losses[:1] = np.nan
            entropy = row.get("entropy")
            yield Document(
                str(path),
                number,
                int(step),
                f"rank {row.get('rank', 0)}, sequence {row.get('export_sequence_idx', number - 1)}",
                losses,
                np.array(row["token_ids"], np.int64),
                entropy=None if entropy is None else np.array(entropy, np.float64),
            )


FORMAT = Format(
    "prime-rl", "prime-rl's token exports: JSONL with trainer_logprobs", recognise, read
)

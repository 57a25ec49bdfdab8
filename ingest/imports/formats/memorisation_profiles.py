"""memorisation-profiles (Lesci et al. 2024): Parquet per model size and step, a row per sequence.

`sup` (nats), `rank` (0: the first guess) and `entropy` have one value less than the sequence has
tokens, which are published separately. Read in their `compute_statistics`.
"""

from ingest.imports.documents import batches_of
from ingest.imports.formats import nested
from ingest.imports.results import Format, ImportOptions, Preview, Results

NAMES = {"doc": "seq_idx", "loss": "sup"}


def recognise(found: Preview) -> str | None:
    """The columns seq_idx and sup, a list."""
    if not isinstance(found.record.get("sup"), list) or "seq_idx" not in found.record:
        return None
    return "a row per sequence, with the columns seq_idx and sup (a list)"


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with batches; the tokens come from --tokens."""
    names = nested.columns(found.record, {**NAMES, **options.columns})
    return Results(
        options.unit or "nats",
        nested.type_of(found, names["loss"]),
        batches=lambda: batches_of(nested.documents(found, options, names)),
    )


FORMAT = Format(
    "memorisation-profiles",
    "memorisation-profiles (Lesci et al.): Parquet with seq_idx, sup, rank, entropy",
    recognise,
    read,
)

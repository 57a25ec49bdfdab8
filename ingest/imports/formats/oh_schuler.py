"""Oh and Schuler (2023): two columns with a blank between, word and surprisal in bits.

`llmsurprisal` of their repositories prints them, with the header `word llmsurp`.
"""

from ingest.imports.formats import long
from ingest.imports.results import Format, ImportOptions, Preview, Results

SURPRISALS = ("llmsurp", "surp", "surprisal", "totsurp")


def recognise(found: Preview) -> str | None:
    """The columns word and a surprisal, and no others."""
    names = set(found.record)
    if "word" not in names or not names & set(SURPRISALS) or len(names) > 3:
        return None
    return f"the columns {', '.join(found.record)}"


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with batches."""
    name = next((name for name in SURPRISALS if name in found.record), "surp")
    names = long.columns(found.record, {"loss": name, **options.columns})
    return Results(
        options.unit or "bits",
        "decimal numbers (CSV)",
        batches=lambda: long.batches(found, options, names),
    )


FORMAT = Format("oh-schuler", "word and surprisal in bits (Oh and Schuler)", recognise, read)

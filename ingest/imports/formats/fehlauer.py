"""convergence-and-divergence (Fehlauer et al. 2025): `<model>/<revision>/probabilities.npy`.

float16 probabilities of the tokens, in a folder per revision. --tokens is `input_text_encoded.npy`,
the ids of the text, the first of which has no probability.
"""

from dataclasses import replace

from ingest.errors import IngestError
from ingest.imports.formats.matrix import from_arrays
from ingest.imports.results import Format, ImportOptions, Preview, Results

_LOSSES, _TOKENS = "probabilities.npy", "input_text_encoded.npy"


def recognise(found: Preview) -> str | None:
    """Files with that name."""
    return f"files named {_LOSSES}" if any(p.name == _LOSSES for p in found.files) else None


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with columns. Raises IngestError for the folder of several models."""
    files = [path for path in found.files if path.name == _LOSSES]
    models = {path.parent.parent for path in files}
    if len(models) > 1:
        raise IngestError(
            f"{found.path} holds several models ({', '.join(sorted(p.name for p in models))}): a "
            "store is of one, so name its folder"
        )
    neighbour = next((p for p in found.files if p.name == _TOKENS), None)
    return from_arrays(
        replace(found, files=files),
        replace(options, tokens=options.tokens or neighbour),
        options.unit or "probability",
    )


FORMAT = Format(
    "fehlauer",
    "convergence-and-divergence (Fehlauer et al.): probabilities.npy per revision",
    recognise,
    read,
)

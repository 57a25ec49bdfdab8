"""The formats that `ingest import` reads: one module each, which describes it as `FORMAT`.

To add one, write such a module, and name it here. The first that recognises a file reads it.
"""

from ingest.imports.formats import (
    chang_bergen,
    fehlauer,
    long,
    marin,
    matrix,
    memorisation_profiles,
    minicons,
    nested,
    oh_schuler,
    prime_rl,
    prompt_logprobs,
    xia,
)
from ingest.imports.results import Format

FORMATS: dict[str, Format] = {
    module.FORMAT.name: module.FORMAT
    for module in (
        memorisation_profiles,
        marin,
        prime_rl,
        prompt_logprobs,
        minicons,
        oh_schuler,
        chang_bergen,
        fehlauer,
        xia,
        long,
        nested,
        matrix,
    )
}

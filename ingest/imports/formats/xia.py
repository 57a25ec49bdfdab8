"""training_trajectory_analysis (Xia et al. 2023): .pt, {size: tokens x checkpoints}."""

from ingest.imports.formats.matrix import from_arrays
from ingest.imports.results import Format, ImportOptions, Preview, Results


def recognise(found: Preview) -> str | None:
    """A file of PyTorch."""
    return f"an array in {found.files[0].name} (.pt)" if found.kind == ".pt" else None


def read(found: Preview, options: ImportOptions) -> Results:
    """Results with columns, in nats; --array names the model size."""
    return from_arrays(found, options, options.unit or "nats")


FORMAT = Format(
    "xia",
    "training_trajectory_analysis (Xia et al.): .pt, {size: tokens x checkpoints}",
    recognise,
    read,
)

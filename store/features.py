"""Features that were computed after ingest: one file each, `features/<name>.parquet`.

Its columns are `row` (0, 1, 2, …) and one with the name of the file, so that any tool can join it.
Its metadata hold a description, and the fingerprint of the tokens that it belongs to.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from store.files import whole_file
from store.layout import Layout
from store.manifest import Manifest

_FINGERPRINT = b"token_trails.token_fingerprint"
_DESCRIPTION = b"token_trails.description"


class FeatureError(Exception):
    """A feature file is damaged, or does not belong to the store's tokens."""


@dataclass(frozen=True)
class Feature:
    """One value per token of a store. A value may be NULL."""

    name: str
    values: pa.Array
    """Booleans, numbers or strings, (tokens,)."""
    description: str


def write_feature(layout: Layout, manifest: Manifest, feature: Feature) -> Path:
    """Write the feature atomically, replacing one of that name. Returns the path."""
    rows = pa.array(np.arange(len(feature.values)), pa.int64())
    table = pa.table({"row": rows, feature.name: feature.values})
    facts = {_FINGERPRINT: manifest.token_fingerprint, _DESCRIPTION: feature.description}
    path = layout.features / f"{feature.name}.parquet"
    with whole_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata(facts), temporary, compression="zstd")
    return path


def read_feature(path: Path, manifest: Manifest) -> Feature:
    """The feature in a file of the store. Raises FeatureError with what to do."""
    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise FeatureError(
            f"{path} cannot be read ({error}): delete it or create it again"
        ) from error
    facts = table.schema.metadata or {}
    made_for = facts.get(_FINGERPRINT, b"").decode(errors="replace")
    if made_for != manifest.token_fingerprint:
        raise FeatureError(
            f"{path} was computed for other tokens (fingerprint {made_for[:12] or 'none'}, the "
            f"store's is {manifest.token_fingerprint[:12]}): delete it or create it again"
        )
    if table.column_names != ["row", path.stem] or not _counts(table["row"], manifest.n_tokens):
        raise FeatureError(
            f"{path} does not have the columns row (0 to {manifest.n_tokens - 1:,}) and "
            f"{path.stem}: delete it or create it again"
        )
    description = facts.get(_DESCRIPTION, b"").decode(errors="replace")
    return Feature(path.stem, table[path.stem].combine_chunks(), description)


def _counts(rows: pa.ChunkedArray, n: int) -> bool:
    return pa.types.is_integer(rows.type) and np.array_equal(rows.to_numpy(), np.arange(n))

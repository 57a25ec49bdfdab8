"""Open a store's tables, its features among them, or say in a sentence why they cannot be."""

from pathlib import Path

import duckdb
import pyarrow as pa

from queries.database import Database
from queries.errors import StoreError
from queries.features import Found, find
from store.layout import Layout
from store.manifest import Manifest


def open_tables(
    layout: Layout, manifest: Manifest, loss_files: dict[int, Path]
) -> tuple[Database, Found]:
    """The database, not yet locked, and the features in it. Raises StoreError."""
    try:
        found = find(layout, manifest)
        return Database(layout, list(loss_files.values()), found.table), found
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        trouble = " ".join(str(error).partition("\n\nLINE ")[0].split())
        raise StoreError(
            f"{layout.root} cannot be opened: {trouble}; "
            f"`python -m ingest verify {layout.root}` says more"
        ) from error

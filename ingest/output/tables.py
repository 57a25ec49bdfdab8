"""Read and write a store's tables: each file is whole or absent, and the same content gives the
same bytes. Needs no torch."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import IngestError
from store.files import whole_file
from store.layout import Layout
from store.manifest import Manifest, ManifestError, read_manifest

ROW_GROUP = 122_880  # rows; the unit of a DuckDB scan


def read_table(path: Path) -> pa.Table:
    """A whole Parquet file of a store. Raises IngestError if it is damaged or absent."""
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise IngestError(
            f"{path} cannot be read ({error}): delete it and run ingest again, which recreates it"
        ) from error


def write_table(path: Path, table: pa.Table) -> None:
    """Write one Parquet file, compressed and with checksums."""
    with whole_file(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=9,
            row_group_size=ROW_GROUP,
            write_page_checksum=True,
        )


def read_store_manifest(layout: Layout) -> Manifest:
    """The store's manifest. Raises IngestError if it is missing or unusable."""
    try:
        return read_manifest(layout.manifest)
    except ManifestError as error:
        raise IngestError(str(error)) from error

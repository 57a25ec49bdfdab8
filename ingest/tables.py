"""Read a store's Parquet files, or say what to do; needs no torch."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import IngestError


def read_table(path: Path) -> pa.Table:
    """A whole Parquet file of a store. Raises IngestError where it is damaged or absent."""
    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise IngestError(
            f"{path} cannot be read ({error}): delete it and run again; it is made anew"
        ) from error

"""Group sums by Spark over the same Parquet files, for stores larger than one machine.

DuckDB selects the members once, from the token table; Spark joins them to the losses by the row's
place in its file and sums within source documents. Means and bands are then those of `stats.bands`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from queries.engine.sums import GroupSums
from queries.errors import QueryError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def session() -> "SparkSession":
    """The running Spark session, else a new one as spark-submit or the environment configure it.

    Raises QueryError if pyspark is not installed or no Java is found.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise QueryError(
            "the engine spark needs pyspark: `pip install -r requirements-cluster.lock`"
        ) from error
    try:
        return SparkSession.builder.appName("Token Trails").getOrCreate()
    except (PySparkException, OSError) as error:
        raise QueryError(
            f"Spark does not start ({_first_line(error)}): it needs Java 17 or "
            "newer, on the PATH or under JAVA_HOME"
        ) from error


@dataclass(frozen=True)
class SparkSummation:
    """The engine over the loss files; like `sums.Summation`, which is over the loss matrix."""

    files: Mapping[int, Path]
    """Loss file of each checkpoint, in order."""
    source_of_row: np.ndarray
    """The source document of each row, int64 (tokens,), counting from 0."""

    @cached_property
    def everything(self) -> GroupSums:
        """The sums over all tokens."""
        return self.group(np.arange(len(self.source_of_row)))

    def group(self, members: np.ndarray) -> GroupSums:
        """The sums over `members`, int64 (n,) rows."""
        return self._groups([members])[0]

    def pair(self, first: np.ndarray, second: np.ndarray) -> tuple[GroupSums, GroupSums]:
        """The sums over two groups, which may overlap, from one job."""
        one, two = self._groups([first, second])
        return one, two

    def _groups(self, members: list[np.ndarray]) -> list[GroupSums]:
        """Raises QueryError if Spark does not start or its workers cannot read the files."""
        spark = session()
        from py4j.protocol import Py4JJavaError
        from pyspark.errors import PySparkException

        selected = spark.createDataFrame(_members_table(self.source_of_row, members))
        try:
            found = _summed(_losses(spark, list(self.files.values())), selected).toArrow()
        except (PySparkException, Py4JJavaError) as error:
            raise QueryError(
                f"Spark failed ({_first_line(error)}): every worker must reach the store's files "
                "under the same path; the log of Spark says more"
            ) from error
        n_sources = int(self.source_of_row.max()) + 1
        return _arranged(found, list(self.files), n_sources, len(members))


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _members_table(source_of_row: np.ndarray, members: list[np.ndarray]) -> pa.Table:
    rows = np.concatenate(members)
    groups = np.repeat(np.arange(len(members)), [len(m) for m in members])
    return pa.table({"row": rows, "token_group": groups, "source": source_of_row[rows]})


def _losses(spark: "SparkSession", files: list[Path]) -> "DataFrame":
    """checkpoint, loss, row; the schema is given, since Spark would open every file to infer it."""
    from pyspark.sql import functions

    row = functions.col("_metadata.row_index").alias("row")
    reader = spark.read.schema("checkpoint long, loss float")
    return reader.parquet(*[str(f) for f in files]).select("checkpoint", "loss", row)


def _summed(losses: "DataFrame", members: "DataFrame") -> "DataFrame":
    from pyspark.sql import functions

    keys = losses.join(functions.broadcast(members), "row").groupBy(
        "checkpoint", "token_group", "source"
    )
    total = functions.sum(functions.col("loss").cast("double")).alias("total")
    return keys.agg(total, functions.count("loss").alias("n_tokens"))


def _arranged(
    found: pa.Table, checkpoints: list[int], n_sources: int, n_groups: int
) -> list[GroupSums]:
    """Rows per checkpoint, group and source -> arrays (groups, sources, checkpoints)."""
    sums = np.zeros((n_groups, n_sources, len(checkpoints)))
    counts = np.zeros((n_groups, n_sources), dtype=np.int64)
    group, source = found["token_group"].to_numpy(), found["source"].to_numpy()
    at = np.searchsorted(checkpoints, found["checkpoint"].to_numpy())
    sums[group, source, at] = found["total"].to_numpy()
    counts[group, source] = found["n_tokens"].to_numpy()
    return [GroupSums(c, s) for c, s in zip(counts, sums, strict=True)]

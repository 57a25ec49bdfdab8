"""The views and macros over a store's files that its catalog and the app's own database share.

They stand on token_rows, doc_rows, checkpoints and loss_files (the loss files' rows with
file_row_number), which each of the two makes in its own way.
"""

import duckdb
import numpy as np
from scipy import stats

from queries import sql
from queries.statistics import LEVEL

VIEWS = ("tokens", "docs", "catalog/losses", "catalog/loss_rows")
RELATIONS = {
    "checkpoints", "doc_rows", "docs", "loss_files", "loss_rows", "losses", "probes",
    "t_quantiles", "token_rows", "tokens", "tokens_500th", "tokens_50th",
}  # fmt: skip
"""Tables and views that a group may not be named as."""
MACROS = (
    "catalog/group_influence", "catalog/trajectory", "catalog/difference", "catalog/ratio",
    "catalog/in_context_score", "catalog/zoom",
)  # fmt: skip


def create(connection: duckdb.DuckDBPyConnection) -> None:
    """Create all of them. Raises duckdb.Error."""
    for name in VIEWS:
        connection.execute(sql.read(name))
    ((n_sources,),) = connection.sql("select count(distinct source) from docs").fetchall()
    degrees = np.arange(1, n_sources)
    quantiles = np.asarray(stats.t.ppf((1 + LEVEL) / 2, degrees))
    values = {"degrees": degrees.tolist(), "quantiles": quantiles.tolist()}
    connection.execute(sql.read("catalog/t_quantiles"), values)
    for name in MACROS:
        connection.execute(sql.read(name))

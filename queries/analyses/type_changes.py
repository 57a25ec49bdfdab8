"""How token types changed in a region: the mean over their occurrences."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd

from queries.analyses.base import Between, Chart, Group, Script, WithScript, sql_script
from queries.catalog import sql_scripts
from queries.errors import QueryError
from queries.stats.changes import Region, region_change
from queries.store import Store


@dataclass(frozen=True)
class TypeChanges(WithScript):
    """Token types and their mean change in a region."""

    frame: pd.DataFrame
    """token_id, token_str, n_tokens (occurrences in the group), change (nats, last minus first),
    standard_deviation of the occurrences' changes (divisor n - 1; NaN for one); largest fall first.
    """

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.type_changes(self.frame)


def type_changes(
    store: Store,
    region: Annotated[Region, Between("the region")],
    *,
    where: Annotated[str, Group("group to analyse")] = "true",
    min_count: Annotated[int, "minimum number of occurrences of a type"] = 20,
) -> TypeChanges:
    """The mean change in `region` of each token type that occurs often enough in the group.

    Raises GroupError for the group, and QueryError for the region or if no type is that frequent.
    """
    rows = store.nonempty_members(where)
    changes = store.facts.iloc[rows].assign(change=region_change(store.matrix, rows, region))
    return TypeChanges(by_type(changes, min_count), code=_script(store, region, where, min_count))


def by_type(changes: pd.DataFrame, min_count: int) -> pd.DataFrame:
    """`TypeChanges.frame` of occurrences: token_id, token_str, change (nats).

    Raises QueryError if no type occurs `min_count` times among them.
    """
    found = mean_changes(
        changes["token_id"].to_numpy(np.int64), changes["change"].to_numpy().astype(np.float64)
    )
    found = found[found["n_tokens"] >= min_count]
    if found.empty:
        raise QueryError(
            f"no token type occurs {min_count:,} times in the group: lower the minimum count"
        )
    found["token_str"] = changes["token_str"].to_numpy()[found.pop("first")]
    ordered = found.sort_values(["change", "token_id"], ignore_index=True)
    return ordered[["token_id", "token_str", "n_tokens", "change", "standard_deviation"]]


def mean_changes(ids: np.ndarray, change: np.ndarray) -> pd.DataFrame:
    """token_id, first (place of the first occurrence), n_tokens, standard_deviation, change.

    `ids` int64 (n,) are the types of the occurrences, `change` float64 (n,) in nats.
    """
    frame = pd.DataFrame({"token_id": ids, "first": np.arange(len(ids)), "change": change})
    types = frame.groupby("token_id").agg(
        first=("first", "first"),
        n_tokens=("first", "size"),
        standard_deviation=("change", "std"),
        change=("change", "mean"),
    )
    return types.reset_index()


def _script(store: Store, region: Region, where: str, min_count: int) -> Script:
    first, last = region
    values = {"first": str(first), "last": str(last), "min_count": str(min_count)}
    query = sql_scripts.filled("analyses/type_changes", values)
    return sql_script(sql_scripts.script(store, {"token_group": where}, query))

"""How token types changed in a region: the mean over their occurrences, where there are enough."""

import numpy as np
import pandas as pd

from queries.errors import QueryError
from queries.stats.changes import region_change
from queries.store import Store


def type_changes(
    store: Store, first: int, last: int, where: str = "true", min_count: int = 20
) -> pd.DataFrame:
    """Each token type's mean change from checkpoint `first` to `last` in the group `where`.

    Returns token_id, token_str, n_tokens (occurrences in the group, at least `min_count`), change
    (nats, last minus first), standard_deviation of the occurrences' changes (divisor n - 1; NaN
    for one); the largest fall first. Raises GroupError for the group, QueryError for the region
    and where no type occurs so often.
    """
    rows = store.some_members(where)
    change = region_change(store.matrix, rows, (first, last)).astype(np.float64)
    ids = store.token_ids[rows]
    types = pd.DataFrame({"token_id": ids, "row": rows, "change": change}).groupby("token_id")
    found = types.agg(
        row=("row", "first"),
        n_tokens=("row", "size"),
        standard_deviation=("change", "std"),
        change=("change", "mean"),
    ).reset_index()
    found = found[found["n_tokens"] >= min_count]
    if found.empty:
        raise QueryError(
            f"no token type occurs {min_count:,} times in the group: ask for fewer occurrences"
        )
    found["token_str"] = store.facts["token_str"].to_numpy()[found.pop("row")]
    ordered = found.sort_values(["change", "token_id"], ignore_index=True)
    return ordered[["token_id", "token_str", "n_tokens", "change", "standard_deviation"]]

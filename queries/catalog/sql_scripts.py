"""The SQL behind a chart: a script for DuckDB's command line on the store's catalog.duckdb.

    duckdb -readonly STORE/catalog.duckdb < script.sql

It gives the numbers that the chart shows. Here are the scripts of `Store`'s answers, and what all
scripts are built with; the scripts of analyses are in their modules.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Literal

from queries import sql
from queries.engine.measures import MeasureName, measure_of
from queries.stats.changes import BINS, Region
from queries.store import Store


def trajectories(store: Store, groups: Mapping[str, str], measure: MeasureName = "loss") -> str:
    """`Store.trajectories` without smoothing; token_group is a view's name, group_1, group_2, …

    Of another measure than the loss, it has no bands.
    """
    views = _views(groups)
    selects = [f"from trajectory('{view}')" for view in views]
    if measure != "loss":
        chosen = f"select checkpoint, token_group, {measure_of(measure).mean}, n_tokens"
        selects = [f"from predicted_trajectory('{view}') {chosen}" for view in views]
    return script(store, views, _union(selects), comment=_names(groups))


def comparison(
    store: Store,
    how: Literal["difference", "ratio"],
    groups: Mapping[str, str],
    baseline: str,
    measure: MeasureName = "loss",
) -> str:
    """`Store.difference` or `Store.ratio` of each group with the baseline, without smoothing.

    token_group is as in `trajectories`. Of another measure than the loss, it has no bands.
    """
    views = _views(groups)
    selects = [
        f"from {how}('{view}', 'baseline') select '{view}' as token_group, *" for view in views
    ]
    if measure != "loss":
        mean, sign = measure_of(measure).mean, {"difference": "-", "ratio": "/"}[how]
        selects = [
            f"select '{view}' as token_group, checkpoint, a.{mean} {sign} b.{mean} as {how}\n"
            f"from predicted_trajectory('{view}') as a\n"
            "join predicted_trajectory('baseline') as b using (checkpoint)"
            for view in views
        ]
    named = {"baseline": baseline, **views}
    return script(store, named, _union(selects), comment=_names(groups))


def histogram(store: Store, region: Region, where: str) -> str:
    """`Zoom.histogram`."""
    values = {"first": str(region[0]), "last": str(region[1]), "bins": str(BINS)}
    return script(store, {"token_group": where}, filled("catalog/histogram", values))


def token_trajectories(rows: Iterable[int]) -> str:
    """Losses of single tokens at every checkpoint."""
    values = {"rows": ", ".join(str(int(r)) for r in rows)}
    return filled("catalog/token_trajectories", values)


def script(store: Store, views: Mapping[str, str], query: str, comment: str = "") -> str:
    """A view for each group (name of the view -> group), then the query. Raises GroupError."""
    clauses = {view: store.groups.clause(group) for view, group in views.items()}
    created = (
        filled("catalog/script_group", {"view": view, "clause": clause})
        for view, clause in clauses.items()
    )
    return _warning(store, clauses.values()) + comment + "".join(created) + query


def filled(name: str, values: Mapping[str, str]) -> str:
    """The text of an SQL file with its {placeholders} filled: people read and run it as it is."""
    text = sql.read(name)
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _views(groups: Mapping[str, str]) -> dict[str, str]:
    return {f"group_{n}": group for n, group in enumerate(groups.values(), 1)}


def _names(groups: Mapping[str, str]) -> str:
    """A comment with each view's name in the chart."""
    return "".join(
        f"-- {v}: {' '.join(name.split())}\n"
        for v, name in zip(_views(groups), groups, strict=True)
    )


def _union(selects: list[str]) -> str:
    return "\nunion all by name\n".join(selects) + "\norder by token_group, checkpoint;\n"


def _warning(store: Store, clauses: Iterable[str]) -> str:
    """A database file cannot hold Python functions."""
    used = [f for f in store.functions if any(_calls(f, clause) for clause in clauses)]
    if not used:
        return ""
    return (
        f"-- {', '.join(used)}: a Python function, which DuckDB's command line lacks. The same "
        "numbers:\n-- `python -m queries`, or Store in Python.\n"
    )


def _calls(function: str, clause: str) -> bool:
    """Whether a clause calls the function; `loss_at` is in the catalog too."""
    return function != "loss_at" and bool(re.search(rf"\b{re.escape(function)}\s*\(", clause, re.I))

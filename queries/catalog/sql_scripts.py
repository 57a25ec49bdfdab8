"""The SQL behind a picture: a script for DuckDB's command line on the store's catalog.duckdb.

    duckdb -readonly STORE/catalog.duckdb < script.sql

It gives the numbers that the picture shows; tests run every kind of it there.
"""

import re
from collections.abc import Iterable, Mapping

from queries import sql
from queries.analyses.positions import PER_DOUBLING, position_clauses, position_edges
from queries.stats.changes import BINS
from queries.store import Store


def trajectories_sql(store: Store, groups: Mapping[str, str]) -> str:
    """`Store.trajectories` without smoothing; token_group is a view's name, group_1, group_2, …"""
    views = _views(groups)
    asked = [f"from trajectory('{view}')" for view in views]
    return _script(store, views, _named(groups), _all(asked))


def beside_sql(store: Store, how: str, groups: Mapping[str, str], baseline: str) -> str:
    """`Store.difference` or `Store.ratio` of each group to the baseline, without smoothing.

    `how` is "difference" or "ratio"; token_group is as in `trajectories_sql`.
    """
    views = _views(groups)
    asked = [
        f"from {how}('{view}', 'baseline') select '{view}' as token_group, *" for view in views
    ]
    return _script(store, {"baseline": baseline, **views}, _named(groups), _all(asked))


def histogram_sql(store: Store, first: int, last: int, where: str) -> str:
    """`Zoom.histogram`."""
    values = {"first": str(first), "last": str(last), "bins": str(BINS)}
    return _script(store, {"token_group": where}, "", _filled("behind/histogram", values))


def token_trajectories_sql(rows: Iterable[int]) -> str:
    """Losses of single tokens at every checkpoint."""
    return _filled("behind/token_trajectories", {"rows": ", ".join(str(int(r)) for r in rows)})


def positions_sql(store: Store, where: str) -> str:
    """`queries.loss_by_position`. Raises GroupError."""
    last = int(store.facts["position"].iloc[store.some_members(where)].max())
    edges = ", ".join(map(str, position_edges(last, PER_DOUBLING).tolist()))
    question = _filled("behind/positions", {"edges": edges})
    return _script(store, {"token_group": where}, "", question)


def position_slope_sql(store: Store, where: str) -> str:
    """`queries.position_slope`."""
    return _script(store, {"token_group": where}, "", sql.read("behind/position_slope"))


def in_context_sql(store: Store, late: int, early: int, where: str) -> str:
    """`queries.in_context_score`."""
    first, second = position_clauses(store, late, early, where)
    return beside_sql(store, "difference", {f"position {late}": first}, second)


def _views(groups: Mapping[str, str]) -> dict[str, str]:
    return {f"group_{n}": group for n, group in enumerate(groups.values(), 1)}


def _named(groups: Mapping[str, str]) -> str:
    """What each view is called in the picture."""
    return "".join(
        f"-- {v}: {_line(name)}\n" for v, name in zip(_views(groups), groups, strict=True)
    )


def _all(asked: list[str]) -> str:
    return "\nunion all by name\n".join(asked) + "\norder by token_group, checkpoint;\n"


def _script(store: Store, views: Mapping[str, str], comment: str, question: str) -> str:
    clauses = {view: store.groups.clause(group) for view, group in views.items()}
    made = (
        _filled("behind/group", {"view": view, "clause": clause})
        for view, clause in clauses.items()
    )
    return _warning(store, clauses.values()) + comment + "".join(made) + question


def _warning(store: Store, clauses: Iterable[str]) -> str:
    """Functions that are Python's cannot be in a database file."""
    used = [f for f in store.functions if any(_calls(f, clause) for clause in clauses)]
    if not used:
        return ""
    return (
        f"-- {', '.join(used)}: a Python function, which DuckDB's command line lacks. The same "
        "numbers:\n-- `python -m queries`, or Store in Python.\n"
    )


def _calls(function: str, clause: str) -> bool:
    """Whether a clause calls it; `loss_at` is in the catalog, too."""
    return function != "loss_at" and bool(re.search(rf"\b{re.escape(function)}\s*\(", clause, re.I))


def _filled(name: str, values: Mapping[str, str]) -> str:
    """A question's text for people to read and run, so its values stand in it."""
    text = sql.read(name)
    for key, value in values.items():
        text = text.replace(f"{{{key}}}", value)
    return text


def _line(text: str) -> str:
    return " ".join(text.split())

"""The SQL behind a picture: a script for DuckDB's command line on the store's catalog.duckdb.

    duckdb -readonly STORE/catalog.duckdb < script.sql

It gives the numbers that the picture shows; tests run every kind of it there.
"""

import re
from collections.abc import Iterable, Mapping

from queries import sql
from queries.store import Store
from queries.zoom import BINS

_FIRST, _SECOND = "token_group", "baseline"


def trajectories_sql(store: Store, groups: Mapping[str, str]) -> str:
    """`Store.trajectories` without smoothing; token_group is a view's name, group_1, group_2, …"""
    views = {f"group_{n}": group for n, group in enumerate(groups.values(), 1)}
    named = [f"-- {view}: {_line(name)}\n" for view, name in zip(views, groups, strict=True)]
    asked = "\nunion all by name\n".join(f"from trajectory('{view}')" for view in views)
    order = "\norder by token_group, checkpoint" if len(views) > 1 else ""
    return _script(store, views, "".join(named), f"{asked}{order};\n")


def difference_sql(store: Store, first: str, second: str) -> str:
    """`Store.difference` without smoothing."""
    return _pair(store, first, second, "difference")


def ratio_sql(store: Store, first: str, second: str) -> str:
    """`Store.ratio` without smoothing."""
    return _pair(store, first, second, "ratio")


def histogram_sql(store: Store, first: int, last: int, where: str) -> str:
    """`Zoom.histogram`."""
    values = {"first": str(first), "last": str(last), "bins": str(BINS)}
    return _script(store, {_FIRST: where}, "", _filled("behind/histogram", values))


def token_trajectories_sql(rows: Iterable[int]) -> str:
    """Losses of single tokens at every checkpoint."""
    return _filled("behind/token_trajectories", {"rows": ", ".join(str(int(r)) for r in rows)})


def _pair(store: Store, first: str, second: str, macro: str) -> str:
    views = {_FIRST: first, _SECOND: second}
    return _script(store, views, "", f"from {macro}('{_FIRST}', '{_SECOND}');\n")


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

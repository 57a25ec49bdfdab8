"""The SQL behind a chart gives the chart's numbers in DuckDB's command line."""

import pandas as pd
import pytest

from queries import Store
from queries.catalog import sql_scripts
from store.layout import Layout
from tests.queries.support.catalogs import ask_command_line, needs_command_line, same
from tests.queries.support.stores import build_store

GROUPS = {
    "named": "word_start",
    "it's -- a\nname": "position > 3 and token_str <> 'it''s' -- not all",
    "moved": "loss_at(row, 400) - loss_at(row, 8) > 0.1",
    "one source": "doc = 0",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(build_store(tmp_path_factory.mktemp("behind") / "it's", sources=6))


def answer(store: Store, script: str) -> pd.DataFrame:
    return ask_command_line(Layout(store.path).catalog, script, store.path)


@needs_command_line
def test_trajectories(store: Store) -> None:
    theirs = answer(store, sql_scripts.trajectories(store, GROUPS))
    ours = store.trajectories({f"group_{n}": g for n, g in enumerate(GROUPS.values(), 1)})
    same(theirs, ours)


@needs_command_line
@pytest.mark.parametrize("how", ["difference", "ratio"])
@pytest.mark.parametrize("baseline", [GROUPS["moved"], "all_tokens", "doc = 0"])
def test_differences_and_ratios(store: Store, baseline: str, how: str) -> None:
    theirs = answer(store, sql_scripts.comparison(store, how, GROUPS, baseline))
    frames = [
        getattr(store, how)(group, baseline).assign(token_group=f"group_{n}")
        for n, group in enumerate(GROUPS.values(), 1)
    ]
    columns = ["token_group", "checkpoint", how, "low", "high", "n_docs_effective", "verdict"]
    same(theirs, pd.concat(frames)[columns])


@needs_command_line
@pytest.mark.parametrize("where", ["true", "is_word_start", "doc = 0 and position < 3"])
def test_histogram(store: Store, where: str) -> None:
    zoom = store.zoom(8, 400, where)
    same(answer(store, sql_scripts.histogram(store, (8, 400), where)), zoom.histogram)


@needs_command_line
def test_token_trajectories(store: Store) -> None:
    zoom = store.zoom(8, 400, "true", k=3)
    ours = zoom.increased.sort_values(["row", "checkpoint"], ignore_index=True)
    theirs = answer(store, sql_scripts.token_trajectories(ours["row"].unique()))
    same(theirs, ours[["row", "token_str", "checkpoint", "loss"]])


def test_python_functions_are_named_in_a_comment(store: Store) -> None:
    script = sql_scripts.trajectories(store, {"mine": "is_palindrome(word)"})
    assert script.startswith("-- is_palindrome: a Python function")

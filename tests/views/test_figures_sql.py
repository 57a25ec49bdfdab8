"""The SQL or Python behind every chart of every page gives the chart's data.

The SQL is run in DuckDB's command line, the Python in an interpreter's own namespace.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from queries import Store
from tests.queries.catalogs import ask_command_line, needs_command_line
from tests.queries.stores import build_store
from views.widgets.figure import Figure

PAGES = {
    "two groups": ("trajectories", {}),
    "many groups": ("trajectories", {"group": ["copyable", "position < 9", "loss_at(row, 8) > 3",
                                               '{"text":"word_start","name":"a -- b"}']}),
    "ratio": ("trajectories", {"below": "ratio", "group": ["position > 3", "seen_before = 0"]}),
    "zoom": ("zoom", {"first": "8", "last": "400"}),
    "zoom of a group": ("zoom", {"where": ["seen_before = 0"], "span": "whole run"}),
}  # fmt: skip


CALLS = {
    "fair": (
        "fair",
        {"compared": ["seen_before = 0"], "alike_in": ["position", "token_str"], "bins": "3"},
        3,
    ),
    "kinds": ("kinds", {"find_kinds": "true", "where": ["position > 2"]}, 3),
    "level of two": (
        "kinds",
        {"find_kinds": "true", "kinds_number": "2", "kinds_compared": "level"},
        2,
    ),
    "n-grams": ("ngrams", {"where": ["position > 2"]}, 2),
    "rho": ("kinds", {"sorted_by": "Rho-1's four categories"}, 1),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = build_store(tmp_path_factory.mktemp("figures") / "run", sources=12)
    Store(root)  # makes the catalog
    return root


def script(folder: str, page: str) -> None:
    """The app with another page in front, as AppTest knows only the first one."""
    import streamlit as st

    from queries import Store
    from views import pages
    from views.widgets import figure

    figure.forget()
    st.session_state["pages"] = pages.pages(Store(folder), [], default=page)
    st.navigation(list(st.session_state["pages"].values())).run()


def drawn(folder: Path, page: str, query: dict) -> list:
    """The figures of a page, as the app keeps them for a download."""
    app = AppTest.from_function(script, args=(str(folder), page), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception and not app.error
    return app.session_state["figures"]


@needs_command_line
@pytest.mark.parametrize("name", PAGES)
def test_sql_behind_equals_the_data(name, folder):
    page, query = PAGES[name]
    figures = drawn(folder, page, query)
    assert len(figures) == (3 if page == "positions" else 2)
    for figure in figures:
        theirs = ask_command_line(folder / "catalog.duckdb", figure.script, folder)
        ours = figure.frame
        if "row" in theirs:
            ours = ours.sort_values(["row", "checkpoint"])
        assert len(theirs) == len(ours)
        shared = [c for c in theirs if c in ours and theirs[c].dtype.kind in "fiu"]
        assert len(shared) >= 3
        for column in shared:
            np.testing.assert_allclose(theirs[column], ours[column], rtol=1e-6, atol=1e-9)


def answered(script: str) -> pd.DataFrame:
    """The value of a script's last line."""
    *before, last = script.splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(before), names)
    return eval(last, names)


@pytest.mark.parametrize("name", CALLS)
def test_python_behind_equals_the_data(name, folder):
    page, query, count = CALLS[name]
    figures = [figure for figure in drawn(folder, page, query) if figure.call]
    assert len(figures) == count
    for figure in figures:
        is_answered(figure)


def is_answered(figure: Figure) -> None:
    """Its Python gives its data."""
    theirs = answered(figure.call)
    shared = [c for c in theirs if c in figure.frame and theirs[c].dtype.kind in "fiu"]
    assert len(shared) >= 2
    # The picture's lines may stand in another order, and leave out some.
    order = [c for c in ("checkpoint", *shared) if c in shared]
    ours = figure.frame[shared].sort_values(order, ignore_index=True)
    found = theirs[shared].sort_values(order, ignore_index=True)
    found = found.merge(ours.drop_duplicates(), on=shared) if len(found) > len(ours) else found
    pd.testing.assert_frame_equal(found, ours, check_dtype=False)

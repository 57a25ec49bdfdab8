"""Pages run in one process by Streamlit's AppTest, and what they show."""

from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from streamlit.testing.v1 import AppTest

from views.widgets.figure import FIGURES, Figure


def script(folder: str, page: str) -> None:
    """The app with another page first, since AppTest runs only the first one."""
    import streamlit as st

    from queries import Store
    from views import pages, state
    from views.widgets import figure

    figure.reset()
    store = Store(folder)
    st.session_state["pages"] = pages.pages(store, [], default=page)
    shown = st.navigation(list(st.session_state["pages"].values()))
    state.follow(store, [], page)
    shown.run()
    state.tell(st)


def shown(folder: Path, page: str, **query: Any) -> AppTest:
    """The page of a store, with a query string's parameters."""
    app = AppTest.from_function(script, args=(str(folder), page), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def drawn(folder: Path, page: str, **query: Any) -> list[Figure]:
    """The figures of a page, as the app keeps them for a download."""
    app = shown(folder, page, **query)
    assert not app.error
    figures: list[Figure] = list(app.session_state[FIGURES].values())
    return figures


def said(app: AppTest) -> str:
    """All of its sentences."""
    found = [*app.error, *app.warning, *app.info, *app.caption, *app.success, *app.markdown]
    return " ".join(str(element.value) for element in found)


def n_charts(app: AppTest) -> int:
    """How many charts it shows."""
    return len(app.get("vega_lite_chart"))


def links(app: AppTest) -> list[str]:
    """The labels of its links to other pages."""
    return [link.proto.label for link in app.get("page_link")]


def evaluated(script: str) -> pd.DataFrame:
    """The value of a Python script's last line."""
    before, _, last = script.strip().rpartition("\n")
    found: pd.DataFrame = eval(last, executed(before))
    return found


@cache
def executed(script: str) -> dict[str, Any]:
    """The names that a script defines. The scripts behind a page's figures differ in one line."""
    names: dict[str, Any] = {}
    exec(script, names)
    return names


def python_gives_the_data(figure: Figure) -> None:
    """The Python behind a figure gives its data."""
    theirs = evaluated(figure.script)
    columns = [str(c) for c in theirs if c in figure.frame]
    shared = [c for c in columns if theirs[c].dtype.kind in "fiu"]
    assert len(shared) >= 2
    # The chart's rows can be in another order, and leave out some.
    order = [c for c in ("checkpoint", *shared) if c in shared]
    ours = figure.frame[shared].sort_values(order, ignore_index=True)
    found = theirs[shared].sort_values(order, ignore_index=True)
    found = found.merge(ours.drop_duplicates(), on=shared) if len(found) > len(ours) else found
    pd.testing.assert_frame_equal(found, ours, check_dtype=False)

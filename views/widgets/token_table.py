"""A table of token occurrences, each in its text, of which one row can be selected."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import streamlit as st

from queries import Store

TEXT = "text, the ⟦token⟧ marked"
POINTS = 80
"""Losses of a sparkline at most: more than its pixels say nothing."""


def marked(tokens: pd.DataFrame) -> pd.Series:
    """The text around each token on one line; `tokens` has the columns of `Store.context`."""
    text = tokens["before"] + "⟦" + tokens["token"] + "⟧" + tokens["after"]
    return text.str.replace(r"\s+", " ", regex=True)


def in_text(tokens: pd.DataFrame, *values: str) -> pd.DataFrame:
    """`values`, text (the token marked), source, position, row.

    `tokens` has `values` and the columns of `Store.context`.
    """
    return tokens.assign(text=marked(tokens))[[*values, "text", "source", "position", "row"]]


def sparklines(store: Store, rows: np.ndarray, steps: Sequence[int]) -> pd.Series:
    """Each token's losses at `steps`, thinned to POINTS."""
    return _lists(store.matrix.rows(rows, _columns(store, steps)))


def mean_sparklines(
    store: Store, rows: np.ndarray, of_row: np.ndarray, n: int, steps: Sequence[int]
) -> pd.Series:
    """The mean losses of `n` sets of tokens at `steps`; `of_row` is the set of each of `rows`."""
    losses = store.matrix.rows(rows, _columns(store, steps))
    counts = np.maximum(np.bincount(of_row, minlength=n), 1)
    means = [np.bincount(of_row, column, n) / counts for column in losses.T]
    return _lists(np.stack(means, axis=1))


def _lists(losses: np.ndarray) -> pd.Series:
    """Rows of a matrix as lists, which is what a table draws as lines."""
    return pd.Series(losses.round(3).tolist(), dtype=object)


def _columns(store: Store, steps: Sequence[int]) -> np.ndarray:
    places = np.searchsorted(store.matrix.checkpoints, steps)
    thin = np.linspace(0, len(places) - 1, min(len(places), POINTS)).round().astype(np.int64)
    columns: np.ndarray = places[thin]
    return columns


def show(
    tokens: pd.DataFrame,
    value: str,
    label: str,
    key: str,
    format: str = "%+.2f",
    on_select: Callable[[], None] | None = None,
) -> int | None:
    """Draw `value`, losses (a list each), text, source, position, row; the selected row, or None.

    `tokens` has these, and the columns of `Store.context`. With `on_select` that function is called
    instead, before the page is drawn again.
    """
    shown = in_text(tokens, value, "losses")
    event = st.dataframe(
        shown,
        hide_index=True,
        key=key,
        on_select=on_select or "rerun",
        selection_mode="single-row",
        height="content" if len(shown) < 12 else "auto",
        column_config={
            value: st.column_config.NumberColumn(label, format=format, width=105),
            "losses": st.column_config.LineChartColumn("loss", width=95),
            "text": st.column_config.TextColumn(TEXT, width=415),
            "source": None if on_select and shown["source"].nunique() == 1 else "source",
            "position": st.column_config.NumberColumn("position", width=75),
            "row": None if on_select else "row",
        },
    )
    selected = event["selection"]["rows"]
    return int(shown["row"].iloc[selected[0]]) if selected else None

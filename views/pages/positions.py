"""The Positions page: does a longer context help, by how much, and since when?"""

import pandas as pd
import streamlit as st

from queries import QueryError, Store, charts
from queries.catalog import sql_scripts
from views import answers
from views.widgets import display, figure, group_panel
from views.widgets import display as spans
from views.widgets.figure import Figure

COLOURS = {"loss": "mean_loss", "loss less its step's mean": "less_mean"}
LATE, EARLY, IN = 500, 50, 512
"""Olsson et al.'s positions, in their context of 512 tokens."""


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Position and step")
    st.caption(
        "The more of a doc a model has seen, the better it can predict the rest. Since which step "
        "of its training, from which position on, and by how much?"
    )
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where", "all_tokens")
    if where is None:
        return
    axis = display.training_axis(store)
    _heat_map(store, where, axis)
    _slope(store, where, axis)
    _score(store, where, axis)


def _heat_map(store: Store, where: str, axis: str) -> None:
    st.subheader("Loss by position")
    colour = st.segmented_control(
        "Coloured by",
        list(COLOURS),
        default="loss",
        required=True,
        key="colour",
        bind="query-params",
        persist_state="session",
        help="Less its step's mean: what position does, without what all tokens gain in training.",
    )
    found = answers.positions(store, answers.key(store), where)
    frame = spans.placed(store, found, axis)
    n_tokens = found["n_tokens"]
    figure.show(
        Figure(
            "Loss by position and step",
            charts.heat_map(frame, axis, COLOURS[str(colour)]),
            found,
            sql_scripts.positions_sql(store, where),
            "Two ranges for each doubling of the position, of at least "
            f"{n_tokens.min():,} tokens. Other positions hold other tokens (a doc's first words "
            "are unlike its later ones): what differs along the position is not the context's "
            "doing alone.",
        ),
        "heat_map",
    )


def _slope(store: Store, where: str, axis: str) -> None:
    st.subheader("Slope: what each doubling of the position changes")
    try:
        found = answers.position_slope(store, answers.key(store), where)
    except QueryError as error:
        st.info(str(error))
        return
    figure.show(
        Figure(
            "Slope of the loss over the position",
            _line(store, found, "slope", axis, 0),
            found,
            sql_scripts.position_slope_sql(store, where),
            f"{_at_last(store, found['slope'], found, 'nats for each doubling')} Below zero, "
            "later tokens are easier. One number for a curve that need not be straight: see the "
            "map above.",
        ),
        "slope",
    )


def _score(store: Store, where: str, axis: str) -> None:
    st.subheader("In-context score")
    longest = store.manifest.context_length
    with st.container(horizontal=True, vertical_alignment="bottom"):
        late = _position("Position", "late", LATE, longest)
        early = _position("minus position", "early", EARLY, longest)
    try:
        found = answers.in_context_score(store, answers.key(store), late, early, where)
    except QueryError as error:
        st.info(str(error))
        return
    figure.show(
        Figure(
            "In-context score",
            _line(store, found, "difference", axis, 1),
            found,
            sql_scripts.in_context_sql(store, late, early, where),
            f"Mean loss at position {late:,} minus at position {early:,} (Olsson et al. 2022). "
            f"{_at_last(store, found['difference'], found, 'nats')} More negative is more "
            "in-context learning. Two positions have few tokens each: the slope above takes in "
            "all of them.",
        ),
        "score",
    )


def _position(title: str, key: str, usual: int, longest: int) -> int:
    """A field; in a shorter context than Olsson et al.'s it begins at the same share of it."""
    return int(
        st.number_input(
            title,
            1,
            longest,
            max(1, min(usual, usual * longest // IN)),
            key=key,
            bind="query-params",
            persist_state="session",
            width=180,
        )
    )


def _at_last(store: Store, values: pd.Series, found: pd.DataFrame, unit: str) -> str:
    low, high = found["low"].iloc[-1], found["high"].iloc[-1]
    band = "no band" if pd.isna(low) else f"95 % band {low:+.3f} to {high:+.3f}"
    return f"At step {store.steps[-1]:,}: {values.iloc[-1]:+.3f} {unit} ({band})."


def _line(store: Store, found: pd.DataFrame, value: str, axis: str, look: int) -> object:
    color, dash = charts.look(look)
    titles = {"slope": "nats a doubling", "difference": "late minus early (nats)"}
    frame = found.assign(token_group=titles[value], color=color, dash=[dash] * len(found))
    return charts.curves(
        spans.placed(store, frame, axis), axis, value, titles[value], height=250, nothing=0
    )

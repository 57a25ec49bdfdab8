"""The Positions page: does a longer context help, by how much, and since when?"""

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.charts import curves, heat_map, theme
from queries.engine.measures import Measure, measure_of
from queries.report.numbers import signed
from views import answers, state
from views.widgets import figure, group_panel, measure, training_axis
from views.widgets.figure import Figure

COLOURS = ("value", "less_mean")
MINUS_MEAN = "minus the mean of its step"
LATE, EARLY, CONTEXT = 500, 50, 512
"""Olsson et al.'s positions, and the length of their context."""


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Loss by position and step")
    st.caption(
        "The more of a doc a model has seen, the better it can predict the rest. From which "
        "training step, from which position, and by how much?"
    )
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where")
    if where is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        axis = training_axis.choose(store)
        measured = measure_of(measure.choose(store))
    _heat_map(store, where, axis, measured)
    _slope(store, where, axis)
    _score(store, where, axis)


def _heat_map(store: Store, where: str, axis: str, measured: Measure) -> None:
    st.subheader(f"{measured.name.capitalize()} by position")
    colour = st.segmented_control(
        "Coloured by",
        COLOURS,
        default="value",
        format_func=lambda choice: measured.name if choice == "value" else MINUS_MEAN,
        required=True,
        key="colour",
        bind="query-params",
        persist_state="session",
        help="Minus the mean of its step: the effect of position, without what all tokens gain in "
        "training.",
    )
    found = answers.positions(store, where, measured.name)
    value = measured.mean if colour == "value" else "less_mean"
    figure.show(
        Figure(
            f"{measured.name.capitalize()} by position and step",
            heat_map.loss_by_position(
                training_axis.placed(store, found.frame, axis), axis, value, measured.name
            ),
            found.frame,
            found.script(),
            f"{measure.note(store, measured.name)} Two ranges per doubling of the position, each "
            f"with at least {found.frame['n_tokens'].min():,} tokens. Different positions hold "
            "different tokens "
            "(a doc's first words differ from its later ones), so not every difference between "
            "positions is an effect of the context.",
        ),
        "heat_map",
    )


def _slope(store: Store, where: str, axis: str) -> None:
    st.subheader("Slope: change per doubling of the position")
    try:
        found = answers.position_slope(store, where=where)
    except QueryError as error:
        st.info(str(error))
        return
    figure.show(
        Figure(
            "Slope of the loss against the position",
            _curve(store, found.frame, "slope", "nats per doubling", axis),
            found.frame,
            found.script(),
            f"{_at_last_step(store, found.frame, 'slope', 'nats per doubling')} Below zero, later "
            "tokens are easier. This is one number for a curve that need not be straight: see the "
            "map above.",
        ),
        "slope",
    )


def _score(store: Store, where: str, axis: str) -> None:
    st.subheader("In-context score")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        late = _position_input(store, "Position", "late", LATE)
        early = _position_input(store, "minus position", "early", EARLY)
    try:
        found = answers.in_context_score(store, late=late, early=early, where=where)
    except QueryError as error:
        st.info(str(error))
        return
    figure.show(
        Figure(
            "In-context score",
            _curve(store, found.frame, "difference", "late minus early (nats)", axis),
            found.frame,
            found.script(),
            f"Mean loss at position {late:,} minus at position {early:,} (Olsson et al. 2022). "
            f"{_at_last_step(store, found.frame, 'difference', 'nats')} More negative means more "
            "in-context learning. Two positions have few tokens; the slope above uses all of them.",
        ),
        "score",
    )


def _position_input(store: Store, label: str, key: str, default: int) -> int:
    """A field; with a shorter context than Olsson et al.'s it starts at the same share of it."""
    longest = store.manifest.context_length
    position = st.number_input(
        label,
        1,
        longest,
        max(1, min(default, default * longest // CONTEXT)),
        key=key,
        bind="query-params",
        persist_state="session",
        width=180,
    )
    return int(position)


def _at_last_step(store: Store, found: pd.DataFrame, value: str, unit: str) -> str:
    last = found.iloc[-1]
    band = "no band"
    if pd.notna(last["low"]):
        band = f"95% band {signed(last['low'], 3)} to {signed(last['high'], 3)}"
    return f"At step {store.steps[-1]:,}: {signed(last[value], 3)} {unit} ({band})."


def _curve(store: Store, found: pd.DataFrame, value: str, title: str, axis: str) -> theme.Drawing:
    where = group_panel.chosen("where")
    (look,) = state.looks(where)
    frame = curves.as_group(found, where.title(store), *look)
    placed = training_axis.placed(store, frame, axis)
    return curves.relative(placed, value, title, 0, axis, height=250)

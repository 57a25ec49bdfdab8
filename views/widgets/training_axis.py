"""The axis of training: the widget that chooses it, and where checkpoints are on it."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from queries import Store
from queries.charts.theme import TOKENS_SEEN
from views import state

_KEY = "axis_choice"

Span = tuple[float, float]
"""Two places on the axis."""


def choose(store: Store) -> str:
    """The widget for one of AXES; every page that has it shows the same choice."""
    st.session_state[_KEY] = state.current().axis
    axis = st.segmented_control(
        "Training axis",
        state.axes(store),
        required=True,
        key=_KEY,
        on_change=lambda: state.change(axis=st.session_state[_KEY]),
        help="Symlog is linear below step 10 and logarithmic above, so that step 0 is shown. "
        "Tokens seen is offered if the store records it.",
    )
    return str(axis)


def placed(store: Store, frame: pd.DataFrame, axis: str) -> pd.DataFrame:
    """`frame`, which has checkpoint, with the column `at`: the checkpoint's place on the axis."""
    return frame.assign(at=frame["checkpoint"].map(_places(store, axis)))


def span(store: Store, region: tuple[int, int] | None, axis: str) -> Span | None:
    """A region's ends on the axis; None if a checkpoint is not in the store."""
    places = _places(store, axis)
    if region is None or not set(region) <= set(places):
        return None
    return places[region[0]], places[region[1]]


def nearest_steps(store: Store, ends: Sequence[float] | None, axis: str) -> tuple[int, int] | None:
    """The checkpoints nearest to two places on the axis; None if they are one checkpoint."""
    if not ends:
        return None
    places = _places(store, axis)
    first, last = (min(places, key=lambda s: abs(places[s] - end)) for end in sorted(ends))
    return (first, last) if first < last else None


def _places(store: Store, axis: str) -> dict[int, float]:
    if axis != TOKENS_SEEN:
        return {step: step for step in store.steps}
    return dict(zip(store.steps, _tokens_seen(store).astype(float), strict=True))


def _tokens_seen(store: Store) -> pd.Series:
    return store.checkpoints.set_index("checkpoint")["tokens_seen"].reindex(store.steps)

"""The measure of a page: the loss or, if the store has predictions, rank, entropy or accuracy."""

import streamlit as st

from queries import Store
from queries.engine.measures import MeasureName, measure_of
from views import state

_KEY = "measure_choice"


def choose(store: Store) -> MeasureName:
    """The widget; the loss, without a widget, if the store has no predictions."""
    if len(store.measures) == 1:
        return "loss"
    st.session_state[_KEY] = state.current().measure
    measure = st.segmented_control(
        "Measure",
        store.measures,
        required=True,
        key=_KEY,
        on_change=lambda: state.change(measure=st.session_state[_KEY]),
        help="Of each token: its loss; its rank among all token types (0: the model's first "
        "guess); the entropy of the prediction; or accuracy, the share of tokens with rank 0.",
    )
    return measure_of(str(measure)).name


def note(store: Store, measure: MeasureName) -> str:
    """A sentence about the checkpoints without predictions, if there are any."""
    n_predicted, n_scored = len(store.steps_of(measure)), len(store.steps)
    if n_predicted == n_scored:
        return ""
    return f"Only {n_predicted:,} of the {n_scored:,} checkpoints have predictions."

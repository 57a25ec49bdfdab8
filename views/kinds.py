"""The Kinds page: tokens that are learned alike, by their curves or by Rho-1's rule."""

import streamlit as st

from queries import Store
from queries.kinds import COMPARED, MOST
from views import categories, clusters, display, group_panel

CURVES, RHO = "alike in their curves", "Rho-1's four categories"
STABLE = "as many as are stable"


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Kinds of trajectories")
    st.caption(
        "A mean hides that some tokens were learned early, some late, and some were forgotten. "
        "Here single tokens are sorted by how their own loss went."
    )
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where", "all_tokens")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            sorted_by = st.segmented_control(
                "Sorted into", [CURVES, RHO], default=CURVES, required=True, key="sorted_by",
                bind="query-params", persist_state="session",
            )  # fmt: skip
            if sorted_by == CURVES:
                compared, k = _how()
            else:
                log = st.toggle(
                    "Lines over the log of the step", True, key="rho_log", bind="query-params",
                    persist_state="session",
                    help="Rho-1 fitted lines over the step, in a run that went on from a trained "
                    "model. Runs from nothing fall early, which the log suits.",
                )  # fmt: skip
    if where is None:
        return
    axis = display.training_axis(store)
    if sorted_by == CURVES:
        clusters.show(store, where, k, compared, axis)
    else:
        categories.show(store, where, log, axis)


def _how() -> tuple[str, int | None]:
    compared = st.segmented_control(
        "Compared by", COMPARED, default=COMPARED[0], required=True, key="kinds_compared",
        bind="query-params", persist_state="session",
        help="Shape: when a token was learned, not how hard it is (each curve less its mean, over "
        "its standard deviation). Level: the losses as they are.",
    )  # fmt: skip
    number = st.selectbox(
        "Number of kinds", [STABLE, *map(str, range(2, MOST + 1))], key="kinds_number",
        bind="query-params", persist_state="session", width=230,
    )  # fmt: skip
    return str(compared), None if number == STABLE else int(number)

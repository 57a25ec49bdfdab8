"""The Trajectories page: two groups' mean losses over training, and their difference."""

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from views import answers, charts, region
from views.groups import choose_group, group_title

FEW_DOCS = 10
BANDS = (
    "Bands are 95 % intervals of the mean that take source documents as the sampled unit, since "
    "neither tokens nor windows of one document are independent."
)


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Trajectories")
    st.caption("How the mean loss of two groups of tokens fell, and how they came apart.")
    left, right = st.columns(2)
    baseline = _group(left, store, "Baseline", "baseline", "not_copyable")
    comparison = _group(right, store, "Comparison", "comparison", "copyable")
    axis = st.segmented_control(
        "Step axis", list(charts.AXES), default="log-like", required=True, key="axis",
        bind="query-params", persist_state="session",
        help="Log-like is linear below step 10 and logarithmic above, so that step 0 has a place.",
    )  # fmt: skip
    frames = [frame for frame in (baseline, comparison) if frame is not None]
    if frames:
        _means(store, frames, str(axis))
    if baseline is not None and comparison is not None:
        _difference(store, baseline, comparison, str(axis))


def _group(
    column: "st.delta_generator.DeltaGenerator", store: Store, label: str, key: str, default: str
) -> pd.DataFrame | None:
    """The group's trajectory with its title and clause; None, and a sentence, if it has none."""
    with column:
        clause = choose_group(store, label, key, default)
        try:
            frame = answers.trajectory(store, answers.key(store), clause)
        except QueryError as error:
            st.error(str(error), icon=":material/error:")
            return None
        _describe(int(frame["n_tokens"].iloc[0]), int(frame["n_docs"].iloc[0]))
    title = f"{label}: {group_title(store, clause)}"
    return frame.assign(token_group=title, clause=clause, color=charts.COLORS[key])


def _describe(n_tokens: int, n_docs: int) -> None:
    st.caption(f"**{n_tokens:,}** tokens in **{n_docs:,}** source documents")
    if n_docs < 2:
        st.info("All in one source document: there is nothing to estimate a band from.")
    elif n_docs < FEW_DOCS:
        st.warning(f"Only {n_docs} source documents: the band itself is uncertain.")


def _means(store: Store, frames: list[pd.DataFrame], axis: str) -> None:
    st.subheader("Mean loss")
    event = st.altair_chart(
        charts.trajectories(pd.concat(frames, ignore_index=True), axis, region.at_start()),
        on_select="rerun",
        selection_mode=charts.BRUSH,
        key="trajectories_chart",
    )
    st.caption(BANDS)
    region.offer_zoom(store, event["selection"].get(charts.BRUSH, {}).get("checkpoint"))


def _difference(store: Store, baseline: pd.DataFrame, comparison: pd.DataFrame, axis: str) -> None:
    clauses = [frame["clause"].iloc[0] for frame in (comparison, baseline)]
    if clauses[0] == clauses[1]:
        st.info("Both groups are the same, so there is no difference to show.")
        return
    st.subheader("Comparison minus baseline")
    difference = answers.difference(store, answers.key(store), *clauses)
    st.altair_chart(charts.difference(difference, axis))
    st.caption("Below zero, the comparison group is predicted better than the baseline group.")

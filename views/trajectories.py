"""The Trajectories page: two groups' mean losses over training, and their difference."""

import pandas as pd
import streamlit as st

from queries import GroupError, QueryError, Store
from views import answers, charts
from views.groups import choose_group, group_title

FEW_DOCS = 10


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Trajectories")
    left, right = st.columns(2)
    with left:
        baseline = choose_group(store, "Baseline", "baseline", "position_50")
    with right:
        comparison = choose_group(store, "Comparison", "comparison", "position_500")
    axis = st.segmented_control(
        "Step axis", ["log-like", "linear"], default="log-like", required=True, key="axis",
        bind="query-params",
    )  # fmt: skip
    try:
        frames = [_named(store, clause) for clause in (baseline, comparison)]
        difference = answers.difference(store, answers.key(store), comparison, baseline)
    except GroupError as error:
        st.error(str(error))
        return
    except QueryError as error:
        st.error(f"The question has no answer: {error}")
        return
    _describe(frames)
    _draw(frames, difference, axis or "log-like")


def _named(store: Store, clause: str) -> pd.DataFrame:
    frame = answers.trajectory(store, answers.key(store), clause)
    return frame.assign(token_group=group_title(store, clause))


def _describe(frames: list[pd.DataFrame]) -> None:
    for frame, column in zip(frames, st.columns(2), strict=True):
        n_tokens, n_docs = int(frame["n_tokens"].iloc[0]), int(frame["n_docs"].iloc[0])
        column.caption(f"{n_tokens:,} tokens in {n_docs:,} source documents")
        if n_docs < 2:
            column.info("One source document: there is nothing to estimate a band from.")
        elif n_docs < FEW_DOCS:
            column.warning(f"Only {n_docs} source documents: the band is itself uncertain.")


def _draw(frames: list[pd.DataFrame], difference: pd.DataFrame, axis: str) -> None:
    if frames[0]["token_group"].iloc[0] == frames[1]["token_group"].iloc[0]:
        st.info("Both groups are the same: their difference is zero everywhere.")
        frames = frames[:1]
    event = st.altair_chart(
        charts.trajectories(pd.concat(frames, ignore_index=True), axis),
        on_select="rerun",
        selection_mode=charts.BRUSH,
        key="trajectories_chart",
    )
    st.caption("Bands: 95 % intervals that treat source documents as the sampled unit.")
    region = event["selection"].get(charts.BRUSH, {}).get("checkpoint")
    if region:
        _offer_zoom(sorted(region))
    st.subheader("Comparison minus baseline")
    st.altair_chart(charts.difference(difference, axis))


def _offer_zoom(region: list[float]) -> None:
    first, last = round(region[0]), round(region[1])
    st.session_state["brushed"] = (first, last)
    st.info(f"Region {first:,} to {last:,}: open the Zoom page to look into it.")

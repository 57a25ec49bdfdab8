"""The Zoom page: how single tokens changed in a region of training."""

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.zoom import Zoom
from views import answers, charts, group_panel, region

AROUND, WHOLE = "around the region", "whole run"
LINES = 5  # trajectories of each list in the chart
LISTS = {"decreased": "Most decreased", "increased": "Most increased", "random": "Random"}


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Zoom")
    st.caption("Which tokens changed between two checkpoints, and did the same ones change back?")
    rise, recovery = answers.suggested_regions(store, answers.key(store))
    chosen = region.choose(store, "Region", "", rise)
    with st.expander("Tokens and lists"):
        where = group_panel.one(store, "Tokens", "where", "all_tokens")
        k = st.number_input("Tokens in each list", 1, 1_000, 50, key="k", bind="query-params",
                            persist_state="session")  # fmt: skip
    if where is None:
        return
    try:
        zoom = answers.zoom(store, answers.key(store), chosen, where, int(k), seed=0)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    _histogram(zoom)
    _trajectories(zoom)
    _lists(store, zoom)
    _second_region(store, chosen, where, int(k), recovery)


def _histogram(zoom: Zoom) -> None:
    change = zoom.changes["change"]
    st.subheader(f"Change in loss from step {zoom.first:,} to {zoom.last:,}")
    st.altair_chart(charts.histogram(zoom.histogram))
    st.caption(
        f"Of {len(change):,} tokens, {(change < 0).mean():.1%} fell and {(change > 0).mean():.1%} "
        f"rose. Mean change {change.mean():+.3f} nats, median {change.median():+.3f}."
    )


def _trajectories(zoom: Zoom) -> None:
    st.subheader("Losses of single tokens")
    span = st.segmented_control(
        "Steps shown", [AROUND, WHOLE], default=AROUND, required=True, key="span",
        bind="query-params", persist_state="session",
    )  # fmt: skip
    heads = [_head(getattr(zoom, name)).assign(token_list=title) for name, title in LISTS.items()]
    frame = pd.concat(heads)
    ends = (zoom.first, zoom.last)
    shown = region.surroundings(frame, ends) if span == AROUND else frame
    axis = "linear" if span == AROUND else "log-like"
    st.altair_chart(charts.token_trajectories(shown, axis, ends))
    st.caption(f"The first {LINES} tokens of each list below; the region is shaded.")


def _head(trajectories: pd.DataFrame) -> pd.DataFrame:
    return trajectories[trajectories["row"].isin(trajectories["row"].unique()[:LINES])]


def _lists(store: Store, zoom: Zoom) -> None:
    st.subheader("Tokens in their text")
    for tab, name in zip(st.tabs(list(LISTS.values())), LISTS, strict=True):
        with tab:
            _table(store, getattr(zoom, name))


def _table(store: Store, trajectories: pd.DataFrame) -> None:
    tokens = trajectories.drop_duplicates("row")[["row", "change"]]
    if tokens.empty:
        st.info("No token of the group changed in this direction.")
        return
    context = answers.context(store, answers.key(store), tuple(tokens["row"].tolist()))
    st.dataframe(
        charts.in_context(tokens.merge(context, on="row")),
        hide_index=True,
        column_config={
            "change": st.column_config.NumberColumn("change (nats)", format="%+.2f"),
            "text": st.column_config.TextColumn("text, the ⟦token⟧ marked", width="large"),
        },
    )


def _second_region(
    store: Store, chosen: region.Region, where: str, k: int, default: region.Region
) -> None:
    st.subheader("The same tokens in a second region?")
    second = region.choose(store, "Second region", "second_", default)
    try:
        shared = answers.overlap(store, answers.key(store), chosen, second, where, k)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.dataframe(
        shared,
        hide_index=True,
        column_config={
            "set_in_first": f"in {chosen[0]:,} to {chosen[1]:,}, most",
            "set_in_second": f"in {second[0]:,} to {second[1]:,}, most",
            "k_first": "n first",
            "k_second": "n second",
            "shared": "shared",
            "expected": st.column_config.NumberColumn("by chance", format="%.2f"),
            "p_value": st.column_config.NumberColumn("p (chance)", format="%.2g"),
            "expected_usual": st.column_config.NumberColumn("usual", format="%.2f"),
            "p_usual": st.column_config.NumberColumn("p (usual)", format="%.2g"),
            "n_regions": None,
        },
    )
    st.caption(
        "By chance: what two lists of these sizes would share if drawn at random. Usual: if each "
        "token moved in the second region as it does in other regions of its width, since some "
        "tokens always move more. p: how often as many or more would be shared."
    )
    if chosen[1] == second[0]:
        st.caption(
            f"Both regions hold step {second[0]:,}, whose noise alone makes tokens move and move "
            "back: begin the second one a step later to be rid of that."
        )

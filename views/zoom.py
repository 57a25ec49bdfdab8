"""The Zoom page: how single tokens changed in a region of training."""

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.zoom import Zoom
from views import answers, charts
from views.groups import choose_group

SHOWN = 5  # trajectories of each list in the chart


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Zoom")
    brushed = st.session_state.pop("brushed", None)
    rise, recovery = store.suggested_regions()
    region = _choose_region(store, "Region", "region", rise, brushed)
    second = _choose_region(store, "Second region", "second", recovery, None)
    where = choose_group(store, "Tokens", "where", "all_tokens")
    k = st.number_input("Tokens in each list", 1, 500, 50, key="k", bind="query-params")
    try:
        zoom = answers.zoom(store, answers.key(store), region, where, int(k), 0)
        overlap = answers.overlap(store, answers.key(store), region, second, where, int(k))
    except QueryError as error:
        st.error(str(error))
        return
    _histogram(zoom)
    _lists(store, zoom)
    _overlap(overlap, region, second)


def _choose_region(
    store: Store,
    label: str,
    key: str,
    default: tuple[int, int],
    brushed: tuple[int, int] | None,
) -> tuple[int, int]:
    steps = store.steps
    if brushed:
        near = [min(steps, key=lambda s: abs(s - b)) for b in brushed]
        st.session_state[f"{key}_first"], st.session_state[f"{key}_last"] = near
    first, last = st.columns(2)
    start = first.selectbox(
        f"{label}: first step", steps, index=steps.index(default[0]), format_func="{:,}".format,
        key=f"{key}_first", bind="query-params",
    )  # fmt: skip
    end = last.selectbox(
        f"{label}: last step", steps, index=steps.index(default[1]), format_func="{:,}".format,
        key=f"{key}_last", bind="query-params",
    )  # fmt: skip
    return int(start), int(end)


def _histogram(zoom: Zoom) -> None:
    change = zoom.changes["change"]
    st.subheader("Change per token")
    st.caption(
        f"Of {len(change):,} tokens, {(change < 0).mean():.1%} fell and {(change > 0).mean():.1%} "
        f"rose from step {zoom.first:,} to {zoom.last:,}; mean change {change.mean():+.3f} nats."
    )
    st.altair_chart(charts.histogram(zoom.histogram))


def _lists(store: Store, zoom: Zoom) -> None:
    lists = {
        "most decreased": zoom.decreased,
        "most increased": zoom.increased,
        "random": zoom.random,
    }
    st.subheader("Trajectories of single tokens")
    chosen = [
        frame[frame["row"].isin(frame["row"].drop_duplicates()[:SHOWN])].assign(token_list=name)
        for name, frame in lists.items()
    ]
    st.altair_chart(
        charts.token_trajectories(pd.concat(chosen), "log-like", (zoom.first, zoom.last))
    )
    for tab, frame in zip(st.tabs([n.capitalize() for n in lists]), lists.values(), strict=True):
        with tab:
            _table(store, frame)


def _table(store: Store, frame: pd.DataFrame) -> None:
    tokens = frame.drop_duplicates("row")[["row", "change"]]
    if tokens.empty:
        st.info("No token changed in this direction.")
        return
    rows = tuple(int(r) for r in tokens["row"])
    context = answers.context(store, answers.key(store), rows)
    shown = tokens.merge(context, on="row")
    st.dataframe(
        shown[["change", "before", "token", "after", "source", "position", "row"]],
        hide_index=True,
        column_config={"change": st.column_config.NumberColumn("change (nats)", format="%+.3f")},
    )


def _overlap(overlap: pd.DataFrame, region: tuple[int, int], second: tuple[int, int]) -> None:
    st.subheader("Overlap of the extreme tokens")
    st.caption(
        f"How many tokens are extreme both from {region[0]:,} to {region[1]:,} and from "
        f"{second[0]:,} to {second[1]:,}; expected is what chance alone would give."
    )
    st.dataframe(overlap, hide_index=True)

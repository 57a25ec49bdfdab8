"""The Zoom page: how single tokens changed in a region of training."""

import pandas as pd
import streamlit as st

from queries import QueryError, Store, behind
from queries.templates import ChangedBetween
from queries.zoom import Zoom
from views import answers, charts, explained, figure, group_panel, picked, region, second_region
from views.figure import Figure

AROUND, WHOLE = "around the region", "whole run"
OCCURRENCES, TYPES = "occurrences", "types"
WIDE = 20  # times its first step: a region whose early part a linear axis would squeeze
LINES = 5  # trajectories of each list in the chart
LISTS = {"decreased": "Most decreased", "increased": "Most increased", "random": "Random"}


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Zoom")
    st.caption("Which tokens changed between two checkpoints, and did the same ones change back?")
    rise, recovery = answers.suggested_regions(store, answers.key(store))
    region.take_event(store)
    chosen = region.choose(store, "Region", "", rise)
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where", "all_tokens")
        k, unit, min_count = _lists_of()
    if where is None:
        return
    try:
        zoom = answers.zoom(store, answers.key(store), chosen, where, k, seed=0)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    _histogram(store, zoom, where)
    _trajectories(store, zoom)
    st.subheader("Tokens in their text" if unit == OCCURRENCES else "Token types")
    if unit == OCCURRENCES:
        for tab, name in zip(st.tabs(list(LISTS.values())), LISTS, strict=True):
            with tab:
                picked.occurrences(store, zoom, name, LISTS[name])
    else:
        picked.types(store, zoom, where, min_count, k)
    explained.offer(store, chosen)
    second_region.show(store, chosen, where, k, min_count if unit == TYPES else None, recovery)


def _lists_of() -> tuple[int, str, int]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        k = st.number_input("Tokens in each list", 1, 1_000, 50, key="k", bind="query-params",
                            persist_state="session", width=170)  # fmt: skip
        unit = st.segmented_control(
            "Lists of", [OCCURRENCES, TYPES], default=OCCURRENCES, required=True, key="lists_of",
            bind="query-params", persist_state="session",
            help="An occurrence is one token at one place of the text; a type is all occurrences "
            "of the same token, by their mean change.",
        )  # fmt: skip
        min_count = 20
        if unit == TYPES:
            min_count = st.number_input(
                "Occurrences of a type, at least", 1, 100_000, 20, key="min_count",
                bind="query-params", persist_state="session", width=230,
            )  # fmt: skip
    return int(k), str(unit), int(min_count)


def _histogram(store: Store, zoom: Zoom, where: str) -> None:
    change = zoom.changes["change"]
    st.subheader(f"Change in loss from step {zoom.first:,} to {zoom.last:,}")
    event = figure.show(
        Figure(
            f"Change in loss from step {zoom.first:,} to {zoom.last:,}",
            charts.histogram(zoom.histogram), zoom.histogram,
            behind.histogram_sql(store, zoom.first, zoom.last, where),
            f"Of {len(change):,} tokens, {(change < 0).mean():.1%} fell and "
            f"{(change > 0).mean():.1%} rose. Mean change {change.mean():+.3f} nats, median "
            f"{change.median():+.3f}. Drag over the bars to choose tokens.",
        ),
        "histogram", on_select="rerun", selection_mode=charts.BRUSH,
    )  # fmt: skip
    brushed = event["selection"].get(charts.BRUSH, {}).get("low")
    if brushed:
        low, high = (float(f"{end:.4g}") for end in sorted(brushed))
        group = ChangedBetween(zoom.first, zoom.last, low, high)
        picked.offer(group, f"Changed by {low:+g} to {high:+g}")


def _trajectories(store: Store, zoom: Zoom) -> None:
    st.subheader("Losses of single tokens")
    span = st.segmented_control(
        "Steps shown", [AROUND, WHOLE], default=AROUND, required=True, key="span",
        bind="query-params", persist_state="session",
    )  # fmt: skip
    heads = [_head(getattr(zoom, name)).assign(token_list=title) for name, title in LISTS.items()]
    frame = pd.concat(heads)
    ends = (zoom.first, zoom.last)
    shown = region.surroundings(frame, ends) if span == AROUND else frame
    wide = span == WHOLE or zoom.last > WIDE * max(zoom.first, 1)
    axis = charts.LOG_LIKE if wide else charts.LINEAR
    figure.show(
        Figure("Losses of single tokens", charts.token_trajectories(shown, axis, ends), frame,
               behind.token_trajectories_sql(frame["row"].unique()),
               f"The first {LINES} tokens of each list below; the region is shaded."),
        "token_trajectories",
    )  # fmt: skip


def _head(trajectories: pd.DataFrame) -> pd.DataFrame:
    return trajectories[trajectories["row"].isin(trajectories["row"].unique()[:LINES])]

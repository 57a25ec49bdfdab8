"""A region of training: brushed on a chart, kept in the URL, opened on the Zoom page."""

import re

import streamlit as st

from queries import QueryError, Store
from views import answers

Region = tuple[int, int]
"""The first and the last step."""
PARAMETER = "region"
_STEP = re.compile(r"\d{1,18}", re.ASCII)


def at_start() -> Region | None:
    """The region of the URL with which the page was opened: the initial position of the brush.

    It stays the same until a link names another one, as a chart whose specification changes loses
    its brush.
    """
    in_url = st.query_params.get(PARAMETER, "")
    if "region_at_start" not in st.session_state or in_url not in ("", _written()):
        st.session_state["region_at_start"] = _parse(in_url)
        _write(_parse(in_url))
    found: Region | None = st.session_state["region_at_start"]
    return found


def offer_zoom(brushed: Region | None) -> None:
    """Keep the brushed region in the URL and offer to zoom into it."""
    if brushed != st.session_state.get("last_brush"):
        st.session_state["last_brush"] = brushed
        _write(brushed)
    region = _parse(st.query_params.get(PARAMETER, ""))
    if not region:
        st.markdown(":material/arrow_selector_tool: Drag across the chart to select a region.")
        return
    link(*region)


def link(first: int, last: int, before: str = "Zoom into ") -> None:
    """A link to a region on the Zoom page."""
    st.page_link(
        st.session_state["pages"]["zoom"],
        label=f"{before}steps {first:,} to {last:,}",
        icon=":material/zoom_in:",
        query_params={"first": str(first), "last": str(last)},
    )


def jump_to_event(store: Store) -> None:
    """A select box of the detected events of the mean loss, which sets the region's steps."""
    try:
        events = answers.events(store).frame
    except QueryError:
        return  # too few checkpoints to distinguish events from noise
    if events.empty:
        return
    labels = {
        f"{e['kind'].replace('_', ' ')}, {e['first']:,} to {e['last']:,} ({e['size']:.3f} nats)": e
        for e in events.to_dict("records")
        if e["first"] < e["last"]
    }

    def jump() -> None:
        event = labels.get(st.session_state["event"])
        if event:
            st.session_state["first"], st.session_state["last"] = event["first"], event["last"]

    st.selectbox(
        "Jump to a detected event",
        list(labels),
        index=None,
        key="event",
        on_change=jump,
        placeholder="spikes, falls, plateaus of the mean loss …",
    )


def choose(store: Store, label: str, prefix: str, default: Region) -> Region:
    """Two select boxes of the store's steps, in the URL as `{prefix}first`, `{prefix}last`."""
    first, last = (
        column.selectbox(
            f"{label}: {end} step",
            store.steps,
            index=store.steps.index(step),
            key=f"{prefix}{end}",
            bind="query-params",
            persist_state="session",
        )
        for column, end, step in zip(st.columns(2), ("first", "last"), default, strict=True)
    )
    return int(first), int(last)


def _parse(text: str) -> Region | None:
    first, dash, last = text.partition("-")
    if not (dash and _STEP.fullmatch(first) and _STEP.fullmatch(last) and int(first) < int(last)):
        return None
    return int(first), int(last)


def _written() -> str:
    found: str = st.session_state.get("region_written", "")
    return found


def _write(region: Region | None) -> None:
    text = f"{region[0]}-{region[1]}" if region else ""
    st.session_state["region_written"] = text
    if region:
        st.query_params[PARAMETER] = text
    else:
        st.query_params.pop(PARAMETER, None)

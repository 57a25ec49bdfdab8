"""Regions of training, which all pages share: brushed on a chart or chosen in select boxes."""

from typing import Literal

import streamlit as st

from queries import Store
from views import state
from views.state import Region

Slot = Literal["region", "second"]
"""The field of the state."""
_BRUSHED, _AT_START = "region_brushed", "region_at_start"


def at_start() -> Region | None:
    """The region at which a chart's brush begins: one that was not brushed on that chart.

    A chart whose specification changes loses its brush.
    """
    now = state.current().region
    if now != st.session_state.get(_BRUSHED):
        st.session_state[_AT_START] = now
    found: Region | None = st.session_state.setdefault(_AT_START, now)
    return found


def offer_zoom(brushed: Region | None) -> None:
    """Keep the brushed region in the state and offer to zoom into it."""
    if brushed != st.session_state.get("last_brush"):
        st.session_state["last_brush"] = brushed
        st.session_state[_BRUSHED] = brushed
        state.change(region=brushed)
    region = state.current().region
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
        query_params=state.link(region=(first, last)),
    )


def title_of(step: int) -> str:
    """A step as all sentences have it."""
    return f"{step:,}"


def choose(store: Store, label: str, slot: Slot, default: Region) -> Region:
    """Two select boxes of the store's steps; until the user chooses, they show `default`."""
    steps = store.steps
    region = getattr(state.current(), slot) or default
    keys = [f"{slot}_{end}" for end in ("first", "last")]

    def changed(which: int) -> None:
        ends = [int(st.session_state[key]) for key in keys]
        at = steps.index(ends[which])
        if ends[0] >= ends[1]:  # the other end makes way
            ends[1 - which] = steps[min(at + 1, len(steps) - 1) if which == 0 else max(at - 1, 0)]
        state.change(**{slot: (ends[0], ends[1])})

    options = (steps[:-1] or steps, steps[1:] or steps)
    for which, column in enumerate(st.columns(2)):
        st.session_state[keys[which]] = region[which]
        column.selectbox(
            f"{label}: {('first', 'last')[which]} step",
            options[which],
            key=keys[which],
            format_func=title_of,
            on_change=changed,
            args=(which,),
        )
    return region

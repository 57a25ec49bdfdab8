"""How the trajectories are drawn: panels, axis, bands, smoothing, events, runs; in the URL."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from queries import QueryError, Store, charts
from queries.charts import TOKENS_SEEN
from views import answers
from views.widgets import region
from views.widgets.group_panel import Line

# Where checkpoints stand on the axis of training: at their step, or at the tokens seen by then.

Span = tuple[float, float]


def has_tokens_seen(store: Store) -> bool:
    """Does the store say how many tokens each of its checkpoints had seen?"""
    return bool(_tokens_seen(store).notna().all())


def placed(store: Store, frame: pd.DataFrame, axis: str) -> pd.DataFrame:
    """`frame`, which has checkpoint, with the column `at`."""
    return frame.assign(at=frame["checkpoint"].map(_place(store, axis)))


def of_region(store: Store, region: tuple[int, int] | None, axis: str) -> Span | None:
    """Where a region's ends stand on the axis; None where a checkpoint is not in the store."""
    places = _place(store, axis)
    if region is None or not set(region) <= set(places):
        return None
    return places[region[0]], places[region[1]]


def steps(store: Store, brushed: Sequence[float] | None, axis: str) -> list[int] | None:
    """The checkpoints that are nearest to the ends of what was brushed on the axis."""
    if not brushed:
        return None
    places = _place(store, axis)
    return [min(places, key=lambda s: abs(places[s] - end)) for end in sorted(brushed)]


def _place(store: Store, axis: str) -> dict[int, float]:
    if axis != TOKENS_SEEN:
        return {step: step for step in store.steps}
    return dict(zip(store.steps, _tokens_seen(store).astype(float), strict=True))


def _tokens_seen(store: Store) -> pd.Series:
    return store.checkpoints.set_index("checkpoint")["tokens_seen"].reindex(store.steps)


NOTHING, EVERYTHING = "none", "all tokens"
BELOW = ("difference", "ratio", "nothing")
_KINDS = {
    "spike": "spike",
    "hump": "hump",
    "fastest_fall": "fastest fall",
    "plateau": "plateau",
    "change_point": "change point",
}


@dataclass(frozen=True)
class Display:
    """What was chosen."""

    axis: str
    below: str
    bands: bool
    smooth: float | None
    events: str
    runs: tuple[str, ...]


def choose(store: Store, others: Sequence[Store]) -> Display:
    """The widgets, in one line above the groups."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        below = st.segmented_control(
            "Beside the baseline",
            BELOW,
            default="difference",
            required=True,
            key="below",
            bind="query-params",
            persist_state="session",
            help="What is drawn below the mean losses: each group minus the first one (the "
            "baseline), or over it.",
        )
        axis = training_axis(store)
        with st.popover("Bands, smoothing, events", icon=":material/tune:"):
            bands, smooth, events = _finer()
        chosen = _runs(others)
    return Display(axis, str(below), bands, smooth or None, events, chosen)


def training_axis(store: Store) -> str:
    """The widget for one of charts.AXES; the same on every page that has it."""
    known = charts.AXES if has_tokens_seen(store) else charts.AXES[:2]
    axis = st.segmented_control(
        "Training axis",
        known,
        default=charts.LOG_LIKE,
        required=True,
        key="axis",
        bind="query-params",
        persist_state="session",
        help="Log-like is linear below step 10 and logarithmic above, so that step 0 has a "
        "place. Tokens seen is offered where the store says them.",
    )
    return str(axis)


def _finer() -> tuple[bool, float, str]:
    bands = st.toggle(
        "Bands",
        True,
        key="bands",
        bind="query-params",
        persist_state="session",
        help="95 % intervals over source documents.",
    )
    smooth = st.slider(
        "Smoothing (decades of the step)",
        0.0,
        0.5,
        0.0,
        0.01,
        key="smooth",
        bind="query-params",
        persist_state="session",
        help="Off at 0. A Gaussian mean over the log of the step; the band is the smoothed mean's.",
    )
    events = st.selectbox(
        "Mark events of",
        [NOTHING, EVERYTHING, "each group"],
        key="events",
        bind="query-params",
        persist_state="session",
        help="Spikes, the fastest fall, plateaus and change points that noise alone would show in "
        "under 5 % of trajectories.",
    )
    return bool(bands), float(smooth), str(events)


def _runs(others: Sequence[Store]) -> tuple[str, ...]:
    if not others:
        return ()
    paths = [str(other.path) for other in others]
    chosen = st.multiselect(
        "Compare with runs",
        paths,
        key="runs",
        bind="query-params",
        persist_state="session",
        format_func=lambda path: path.rstrip("/").rpartition("/")[2],
        help="Stores of the same tokens, such as other seeds: the mean over runs, from the lowest "
        "run to the highest.",
    )
    return tuple(chosen)


def smoothing(shown: Display) -> str:
    """That the lines are smoothed, where they are."""
    return f"Smoothed over {shown.smooth:g} decades of the step." if shown.smooth else ""


def marks(store: Store, lines: Sequence[Line], shown: Display) -> pd.DataFrame | None:
    """The events as marks on the chart: at, kind, told."""
    found = _events(store, lines, shown)
    if found.empty:
        return None
    at_steps = placed(store, found.rename(columns={"peak": "checkpoint"}), shown.axis)
    told = [
        f"{e.of}: steps {e.first:,} to {e.last:,}, {e.size:.3f} nats" for e in found.itertuples()
    ]
    return at_steps.assign(told=told)[["at", "kind", "told"]]


def list_events(store: Store, lines: Sequence[Line], shown: Display) -> None:
    """The events as a table; a chosen line becomes the region to zoom into."""
    if shown.events == NOTHING:
        return
    try:
        found = _events(store, lines, shown, complain=True)
    except QueryError as error:
        st.info(str(error))
        return
    if found.empty:
        st.info("No event stands out from the noise.")
        return
    st.caption("Events: tick a line to take its steps as the region.")
    event = st.dataframe(
        found[["of", "kind", "first", "peak", "last", "size", "noise_ratio", "p_value"]],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="events_table",
        column_config={
            "size": st.column_config.NumberColumn("size (nats)", format="%.3f"),
            "noise_ratio": st.column_config.NumberColumn("times the noise", format="%.1f"),
            "p_value": st.column_config.NumberColumn("p", format="%.2g"),
        },
    )
    for at in event["selection"]["rows"][:1]:
        first, last = int(found["first"].iloc[at]), int(found["last"].iloc[at])
        region.link(first, last, f"Zoom into this {found['kind'].iloc[at]}, ")


def _events(
    store: Store, lines: Sequence[Line], shown: Display, complain: bool = False
) -> pd.DataFrame:
    """Events with whose they are; none where there are too few checkpoints to tell."""
    asked = {EVERYTHING: "true"} if shown.events == EVERYTHING else {}
    if shown.events == "each group":
        asked = {line.title: line.clause for line in lines}
    frames = []
    for title, clause in asked.items():
        try:
            found = answers.events(store, answers.key(store), clause)
        except QueryError:
            if complain:
                raise
            continue
        frames.append(found.assign(of=title, kind=found["kind"].map(_KINDS)))
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

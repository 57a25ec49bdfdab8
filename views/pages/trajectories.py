"""The Trajectories page: mean losses of groups over training, and differences from a baseline."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.analyses.compare import By
from queries.catalog import sql_scripts
from queries.charts import curves
from queries.charts.theme import TOKENS_SEEN, Drawing
from queries.engine.measures import LOSS, Measure, measure_of
from queries.stats.time_series.events import p_text
from views import answers, state
from views.selected_groups import shortened
from views.widgets import figure, group_panel, measure, region, runs, training_axis
from views.widgets.figure import Figure
from views.widgets.group_panel import GroupCurve, escaped

NONE, ALL_TOKENS, EACH_GROUP = "none", "all tokens", "each group"
EVENTS = {
    "spike": "spike",
    "hump": "hump",
    "fastest_fall": "fastest fall",
    "plateau": "plateau",
    "change_point": "change point",
    "largest_rise": "largest rise",
}
BANDS = (
    "Bands are 95% intervals of the mean that treat source documents as the sampled unit, because "
    "neither tokens nor docs of one source document are independent."
)


@dataclass(frozen=True)
class Comparison:
    """How groups are compared with the baseline."""

    method: Literal["difference", "ratio"]
    """Of `Store`; also the column that is drawn."""
    title: str
    unit: str
    zero: float
    """The value of no difference."""
    heading: str
    caption: str


COMPARISONS = {
    "difference": Comparison(
        "difference",
        "Difference",
        "difference (nats)",
        0,
        "minus the baseline",
        "Below zero, the group is predicted better than the baseline.",
    ),
    "ratio": Comparison(
        "ratio",
        "Ratio",
        "ratio of mean losses",
        1,
        "divided by the baseline",
        "Below one, the group is predicted better than the baseline.",
    ),
}


@dataclass(frozen=True)
class Display:
    """The options above the groups."""

    axis: str
    compared: str
    """A key of COMPARISONS, or NONE."""
    bands: bool
    smooth: float | None
    """Standard deviation of the smoothing, in log10 step."""
    events: str
    runs: tuple[Store, ...]
    """The stores to compare with."""
    measure: Measure
    """The loss, with several runs."""


def page(store: Store, others: Sequence[Store]) -> None:
    """Draw the page; `others` are stores of the same tokens, such as other seeds."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.title("Trajectories", width="content")
        st.caption("How the mean loss of groups of tokens fell in training, and where it diverged.")
        st.page_link(
            st.session_state["pages"]["tour"],
            label="New here? Start with five questions",
            icon=":material/explore:",
            width="content",
        )
    display = _options(store, others)
    with st.container(key="workbench"):
        rail, charts = st.columns([1, 3])
    with rail:
        groups = group_panel.panel(store, display.smooth, display.measure.name)
    if not groups:
        return
    with charts:
        _charts(store, groups, display)


def _charts(store: Store, groups: list[GroupCurve], display: Display) -> None:
    compared = len(groups) > 1 and display.compared in COMPARISONS
    if display.runs:
        runs = [store, *display.runs]
        _runs(runs, groups, display)
        if compared:
            _runs_compared(runs, groups, display)
        return
    if not display.measure.is_predicted:
        _verdicts(store, groups)
    _mean_losses(store, groups, display)
    if compared:
        _comparison(store, groups, display)


# ---- options


def _options(store: Store, others: Sequence[Store]) -> Display:
    """The widgets, in one row above the groups."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        compared = st.segmented_control(
            "Compared with the baseline",
            [*COMPARISONS, NONE],
            default="difference",
            required=True,
            key="compare",
            bind="query-params",
            persist_state="session",
            help="The chart below the mean losses: each group minus the first one (the baseline), "
            "or divided by it.",
        )
        axis = training_axis.choose(store)
        measured = measure_of(measure.choose(store))
        with st.popover("Bands, smoothing, events", icon=":material/tune:"):
            bands, smooth, events = _finer_options()
        shown = runs.choose(
            store,
            others,
            "Compare with runs",
            "Stores of the same tokens, such as other seeds: the mean over runs, with a band from "
            "the lowest run to the highest.",
        )
    if measured.is_predicted:
        events = NONE
    if shown and measured.is_predicted:
        measured = LOSS
        state.say("Several runs are compared by their loss: other measures need a single run.")
    return Display(axis, str(compared), bands, smooth or None, events, tuple(shown), measured)


def _finer_options() -> tuple[bool, float, str]:
    bands = st.toggle(
        "Bands",
        True,
        key="bands",
        bind="query-params",
        persist_state="session",
        help="95% intervals over source documents.",
    )
    smooth = st.slider(
        "Smoothing (standard deviation in log10 step)",
        0.0,
        0.5,
        0.0,
        0.01,
        key="smooth",
        bind="query-params",
        persist_state="session",
        help="0 is off. A Gaussian mean over the log of the step; bands are those of the smoothed "
        "mean.",
    )
    events = st.selectbox(
        "Mark events of",
        [NONE, ALL_TOKENS, EACH_GROUP],
        key="events",
        bind="query-params",
        persist_state="session",
        help="Spikes, the fastest fall, plateaus and change points that noise alone would show in "
        "fewer than 5% of trajectories.",
    )
    return bool(bands), float(smooth), str(events)


# ---- the verdict


def _verdicts(store: Store, groups: list[GroupCurve]) -> None:
    """In a sentence for each group, whether it is distinguishable from the baseline."""
    if len(groups) < 2:
        return
    baseline, *others = groups
    shown = others[:1]
    with st.container(key="verdict", gap="xxsmall"):
        if len(others) > 1 and st.toggle(
            f"Verdicts of all {len(others)} groups",
            key="verdicts",
            bind="query-params",
            persist_state="session",
        ):
            shown = others
        for group in shown:
            sentence = answers.verdict(store, group.clause, baseline.clause)
            titles = (escaped(shortened(g.title, 48)) for g in (group, baseline))
            names = "**{}** minus {}".format(*titles)
            if sentence:
                st.markdown(f"{names}: {escaped(sentence)}")


# ---- charts


def _mean_losses(store: Store, groups: list[GroupCurve], display: Display) -> None:
    frame = pd.concat([group.styled(group.frame) for group in groups], ignore_index=True)
    frame = training_axis.placed(store, frame, display.axis)
    brushed_at = training_axis.span(store, region.at_start(), display.axis)
    shown = display.measure

    def chart() -> Drawing:
        marks = _event_marks(store, groups, display)
        return curves.trajectories(
            frame,
            display.axis,
            brushed_at,
            display.bands,
            marks,
            brush=True,
            value=shown.mean,
            title=shown.label,
        )

    clauses = {group.title: group.clause for group in groups}
    script = sql_scripts.trajectories(store, clauses, shown.name)
    brushed = figure.show(
        Figure(
            shown.title.capitalize(),
            chart,
            frame.drop(columns=["color", "dash"]),
            _unsmoothed(script, display),
            " ".join(
                [
                    measure.note(store, shown.name),
                    BANDS if display.bands else "",
                    _smoothing(display),
                ]
            ).strip(),
        ),
        "trajectories",
        brush="at",
        legend=False,
        same=(_same(store, groups, display), brushed_at),
    )
    region.offer_zoom(training_axis.nearest_steps(store, brushed, display.axis))
    _event_table(store, groups, display)


def _comparison(store: Store, groups: list[GroupCurve], display: Display) -> None:
    how = COMPARISONS[display.compared]
    baseline, *others = groups
    st.subheader(f"{how.title}: each group {how.heading}")
    compare = {"difference": answers.difference, "ratio": answers.ratio}[how.method]
    measured = display.measure
    frames = [
        group.styled(
            compare(store, group.clause, baseline.clause, display.smooth, measure=measured.name)
        )
        for group in others
    ]
    unit, caption = how.unit, how.caption
    if measured.is_predicted:
        unit = f"{how.method} ({measured.unit or measured.name})"
        caption = f"Of the {measured.title}."
    frame = training_axis.placed(store, pd.concat(frames, ignore_index=True), display.axis)

    def chart() -> Drawing:
        return curves.relative(frame, how.method, unit, how.zero, display.axis, display.bands)

    clauses = {group.title: group.clause for group in others}
    script = sql_scripts.comparison(store, how.method, clauses, baseline.clause, measured.name)
    figure.show(
        Figure(
            f"{how.title} to the baseline {baseline.title}",
            chart,
            frame.drop(columns=["color", "dash"]),
            _unsmoothed(script, display),
            f"{caption} {_smoothing(display)}".strip(),
        ),
        "comparison",
        legend=False,
        same=_same(store, groups, display),
    )


def _same(store: Store, groups: Sequence[GroupCurve], display: Display) -> Hashable:
    """Equal for charts that are drawn alike."""
    looks = tuple((g.title, g.clause, g.color, tuple(g.dash)) for g in groups)
    return answers.key(store), looks, display


def _smoothing(display: Display) -> str:
    if not display.smooth:
        return ""
    return f"Smoothed with a standard deviation of {display.smooth:g} in log10 step."


def _unsmoothed(script: str, display: Display) -> str:
    """SQL does not smooth, and the script says so."""
    return f"-- before smoothing\n{script}" if display.smooth else script


def _runs(stores: Sequence[Store], groups: Sequence[GroupCurve], display: Display) -> None:
    """Each group's mean over several runs, and the runs as thin lines."""
    title = f"Mean loss over {len(stores)} runs"
    st.subheader(title)
    by: By = "tokens_seen" if display.axis == TOKENS_SEEN else "step"
    try:
        found = [answers.runs(list(stores), group.clause, by) for group in groups]
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    frame = pd.concat([g.styled(_band(f.spread)) for g, f in zip(groups, found, strict=True)])
    single = pd.concat(
        [f.runs.assign(token_group=g.title) for g, f in zip(groups, found, strict=True)]
    )
    figure.show(
        Figure(
            title,
            curves.trajectories(
                frame.reset_index(drop=True), display.axis, bands=display.bands, runs=single
            ),
            single,
            caption="Thick line: the mean over runs, at the checkpoints that all of them have. "
            "Band: from the lowest run to the highest. Thin lines: the runs. Groups are evaluated "
            "in the first store. Smoothing, events and the verdict need a single run.",
        ),
        "runs",
        legend=False,
    )


def _runs_compared(stores: Sequence[Store], groups: Sequence[GroupCurve], display: Display) -> None:
    """Each group's difference from the baseline in every run, and its mean over the runs."""
    how = COMPARISONS[display.compared]
    baseline, *others = groups
    st.subheader(f"{how.title} over {len(stores)} runs: each group {how.heading}")
    compare = {"difference": answers.difference, "ratio": answers.ratio}[how.method]
    single = pd.concat(
        [
            training_axis.placed(
                store, compare(store, group.clause, baseline.clause), display.axis
            ).assign(token_group=group.title, run=str(store.path))
            for group in others
            for store in stores
        ],
        ignore_index=True,
    )
    frame = pd.concat(
        [g.styled(_spread(single[single["token_group"] == g.title], how.method)) for g in others],
        ignore_index=True,
    )
    chart = curves.relative(
        frame, how.method, how.unit, how.zero, display.axis, display.bands, runs=single
    )
    figure.show(
        Figure(
            f"{how.title} to the baseline {baseline.title} over {len(stores)} runs",
            chart,
            single,
            caption=f"{how.caption} Thick line: the mean over runs, at the checkpoints that all "
            "of them have. Band: from the lowest run to the highest. Thin lines: the runs.",
        ),
        "runs_compared",
        legend=False,
    )


def _spread(runs: pd.DataFrame, value: str) -> pd.DataFrame:
    """checkpoint, at, `value` (the mean over runs), low, high; where all runs have a value."""
    at = runs.groupby("at").agg(
        checkpoint=("checkpoint", "first"),
        mean=(value, "mean"),
        low=(value, "min"),
        high=(value, "max"),
        n=("run", "nunique"),
    )
    shared = at[at["n"] == runs["run"].nunique()].drop(columns="n")
    return shared.rename(columns={"mean": value}).reset_index()


def _band(spread: pd.DataFrame) -> pd.DataFrame:
    band = spread.rename(columns={"lowest": "low", "highest": "high"})
    return band.assign(checkpoint=band["at"])


# ---- events


def _event_marks(
    store: Store, groups: Sequence[GroupCurve], display: Display
) -> pd.DataFrame | None:
    """The events as marks on the chart: at, kind, sentence."""
    try:
        events = _events(store, groups, display)
    except QueryError:  # the table below the chart says why
        return None
    if events.empty:
        return None
    at_peaks = events.rename(columns={"peak": "checkpoint"})
    sentences = [
        f"{e['group']}: steps {e['first']:,} to {e['last']:,}, {e['size']:.3f} nats"
        for e in events.to_dict("records")
    ]
    marks = training_axis.placed(store, at_peaks, display.axis).assign(sentence=sentences)
    return marks[["at", "kind", "sentence"]]


def _event_table(store: Store, groups: Sequence[GroupCurve], display: Display) -> None:
    """The events as a table; a selected row becomes the region to zoom into."""
    if display.events == NONE:
        return
    try:
        events = _events(store, groups, display)
    except QueryError as error:
        st.info(str(error))
        return
    if events.empty:
        st.info("No event stands out from the noise.")
        return
    st.caption("Events: select a row to zoom into it.")
    shown = events.assign(p=events["p_value"].map(p_text))
    event = st.dataframe(
        shown[["group", "kind", "first", "peak", "last", "size", "noise_ratio", "p", "verdict"]],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="events_table",
        column_config={
            "size": st.column_config.NumberColumn("size (nats)", format="%.3f"),
            "noise_ratio": st.column_config.NumberColumn("times the noise", format="%.1f"),
        },
    )
    for at in event["selection"]["rows"][:1]:
        first, last = int(events["first"].iloc[at]), int(events["last"].iloc[at])
        region.link(first, last, f"Zoom into this {events['kind'].iloc[at]}, ")


def _events(store: Store, groups: Sequence[GroupCurve], display: Display) -> pd.DataFrame:
    """Events, and the group that has them. Raises QueryError with too few checkpoints to tell."""
    clauses = {ALL_TOKENS: {ALL_TOKENS: "true"}, EACH_GROUP: {g.title: g.clause for g in groups}}
    frames = [
        answers.events(store, clause).frame.assign(group=title)
        for title, clause in clauses.get(display.events, {}).items()
    ]
    if not frames:
        return pd.DataFrame()
    events = pd.concat(frames, ignore_index=True)
    return events.assign(kind=events["kind"].map(EVENTS))

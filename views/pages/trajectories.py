"""The Trajectories page: groups' mean losses over training, and how they differ from a baseline."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from queries import QueryError, Store, charts
from queries.catalog import sql_scripts
from views import answers, selected_groups
from views.widgets import display, figure, region
from views.widgets import display as spans
from views.widgets.display import Display
from views.widgets.figure import Figure
from views.widgets.group_panel import Line, panel

# Several runs of the Trajectories page at once: the mean over runs, and how far runs lie apart.


def runs_page(stores: Sequence[Store], lines: Sequence[Line], shown: Display) -> None:
    """Each group's mean over the runs, the runs as thin lines."""
    st.subheader(f"Mean loss over {len(stores)} runs")
    by = "tokens_seen" if shown.axis == charts.TOKENS_SEEN else "step"
    keys = tuple(answers.key(store) for store in stores)
    spreads, singles = [], []
    for line in lines:
        try:
            found = answers.runs(list(stores), keys, line.clause, by)
        except QueryError as error:
            st.error(str(error), icon=":material/error:")
            return
        of_line = {"token_group": line.title, "color": line.color}
        spreads.append(
            _as_band(found.spread).assign(**of_line, dash=[line.dash] * len(found.spread))
        )
        singles.append(found.runs.assign(**of_line))
    frame = pd.concat(spreads, ignore_index=True)
    runs = pd.concat(singles, ignore_index=True).drop(columns=["color"])
    chart = charts.trajectories(frame, shown.axis, bands=shown.bands, runs=runs)
    figure.show(
        Figure(
            f"Mean loss over {len(stores)} runs",
            chart,
            runs,
            caption="Thick: the mean over runs, at the checkpoints that all of them have. Band: "
            "from the lowest run to the highest. Thin: each run. Groups are found in the first "
            "store. Smoothing and the panel below are for one run.",
        ),
        "runs",
    )


def _as_band(spread: pd.DataFrame) -> pd.DataFrame:
    shown = spread.rename(columns={"lowest": "low", "highest": "high"})
    return shown.assign(checkpoint=shown["at"])


BANDS = (
    "Bands are 95 % intervals of the mean that take source documents as the sampled unit, since "
    "neither tokens nor windows of one document are independent."
)


@dataclass(frozen=True)
class Panel:
    """How groups are set beside the baseline: a method of `Store`, and how it reads."""

    how: str
    title: str
    nothing: float
    heading: str
    caption: str


PANELS = {
    "difference": Panel(
        "difference",
        "difference (nats)",
        0,
        "minus the baseline",
        "Below zero, a group is predicted better than the baseline.",
    ),
    "ratio": Panel(
        "ratio",
        "ratio of mean losses",
        1,
        "over the baseline",
        "Below one, a group is predicted better than the baseline.",
    ),
}


def page(store: Store, others: Sequence[Store]) -> None:
    """Draw the page; `others` are stores of the same tokens, such as other seeds."""
    st.title("Trajectories")
    st.caption(
        "How the mean loss of groups of tokens fell during training, and how they came apart."
    )
    st.page_link(
        st.session_state["pages"]["tour"],
        label="New here? Four questions to begin with",
        icon=":material/explore:",
    )
    shown = display.choose(store, others)
    lines = panel(store, selected_groups.TRAJECTORIES, selected_groups.DEFAULTS, shown.smooth)
    if not lines:
        return
    compared = [store, *(o for o in others if str(o.path) in shown.runs)]
    if len(compared) > 1:
        runs_page(compared, lines, shown)
        return
    _means(store, lines, shown)
    if len(lines) > 1 and shown.below in PANELS:
        _beside(store, lines, shown)


def _means(store: Store, lines: list[Line], shown: Display) -> None:
    st.subheader("Mean loss")
    frame = spans.placed(store, joined(lines), shown.axis)
    marks = display.marks(store, lines, shown)
    start = spans.of_region(store, region.at_start(), shown.axis)
    chart = charts.trajectories(frame, shown.axis, start, shown.bands, marks)
    script = sql_scripts.trajectories_sql(store, {line.title: line.clause for line in lines})
    event = figure.show(
        Figure(
            "Mean loss",
            chart,
            frame.drop(columns=["color", "dash"]),
            _told(script, shown),
            f"{BANDS if shown.bands else ''} {display.smoothing(shown)}".strip(),
        ),
        "trajectories",
        on_select="rerun",
        selection_mode=charts.BRUSH,
    )
    brushed = event["selection"].get(charts.BRUSH, {}).get("at")
    region.offer_zoom(store, spans.steps(store, brushed, shown.axis))
    display.list_events(store, lines, shown)


def _beside(store: Store, lines: list[Line], shown: Display) -> None:
    below = PANELS[shown.below]
    baseline, *others = lines
    title = "Difference" if shown.below == "difference" else "Ratio"
    st.subheader(f"{title}: each group {below.heading}")
    key = answers.key(store)
    frames = [
        answers.beside(store, key, below.how, line.clause, baseline.clause, shown.smooth).assign(
            token_group=line.title, color=line.color, dash=[line.dash] * len(store.steps)
        )
        for line in others
    ]
    frame = spans.placed(store, pd.concat(frames, ignore_index=True), shown.axis)
    chart = charts.relative(frame, shown.axis, below.how, below.title, below.nothing, shown.bands)
    groups = {line.title: line.clause for line in others}
    script = sql_scripts.beside_sql(store, below.how, groups, baseline.clause)
    figure.show(
        Figure(
            f"{title} to the baseline {baseline.title}",
            chart,
            frame.drop(columns=["color", "dash"]),
            _told(script, shown),
            f"{below.caption} {display.smoothing(shown)}".strip(),
        ),
        "beside",
    )


def joined(lines: list[Line]) -> pd.DataFrame:
    """All lines' trajectories in one frame, with token_group, color and dash."""
    return pd.concat(
        [
            line.frame.assign(
                token_group=line.title, color=line.color, dash=[line.dash] * len(line.frame)
            )
            for line in lines
        ],
        ignore_index=True,
    )


def _told(script: str, shown: Display) -> str:
    """Smoothing is ours alone: the script says that its numbers are without it."""
    return f"-- before smoothing\n{script}" if shown.smooth else script

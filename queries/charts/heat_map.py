"""Loss by position and step: a heat map."""

from itertools import pairwise

import altair as alt
import numpy as np
import pandas as pd

from queries.charts import theme
from queries.engine.measures import MEASURES, Measure, MeasureName

DIVERGE = ("less_mean", "difference")
"""Values around zero."""
_TICKS = [m * 10**n for n in range(6) for m in (1, 2, 5)]


def loss_by_position(
    frame: pd.DataFrame,
    axis: str = theme.SYMLOG,
    value: str = "mean_loss",
    measure: MeasureName = "loss",
    minus: str = "another run",
) -> alt.Chart:
    """checkpoint, first_position, last_position, n_tokens, mean_loss; optional: at, less_mean.

    Another `measure`'s mean may stand in the place of mean_loss. Coloured by `value`: the mean, or
    less_mean, or difference: that from the run `minus`. A cell reaches half-way to the neighbouring
    checkpoints.
    """
    frame = frame if "at" in frame else frame.assign(at=frame["checkpoint"])
    cells = _cells(frame, axis)
    legend = alt.Legend(orient="top", gradientLength=220, titleLimit=600)
    title = _title(value, MEASURES[measure], minus)
    color = alt.Color(f"{value}:Q", title=title, scale=_scale(frame, value), legend=legend)
    # Without an overlap the page shines through between neighbours.
    rectangles = alt.Chart(cells).mark_rect(strokeWidth=0, x2Offset=0.7, y2Offset=-0.7)
    chart: alt.Chart = rectangles.encode(
        x=theme.step(frame.rename(columns={"at": "since"}), axis, "since"),
        x2="until:Q",
        y=_position(int(cells["above"].max())),
        y2="above:Q",
        color=color,
        tooltip=_tooltip(frame, MEASURES[measure]),
    )
    return theme.finish(chart, 360, f"Heat map of the mean {measure} by position and training step")


def _position(last: int) -> alt.Y:
    ticks = [tick for tick in _TICKS if tick < last]
    y: alt.Y = (
        alt.Y("first_position:Q", title="position in the doc (log)")
        .scale(type="log", domain=[1, last], nice=False)
        .axis(
            values=ticks,
            labelExpr=theme.PLAIN,
            grid=False,
            minExtent=theme.AXIS_WIDTH,
            maxExtent=theme.AXIS_WIDTH,
            titlePadding=8,
        )
    )
    return y


def _title(value: str, measure: Measure, minus: str = "") -> str:
    unit = f" ({measure.unit})" if measure.unit else ""
    if value == "difference":
        return f"{measure.name} minus that of {minus}{unit}"
    return f"{measure.name} minus the step's mean{unit}" if value == "less_mean" else measure.label


def _tooltip(frame: pd.DataFrame, measure: Measure) -> list[alt.Tooltip]:
    facts = [
        alt.Tooltip("checkpoint:Q", title="step", format=","),
        alt.Tooltip("first_position:Q", title="from position", format=","),
        alt.Tooltip("last_position:Q", title="to position", format=","),
        alt.Tooltip(f"{measure.mean}:Q", title=measure.label, format=".3f"),
        alt.Tooltip("n_tokens:Q", title="tokens", format=","),
    ]
    if "less_mean" in frame:
        facts.append(alt.Tooltip("less_mean:Q", title=_title("less_mean", measure), format="+.3f"))
    if "difference" in frame:
        facts.append(alt.Tooltip("difference:Q", title="difference", format="+.3f"))
    return facts


def _cells(frame: pd.DataFrame, axis: str) -> pd.DataFrame:
    """Edges of the cells: half-way between checkpoints as the axis is drawn."""
    at = np.unique(frame["at"].to_numpy(np.float64))
    constant = theme.CONSTANT.get(axis)
    bent = np.log1p(at / constant) if constant else at
    middles = np.array([(a + b) / 2 for a, b in pairwise(bent)])
    middles = np.expm1(middles) * constant if constant else middles
    edges = np.concatenate([at[:1], middles, at[-1:]])
    place = np.searchsorted(at, frame["at"])
    return frame.assign(
        since=edges[place], until=edges[place + 1], above=frame["last_position"] + 1
    )


def _scale(frame: pd.DataFrame, value: str) -> alt.Scale:
    """Viridis, bright where the loss is low; around a mean, the colours of falls and rises."""
    if value not in DIVERGE:
        return alt.Scale(scheme="viridis", reverse=value != "accuracy", zero=False)
    # The few tokens of the first positions would leave all others pale.
    size = frame[[value, "n_tokens"]].assign(size=frame[value].abs()).sort_values("size")
    share = size["n_tokens"].cumsum() / size["n_tokens"].sum()
    reach = max(float(size["size"][share >= 0.97].min()), 1e-6)
    return alt.Scale(range=[*theme.DIVERGING], domain=[-reach, 0, reach], clamp=True)

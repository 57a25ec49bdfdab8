"""What all charts share: one palette, one theme, the axes of steps and of losses, sizes."""

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import altair as alt
import pandas as pd

Drawing: TypeAlias = alt.Chart | alt.LayerChart | alt.VConcatChart
"""What the functions of this package return."""
Single = TypeVar("Single", alt.Chart, alt.LayerChart)

# Okabe and Ito's colours: distinct for every kind of colour vision, and light enough for a dark
# page. The eighth group reuses the first colour with a dashed line.
PALETTE = ["#E07B28", "#2A8CC7", "#1FA37C", "#C868A0", "#B58900", "#4FB3E8", "#8A94A0"]
ORANGE, BLUE, GREEN, *_, GREY = PALETTE
FELL_COLOR, ROSE_COLOR = "#4F5BD5", "#C81E3A"
"""Changes of losses: darker and stronger than the colours of groups, for every colour vision."""
DIVERGING = (FELL_COLOR, "#E9E7EA", ROSE_COLOR)
"""Heat maps of changes. Those of losses have viridis."""
DASHES = [[1, 0], [6, 3], [2, 2]]
AXIS_WIDTH = 56
"""Pixels to the left of every panel, so that the steps of stacked panels are aligned."""
WIDTH = 640
"""Pixels of a chart in a file; in the app a chart is as wide as the page."""
BRUSH = "region"
HOVER = "hover"
"""Names of layers and parameters that react to the pointer begin with this."""
SYMLOG, LINEAR, TOKENS_SEEN = "symlog", "linear", "tokens seen"
AXES = (SYMLOG, LINEAR, TOKENS_SEEN)
CONSTANT = {SYMLOG: 10, TOKENS_SEEN: 1e6}
"""Where a symlog axis turns from linear to logarithmic."""
PLAIN = "format(datum.value, ',d')"  # a symlog axis ignores `format` and writes 1e+3
MINUS = "−"
COUNTS = [0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]
"""Ticks of a symlog axis of counts."""
TITLES = {
    SYMLOG: "training step (symlog)",
    LINEAR: "training step",
    TOKENS_SEEN: "tokens seen in training (symlog)",
}
CONFIG: dict[str, Any] = {
    "background": "white",
    "view": {"stroke": None},
    "range": {"category": PALETTE},
    "axis": {
        "gridColor": "#88929C",
        "gridOpacity": 0.25,
        "domainColor": "#88929C",
        "tickColor": "#88929C",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "legend": {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal"},
}
"""The theme of files. In the app Streamlit's theme sets the same from light and dark colours."""
_SHORT = "datum.value ? format(datum.value, '.2~s') : '0'"  # 2M, 1.5G


def step(frame: pd.DataFrame, axis: str = SYMLOG, column: str = "checkpoint") -> alt.X:
    """The axis of training, from the frame's first step to its last; `axis` is one of AXES."""
    at = frame[column]
    domain = [int(at.min()), int(at.max())]
    label = _SHORT if axis == TOKENS_SEEN else PLAIN
    ticks = alt.Axis(labelExpr=label, labelFlush=True, labelOverlap="greedy", grid=False)
    scale = alt.Scale(domain=domain, nice=False, zero=False)
    if axis in CONSTANT:
        scale = alt.Scale(type="symlog", constant=CONSTANT[axis], domain=domain, nice=False)
        values = [tick for tick in _log_ticks(domain[1]) if tick >= domain[0]]
        if len(values) > 3:  # otherwise Vega's, which are evenly spaced
            ticks.values = values
    return alt.X(f"{column}:Q", title=TITLES[axis], scale=scale, axis=ticks)


def loss(column: str, title: str, domain: Sequence[float] | None = None) -> alt.Y:
    """The axis of losses, equally wide in every panel; by default its domain holds all marks."""
    # Two-line titles and long labels would shift one panel's steps against the other's.
    scale = alt.Scale(zero=False, domain=[*domain], nice=False) if domain else alt.Scale(zero=False)
    y: alt.Y = alt.Y(f"{column}:Q", title=title, scale=scale).axis(
        minExtent=AXIS_WIDTH, maxExtent=AXIS_WIDTH, titlePadding=8
    )
    return y


def color(column: str, names: list[str], colors: list[str] | None = None, **how: Any) -> alt.Color:
    """Colours of the values `names` of a column, in their order; a legend above the chart."""
    colors = colors or [look(at)[0] for at in range(len(names))]
    found: alt.Color = alt.Color(f"{column}:N", title=None, sort=names, **how).scale(
        domain=names, range=colors
    )
    if "legend" in how:
        return found
    # Many long names in one row would be cut off at the edge of a narrow page.
    columns = 4 if len(names) > 4 else 0
    return found.legend(orient="top", labelLimit=420, columns=columns)


def rule_at(value: float, on: str = "y") -> alt.Chart:
    """A dashed line at a value of the x or y axis, such as the value of no difference."""
    line = alt.Chart(pd.DataFrame({on: [value]})).mark_rule(strokeDash=[4, 4], color=GREY)
    drawn: alt.Chart = line.encode(**{on: f"{on}:Q"})
    return drawn


def shade(region: tuple[float, float]) -> alt.Chart:
    """A grey rectangle over a region of the x axis."""
    ends = alt.Chart(pd.DataFrame([{"first": region[0], "last": region[1]}]))
    drawn: alt.Chart = ends.mark_rect(opacity=0.12, color=GREY).encode(x="first:Q", x2="last:Q")
    return drawn


def overlay(layers: Sequence[alt.Chart], height: int, description: str) -> alt.LayerChart:
    """Layers over one another, finished as by `finish`."""
    chart = alt.layer(*layers)
    assert isinstance(chart, alt.LayerChart)  # it is a facet only where a layer is one
    return finish(chart, height, description)


def finish(chart: Single, height: int, description: str) -> Single:
    """As wide as the page, with a text for people who cannot see the chart."""
    return chart.properties(height=height, width="container", description=description)


def stack(*panels: alt.Chart | alt.LayerChart) -> alt.VConcatChart:
    """Panels one above the other, each with its own colours."""
    wide = [panel.properties(width=WIDTH) for panel in panels]
    stacked: alt.VConcatChart = alt.vconcat(*wide).resolve_scale(
        color="independent", strokeDash="independent", x="independent"
    )
    return stacked


def look(position: int) -> tuple[str, list[int]]:
    """Colour and dashes of the n-th group, from 0."""
    return PALETTE[position % len(PALETTE)], DASHES[position // len(PALETTE) % len(DASHES)]


def domain_of(*values: pd.Series) -> list[float]:
    """The ends of an axis that follows the curves: a band that is wider is cut off."""
    found = pd.concat(values).astype(float)
    found = found[found.abs() < float("inf")]
    if found.empty:
        return [0.0, 1.0]
    low, high = float(found.min()), float(found.max())
    margin = 0.06 * (high - low) or max(abs(high), 1.0) * 0.06
    return [low - margin, high + margin]


def minus(text: str) -> str:
    """A formatted number with a real minus sign, as Vega writes its own numbers."""
    return text.replace("-", MINUS)


def _log_ticks(last: int) -> list[int]:
    powers = [10**n for n in range(1, len(str(max(last, 1))) + 1)]
    multiples = (1, 2, 5) if last < 10**6 else (1,)
    return [0, *(m * p for p in powers for m in multiples if m * p <= last)]

"""What charts have in common: colours, axes of steps and of losses, sizes."""

from typing import Any

import altair as alt
import pandas as pd

# Okabe and Ito's, told apart with any colour vision, light enough for a dark page too. The eighth
# group has the first one's colour again, with a dashed line.
PALETTE = ["#E07B28", "#2A8CC7", "#1FA37C", "#C868A0", "#B58900", "#4FB3E8", "#8A94A0"]
ORANGE, BLUE, GREEN, *_, GREY = PALETTE
DASHES = [[1, 0], [6, 3], [2, 2]]
AXIS_WIDTH = 56  # the same in all panels, so that their steps stand one above the other
BRUSH = "region"
LOG_LIKE, LINEAR, TOKENS_SEEN = "log-like", "linear", "tokens seen"
AXES = (LOG_LIKE, LINEAR, TOKENS_SEEN)
PLAIN = "format(datum.value, ',d')"  # a symlog axis ignores `format` and writes 1e+3
_SHORT = "datum.value ? format(datum.value, '.2~s') : '0'"  # 2M, 1.5G
CONSTANT = {LOG_LIKE: 10, TOKENS_SEEN: 1e6}


def step(frame: pd.DataFrame, axis: str, column: str = "checkpoint") -> alt.X:
    """The axis of training, from the frame's first step to its last; `axis` is one of AXES."""
    at = frame[column]
    domain = [int(at.min()), int(at.max())]
    label = _SHORT if axis == TOKENS_SEEN else PLAIN
    ticks = alt.Axis(labelExpr=label, labelFlush=True, labelOverlap="greedy", grid=False)
    scale = alt.Scale(domain=domain, nice=False, zero=False)
    if axis in CONSTANT:
        scale = alt.Scale(type="symlog", constant=CONSTANT[axis], domain=domain, nice=False)
        ticks.values = _log_ticks(domain[1])
    title = (
        "tokens seen in training (log-like)" if axis == TOKENS_SEEN else f"training step ({axis})"
    )
    return alt.X(f"{column}:Q", title=title, scale=scale, axis=ticks)


def loss(column: str, title: str) -> alt.Y:
    """The axis of losses, as wide in every panel."""
    # Two-line titles and long labels would shift one panel's steps against the other's.
    return alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=False)).axis(
        minExtent=AXIS_WIDTH, maxExtent=AXIS_WIDTH, titlePadding=8
    )


def finish(chart: Any, height: int, description: str) -> Any:
    """As wide as the page, with a text for those who cannot see it."""
    return chart.properties(height=height, width="container", description=description)


def look(position: int) -> tuple[str, list[int]]:
    """Colour and dashes of the n-th group, from 0."""
    return PALETTE[position % len(PALETTE)], DASHES[position // len(PALETTE) % len(DASHES)]


def _log_ticks(last: int) -> list[int]:
    powers = [10**n for n in range(1, len(str(max(last, 1))) + 1)]
    multiples = (1, 2, 5) if last < 10**6 else (1,)
    return [0, *(m * p for p in powers for m in multiples if m * p <= last)]

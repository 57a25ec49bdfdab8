"""Loss by position and step: a heat map."""

from itertools import pairwise

import altair as alt
import numpy as np
import pandas as pd

from queries.charts import theme

_TITLES = {"mean_loss": "mean loss (nats)", "less_mean": "nats from the step's mean"}
_TICKS = [m * 10**n for n in range(6) for m in (1, 2, 5)]


def heat_map(frame: pd.DataFrame, axis: str, value: str) -> alt.Chart:
    """at, checkpoint, first_position, last_position, n_tokens, mean_loss, less_mean.

    Coloured by `value`, one of the last two. A cell reaches half-way to the next checkpoints.
    """
    cells = _cells(frame, axis)
    last = int(cells["above"].max())
    y = (
        alt.Y("first_position:Q", title="position in the doc (log)")
        .scale(type="log", domain=[1, last], nice=False)
        .axis(
            values=[tick for tick in _TICKS if tick < last],
            labelExpr=theme.PLAIN,
            grid=False,
            minExtent=theme.AXIS_WIDTH,
            maxExtent=theme.AXIS_WIDTH,
            titlePadding=8,
        )
    )
    scale = _scale(frame, value)
    # Without an overlap the page shines through between neighbours.
    rectangle = {"strokeWidth": 0, "x2Offset": 0.7, "y2Offset": -0.7}
    chart = alt.Chart(cells).mark_rect(**rectangle).encode(
        x=theme.step(frame.rename(columns={"at": "since"}), axis, "since"), x2="until:Q",
        y=y, y2="above:Q",
        color=alt.Color(f"{value}:Q", title=_TITLES[value], scale=scale,
                        legend=alt.Legend(orient="top", gradientLength=220)),
        tooltip=[
            alt.Tooltip("checkpoint:Q", title="step", format=","),
            alt.Tooltip("first_position:Q", title="from position", format=","),
            alt.Tooltip("last_position:Q", title="to position", format=","),
            alt.Tooltip("mean_loss:Q", title=_TITLES["mean_loss"], format=".3f"),
            alt.Tooltip("less_mean:Q", title=_TITLES["less_mean"], format="+.3f"),
            alt.Tooltip("n_tokens:Q", title="tokens", format=","),
        ],
    )  # fmt: skip
    return theme.finish(chart, 360, "Heat map of the mean loss by position and training step")


def _cells(frame: pd.DataFrame, axis: str) -> pd.DataFrame:
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
    """Viridis, bright where the loss is low; around a mean, blue below it and orange above."""
    if value == "mean_loss":
        return alt.Scale(scheme="viridis", reverse=True, zero=False)
    # The few tokens of the first positions would leave all others pale.
    size = frame[[value, "n_tokens"]].assign(size=frame[value].abs()).sort_values("size")
    share = size["n_tokens"].cumsum() / size["n_tokens"].sum()
    reach = max(float(size["size"][share >= 0.97].min()), 1e-6)
    return alt.Scale(scheme="blueorange", domain=[-reach, reach], domainMid=0, clamp=True)

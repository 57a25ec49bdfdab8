"""Small charts of single analyses: leads, covariate balance, cluster stability, one token."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from queries.charts import theme

_KINDS = {"lead": "half-way points", "lag": "increments"}


def leads(frame: pd.DataFrame) -> alt.LayerChart:
    """probe, and lead, lag (decades of the step) each with …_low and …_high."""
    parts = [
        frame[["probe", name, f"{name}_low", f"{name}_high"]]
        .set_axis(["probe", "value", "low", "high"], axis=1)
        .assign(by=title)
        for name, title in _KINDS.items()
    ]
    long = pd.concat(parts, ignore_index=True)
    titles = list(_KINDS.values())
    base = alt.Chart(long).encode(
        y=alt.Y("probe:N", sort=None, title=None).axis(labelLimit=240, labelOverlap=False),
        yOffset=alt.YOffset("by:N", sort=titles),
        color=alt.Color("by:N", title=None, sort=titles)
        .scale(domain=titles, range=[theme.BLUE, theme.ORANGE])
        .legend(orient="top"),
        tooltip=[
            alt.Tooltip("probe:N"),
            alt.Tooltip("by:N"),
            alt.Tooltip("value:Q", title="decades", format="+.3f"),
            alt.Tooltip("low:Q", title="from", format="+.3f"),
            alt.Tooltip("high:Q", title="to", format="+.3f"),
        ],
    )
    title = "decades of the step by which the group is behind (above 0: the probe moves first)"
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=alt.X("value:Q", title=title)
    )
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    zero = alt.Chart(pd.DataFrame({"x": [0]})).mark_rule(strokeDash=[4, 4], color=theme.GREY)
    layers = alt.layer(zero.encode(x="x:Q"), bars, points)
    return theme.finish(layers, 120 + 44 * len(frame), "Leads and lags of the probes")


# What matching changed: how alike a group and its controls are, before and after.

BALANCED = 0.1
_SIDES = {"before": "before matching", "after": "after matching"}


def balance(frame: pd.DataFrame) -> alt.LayerChart:
    """Of each feature the size of the difference: feature, measure, before, after."""
    long = frame.melt(["feature", "measure"], list(_SIDES), "side", "signed")
    long = long.assign(size=long["signed"].abs(), side=long["side"].map(_SIDES))
    y = alt.Y("feature:N", sort=None, title=None).axis(
        labelLimit=220, labelOverlap=False, domain=False, ticks=False
    )
    x = alt.X("size:Q", title="size of the difference (standard deviations; of texts, a distance)")
    x = x.scale(domainMin=0, nice=True)
    ends = frame.assign(one=frame["before"].abs(), two=frame["after"].abs())
    way = alt.Chart(ends).mark_rule(color=theme.GREY, strokeWidth=2, opacity=0.6)
    points = alt.Chart(long).mark_point(filled=True, size=110, opacity=1).encode(
        y=y, x=x,
        color=alt.Color("side:N", title=None, sort=list(_SIDES.values())).scale(
            domain=list(_SIDES.values()), range=[theme.ORANGE, theme.BLUE]
        ).legend(orient="top"),
        tooltip=[alt.Tooltip("feature:N"), alt.Tooltip("measure:N"), alt.Tooltip("side:N"),
                 alt.Tooltip("signed:Q", title="difference", format="+.3f")],
    )  # fmt: skip
    limit = (
        alt.Chart(pd.DataFrame({"x": [BALANCED]}))
        .mark_rule(strokeDash=[4, 4], color=theme.GREY)
        .encode(x="x:Q")
    )
    layers = alt.layer(limit, way.encode(y=y, x=alt.X("one:Q"), x2="two:Q"), points)
    return theme.finish(layers, 120 + 30 * len(frame), "How alike group and controls are")


# How stable kinds of trajectories are, for each number of kinds that was tried.

_NAMES = {"stability": "these tokens", "cloud_stability": "a cloud without any kinds"}


def stability(frame: pd.DataFrame, chosen: int) -> alt.LayerChart:
    """Lines over the number of kinds: k, stability, cloud_stability; `chosen` is ringed."""
    long = frame.melt("k", list(_NAMES), "of", "index")
    long = long.assign(of=long["of"].map(_NAMES))
    base = alt.Chart(long).encode(
        x=alt.X("k:O", title="number of kinds").axis(labelAngle=0),
        y=alt.Y("index:Q", title="stability (adjusted Rand index)")
        .scale(domain=[0, 1])
        .axis(minExtent=theme.AXIS_WIDTH, maxExtent=theme.AXIS_WIDTH, titlePadding=8),
        color=alt.Color("of:N", title=None, sort=list(_NAMES.values()))
        .scale(domain=list(_NAMES.values()), range=[theme.BLUE, theme.GREY])
        .legend(orient="top"),
        tooltip=[
            alt.Tooltip("k:O", title="kinds"),
            alt.Tooltip("of:N"),
            alt.Tooltip("index:Q", title="adjusted Rand index", format=".2f"),
        ],
    )
    ring = base.transform_filter(
        (alt.datum.k == chosen) & (alt.datum.of == _NAMES["stability"])
    ).mark_point(size=260, strokeWidth=2, filled=False)
    layers = alt.layer(base.mark_line(strokeWidth=1.8), base.mark_point(filled=True, size=50), ring)
    return theme.finish(layers, 230, "Stability of each number of kinds")


# One token's loss over training, and the largest values as a table to read.


def one_token(frame: pd.DataFrame, steps: Sequence[int]) -> alt.LayerChart:
    """A token's losses: checkpoint, loss. Rules stand at `steps`."""
    line = alt.Chart(frame).encode(
        x=theme.step(frame, theme.LOG_LIKE), y=theme.loss("loss", "loss (nats)")
    )
    points = line.mark_point(opacity=0, size=60).encode(
        tooltip=[
            alt.Tooltip("checkpoint:Q", title="step", format=","),
            alt.Tooltip("loss:Q", title="loss (nats)", format=".3f"),
        ]
    )
    marked = frame[frame["checkpoint"].isin(steps)]
    rules = (
        alt.Chart(marked)
        .mark_rule(color=theme.GREY, strokeDash=[4, 3])
        .encode(x=theme.step(frame, theme.LOG_LIKE))
    )
    ends = (
        alt.Chart(marked)
        .mark_point(filled=True, size=70, opacity=1, color=theme.ORANGE)
        .encode(x=theme.step(frame, theme.LOG_LIKE), y=theme.loss("loss", "loss (nats)"))
    )
    chart = alt.layer(rules, line.mark_line(strokeWidth=1.8, color=theme.BLUE), ends, points)
    told = " and ".join(f"{step:,}" for step in steps)
    return theme.finish(chart, 260, f"Loss of one token over training, steps {told} marked")

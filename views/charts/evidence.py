"""Which of two curves moves first: leads and lags with their intervals."""

import altair as alt
import pandas as pd

from views.charts import axes

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
        color=alt.Color("by:N", title=None, sort=titles).scale(
            domain=titles, range=[axes.BLUE, axes.ORANGE]
        ).legend(orient="top"),
        tooltip=[alt.Tooltip("probe:N"), alt.Tooltip("by:N"),
                 alt.Tooltip("value:Q", title="decades", format="+.3f"),
                 alt.Tooltip("low:Q", title="from", format="+.3f"),
                 alt.Tooltip("high:Q", title="to", format="+.3f")],
    )  # fmt: skip
    title = "decades of the step by which the group is behind (above 0: the probe moves first)"
    points = base.mark_point(filled=True, size=80, opacity=1).encode(
        x=alt.X("value:Q", title=title)
    )
    bars = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    zero = alt.Chart(pd.DataFrame({"x": [0]})).mark_rule(strokeDash=[4, 4], color=axes.GREY)
    layers = alt.layer(zero.encode(x="x:Q"), bars, points)
    return axes.finish(layers, 120 + 44 * len(frame), "Leads and lags of the probes")

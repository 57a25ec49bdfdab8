"""What matching changed: how alike a group and its controls are, before and after."""

import altair as alt
import pandas as pd

from views.charts import axes

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
    way = alt.Chart(ends).mark_rule(color=axes.GREY, strokeWidth=2, opacity=0.6)
    points = alt.Chart(long).mark_point(filled=True, size=110, opacity=1).encode(
        y=y, x=x,
        color=alt.Color("side:N", title=None, sort=list(_SIDES.values())).scale(
            domain=list(_SIDES.values()), range=[axes.ORANGE, axes.BLUE]
        ).legend(orient="top"),
        tooltip=[alt.Tooltip("feature:N"), alt.Tooltip("measure:N"), alt.Tooltip("side:N"),
                 alt.Tooltip("signed:Q", title="difference", format="+.3f")],
    )  # fmt: skip
    limit = alt.Chart(pd.DataFrame({"x": [BALANCED]})).mark_rule(
        strokeDash=[4, 4], color=axes.GREY
    ).encode(x="x:Q")  # fmt: skip
    layers = alt.layer(limit, way.encode(y=y, x=alt.X("one:Q"), x2="two:Q"), points)
    return axes.finish(layers, 120 + 30 * len(frame), "How alike group and controls are")

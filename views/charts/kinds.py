"""How stable kinds of trajectories are, for each number of kinds that was tried."""

import altair as alt
import pandas as pd

from views.charts import axes

_NAMES = {"stability": "these tokens", "cloud_stability": "a cloud without any kinds"}


def stability(frame: pd.DataFrame, chosen: int) -> alt.LayerChart:
    """Lines over the number of kinds: k, stability, cloud_stability; `chosen` is ringed."""
    long = frame.melt("k", list(_NAMES), "of", "index")
    long = long.assign(of=long["of"].map(_NAMES))
    base = alt.Chart(long).encode(
        x=alt.X("k:O", title="number of kinds").axis(labelAngle=0),
        y=alt.Y("index:Q", title="stability (adjusted Rand index)").scale(domain=[0, 1]).axis(
            minExtent=axes.AXIS_WIDTH, maxExtent=axes.AXIS_WIDTH, titlePadding=8
        ),
        color=alt.Color("of:N", title=None, sort=list(_NAMES.values())).scale(
            domain=list(_NAMES.values()), range=[axes.BLUE, axes.GREY]
        ).legend(orient="top"),
        tooltip=[alt.Tooltip("k:O", title="kinds"), alt.Tooltip("of:N"),
                 alt.Tooltip("index:Q", title="adjusted Rand index", format=".2f")],
    )  # fmt: skip
    ring = base.transform_filter(
        (alt.datum.k == chosen) & (alt.datum.of == _NAMES["stability"])
    ).mark_point(size=260, strokeWidth=2, filled=False)  # fmt: skip
    layers = alt.layer(base.mark_line(strokeWidth=1.8), base.mark_point(filled=True, size=50), ring)
    return axes.finish(layers, 230, "Stability of each number of kinds")

"""One token's loss over training, and the largest values as a table to read."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from views.charts import axes


def one_token(frame: pd.DataFrame, steps: Sequence[int]) -> alt.LayerChart:
    """A token's losses: checkpoint, loss. Rules stand at `steps`."""
    line = alt.Chart(frame).encode(
        x=axes.step(frame, axes.LOG_LIKE), y=axes.loss("loss", "loss (nats)")
    )
    points = line.mark_point(opacity=0, size=60).encode(
        tooltip=[
            alt.Tooltip("checkpoint:Q", title="step", format=","),
            alt.Tooltip("loss:Q", title="loss (nats)", format=".3f"),
        ]
    )
    marked = frame[frame["checkpoint"].isin(steps)]
    rules = alt.Chart(marked).mark_rule(color=axes.GREY, strokeDash=[4, 3]).encode(
        x=axes.step(frame, axes.LOG_LIKE)
    )  # fmt: skip
    ends = alt.Chart(marked).mark_point(filled=True, size=70, opacity=1, color=axes.ORANGE).encode(
        x=axes.step(frame, axes.LOG_LIKE), y=axes.loss("loss", "loss (nats)")
    )  # fmt: skip
    chart = alt.layer(rules, line.mark_line(strokeWidth=1.8, color=axes.BLUE), ends, points)
    told = " and ".join(f"{step:,}" for step in steps)
    return axes.finish(chart, 260, f"Loss of one token over training, steps {told} marked")

"""How single tokens changed in a region of training."""

import altair as alt
import pandas as pd

from queries.charts import theme

LIST_COLORS = [theme.BLUE, theme.ORANGE, theme.GREY]


def histogram(frame: pd.DataFrame) -> alt.LayerChart:
    """Tokens by change in loss: low, high, n_tokens. The count axis is log-like."""
    shown = frame.assign(direction=["fell" if h <= 0 else "rose" for h in frame["high"]])
    bars = (
        alt.Chart(shown)
        .mark_bar(binSpacing=0.5)
        .encode(
            x=alt.X("low:Q", title="change in loss (nats), last minus first").bin("binned"),
            x2="high:Q",
            y=alt.Y("n_tokens:Q", title="tokens (log-like)")
            .scale(type="symlog")
            .axis(values=[0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000], labelExpr=theme.PLAIN),
            color=alt.Color("direction:N", title=None, legend=alt.Legend(orient="top")).scale(
                domain=["fell", "rose"], range=[theme.BLUE, theme.ORANGE]
            ),
            tooltip=[
                alt.Tooltip("low:Q", title="from (nats)", format="+.2f"),
                alt.Tooltip("high:Q", title="to (nats)", format="+.2f"),
                alt.Tooltip("n_tokens:Q", title="tokens", format=","),
            ],
        )
    )
    zero = alt.Chart(pd.DataFrame({"x": [0]})).mark_rule(color=theme.GREY).encode(x="x:Q")
    brush = alt.selection_interval(name=theme.BRUSH, encodings=["x"])
    return theme.finish(
        alt.layer(bars.add_params(brush), zero), 260, "Histogram of the change in loss per token"
    )


def token_trajectories(frame: pd.DataFrame, axis: str, region: tuple[int, int]) -> alt.LayerChart:
    """Single tokens' losses: row, token_str, token_list, checkpoint, loss; the region is shaded."""
    color = (
        alt.Color("token_list:N", title=None)
        .scale(domain=["Most decreased", "Most increased", "Random"], range=LIST_COLORS)
        .legend(orient="top")
    )
    shade = (
        alt.Chart(pd.DataFrame([{"first": region[0], "last": region[1]}]))
        .mark_rect(opacity=0.12, color=theme.GREY)
        .encode(x="first:Q", x2="last:Q")
    )
    lines = (
        alt.Chart(frame)
        .mark_line(strokeWidth=1.4, opacity=0.85)
        .encode(
            x=theme.step(frame, axis),
            y=theme.loss("loss", "loss (nats)"),
            detail="row:N",
            color=color,
            tooltip=[
                alt.Tooltip("token_list:N", title="list"),
                alt.Tooltip("token_str:N", title="token"),
                alt.Tooltip("row:Q", title="row"),
                alt.Tooltip("checkpoint:Q", title="step", format=","),
                alt.Tooltip("loss:Q", title="loss (nats)", format=".3f"),
            ],
        )
    )
    points = lines.mark_point(opacity=0, size=60)
    return theme.finish(
        alt.layer(shade, lines, points), 320, "Losses of single tokens over training"
    )


def in_context(tokens: pd.DataFrame) -> pd.DataFrame:
    """A table to read: change, text with the token marked, source, position, row.

    `tokens` has change, before, token, after, source, position, row.
    """
    line = tokens["before"] + "⟦" + tokens["token"] + "⟧" + tokens["after"]
    shown = tokens.assign(text=line.str.replace(r"\s+", " ", regex=True))
    return shown[["change", "text", "source", "position", "row"]]

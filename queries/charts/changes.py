"""Single tokens: how much they changed in a region of training, and their own trajectories."""

from collections.abc import Sequence

import altair as alt
import pandas as pd

from queries.charts import theme
from queries.charts.theme import BLUE, FELL_COLOR, GREY, ORANGE, ROSE_COLOR, SYMLOG

LISTS = {"Most decreased": FELL_COLOR, "Most increased": ROSE_COLOR, "Random": GREY}
"""Lists of tokens, and their colours."""
FELL, ROSE = "fell", "rose"


def histogram(frame: pd.DataFrame) -> alt.LayerChart:
    """Tokens by change in loss (nats): low, high, n_tokens. The count axis is symlog."""
    shown = frame.assign(direction=[FELL if high <= 0 else ROSE for high in frame["high"]])
    x = alt.X("low:Q", title="change in loss (nats), last minus first").bin("binned")
    y = (
        alt.Y("n_tokens:Q", title="tokens (symlog)")
        .scale(type="symlog")
        .axis(values=theme.COUNTS, labelExpr=theme.PLAIN)
    )
    bars = alt.Chart(shown).mark_bar(binSpacing=0.5)
    bars = bars.encode(
        x=x,
        x2="high:Q",
        y=y,
        color=theme.color("direction", [FELL, ROSE], [FELL_COLOR, ROSE_COLOR]),
        tooltip=[
            alt.Tooltip("low:Q", title="from (nats)", format="+.2f"),
            alt.Tooltip("high:Q", title="to (nats)", format="+.2f"),
            alt.Tooltip("n_tokens:Q", title="tokens", format=","),
        ],
    ).add_params(alt.selection_interval(name=theme.BRUSH, encodings=["x"]))
    zero = alt.Chart(pd.DataFrame({"x": [0]})).mark_rule(color=GREY).encode(x="x:Q")
    return theme.overlay([bars, zero], 260, "Histogram of the change in loss of every token")


def histograms(frame: pd.DataFrame) -> alt.LayerChart:
    """Shares of the tokens by change in loss (nats) in several runs: run, low, high, share."""
    runs = list(dict.fromkeys(frame["run"]))
    lines = alt.Chart(frame.assign(middle=(frame["low"] + frame["high"]) / 2))
    drawn = lines.mark_line(interpolate="step", strokeWidth=1.8).encode(
        x=alt.X("middle:Q", title="change in loss (nats), last minus first"),
        y=alt.Y("share:Q", title="share of the tokens").axis(format="%"),
        color=theme.color("run", runs),
        tooltip=[
            alt.Tooltip("run:N"),
            alt.Tooltip("low:Q", title="from (nats)", format="+.2f"),
            alt.Tooltip("high:Q", title="to (nats)", format="+.2f"),
            alt.Tooltip("share:Q", title="share of the tokens", format=".2%"),
        ],
    )
    layers = [theme.rule_at(0, "x"), drawn]
    return theme.overlay(layers, 260, "Histograms of the change in loss in several runs")


def token_trajectories(
    frame: pd.DataFrame, region: tuple[int, int], axis: str = SYMLOG
) -> alt.LayerChart:
    """Losses of single tokens (nats): row, token_list, checkpoint, loss; the region is shaded.

    `token_list` is one of LISTS. With `token_str`, and `text` (the token in its context), the
    tooltip shows them: for the point that is nearest to the pointer, wherever it is.
    """
    known = {"text": "in its text", "token_str": "token"}
    tooltip = [
        *(
            alt.Tooltip(f"{column}:N", title=title)
            for column, title in known.items()
            if column in frame
        ),
        alt.Tooltip("checkpoint:Q", title="step", format=","),
        alt.Tooltip("loss:Q", title="loss (nats)", format=".3f"),
        alt.Tooltip("token_list:N", title="list"),
        alt.Tooltip("row:Q", title="row"),
    ]
    nearest = alt.selection_point(
        name=f"{theme.HOVER}_token",
        nearest=True,
        on="pointerover",
        clear="pointerout",
        fields=["row"],
        empty=False,
    )
    lines = alt.Chart(frame).encode(
        x=theme.step(frame, axis),
        y=theme.loss("loss", "loss (nats)"),
        detail="row:N",
        color=theme.color("token_list", list(LISTS), list(LISTS.values())).legend(
            orient="top", columns=2
        ),
    )
    points = lines.mark_point(opacity=0, size=60).encode(tooltip=tooltip)
    layers = [
        theme.shade(region),
        lines.mark_line(strokeWidth=1.4, opacity=0.8),
        # Over the others, as a line that is only made wider stays behind them.
        lines.mark_line(strokeWidth=4).encode(
            opacity=alt.condition(nearest, alt.value(1), alt.value(0))
        ),
        points.properties(name=f"{theme.HOVER}_points").add_params(nearest),
    ]
    return theme.overlay(layers, 320, "Losses of single tokens over training")


def one_token(frame: pd.DataFrame, steps: Sequence[int]) -> alt.LayerChart:
    """One token's losses (nats): checkpoint, loss. `steps` are marked by rules and points."""
    x, y = theme.step(frame), theme.loss("loss", "loss (nats)")
    line = alt.Chart(frame).encode(x=x, y=y)
    facts = [
        alt.Tooltip("checkpoint:Q", title="step", format=","),
        alt.Tooltip("loss:Q", title="loss (nats)", format=".3f"),
    ]
    marked = alt.Chart(frame[frame["checkpoint"].isin(steps)])
    layers = [
        marked.mark_rule(color=GREY, strokeDash=[4, 3]).encode(x=x),
        line.mark_line(strokeWidth=1.8, color=BLUE),
        marked.mark_point(filled=True, size=70, opacity=1, color=ORANGE).encode(x=x, y=y),
        line.mark_point(opacity=0, size=60).encode(tooltip=facts).properties(name="hover_points"),
    ]
    at = " and ".join(f"{step:,}" for step in steps)
    return theme.overlay(layers, 260, f"Loss of one token over training; steps {at} are marked")

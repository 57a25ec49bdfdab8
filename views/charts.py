"""Charts: pure functions from data frames to Altair charts. No SQL, no Streamlit, no state."""

import altair as alt
import pandas as pd

# Okabe and Ito's blue, vermilion and bluish green, light enough for a dark page too.
BLUE, ORANGE, GREEN, GREY = "#2A8CC7", "#E07B28", "#1FA37C", "#8A94A0"
COLORS = {"baseline": ORANGE, "comparison": BLUE}
AXIS_WIDTH = 56  # the same in all panels, so that their steps stand one above the other
BRUSH = "region"
AXES = ("log-like", "linear")
_PLAIN = "format(datum.value, ',d')"  # a symlog axis ignores `format` and writes 1e+3


def trajectories(
    frame: pd.DataFrame, axis: str, region: tuple[int, int] | None = None
) -> alt.LayerChart:
    """Mean losses with bands: checkpoint, token_group, color, mean_loss, low, high.

    `axis` is "log-like" or "linear". A horizontal brush named `region` selects checkpoints.
    """
    names = list(dict.fromkeys(frame["token_group"]))
    colors = list(dict.fromkeys(frame["color"]))
    legend = alt.Legend(
        orient="top",
        labelLimit=700,
        columns=1,
        symbolType="stroke",
        symbolStrokeWidth=3,
        symbolOpacity=1,
    )
    color = alt.Color("token_group:N", sort=names, title=None, legend=legend).scale(
        domain=names, range=colors
    )
    base = alt.Chart(frame).encode(x=_step(frame, axis), color=color)
    brush = alt.selection_interval(name=BRUSH, encodings=["x"], **_initial(region))
    band = base.mark_area(opacity=0.18).encode(y=_loss("low", "mean loss (nats)"), y2="high:Q")
    line = base.mark_line(strokeWidth=1.8).encode(y=_loss("mean_loss", "mean loss (nats)"))
    hover, rule = _hover(frame, axis, "mean_loss", "token_group")
    chart = alt.layer(band.add_params(brush), line, rule, hover)
    return _finish(chart, 340, f"Mean loss over training of {' and '.join(names)}")


def difference(frame: pd.DataFrame, axis: str) -> alt.LayerChart:
    """Comparison minus baseline with its band: checkpoint, difference, low, high."""
    base = alt.Chart(frame).encode(x=_step(frame, axis))
    title = "difference (nats)"
    band = base.mark_area(opacity=0.18, color=GREEN).encode(y=_loss("low", title), y2="high:Q")
    line = base.mark_line(strokeWidth=1.8, color=GREEN).encode(y=_loss("difference", title))
    zero = alt.Chart(pd.DataFrame({"y": [0]})).mark_rule(strokeDash=[4, 4], color=GREY)
    hover, rule = _hover(frame, axis, "difference", None)
    chart = alt.layer(band, zero.encode(y="y:Q"), line, rule, hover)
    return _finish(chart, 200, "Difference of the two mean losses over training")


def histogram(frame: pd.DataFrame) -> alt.LayerChart:
    """Tokens by change in loss: low, high, n_tokens. The count axis is log-like."""
    shown = frame.assign(direction=["fell" if h <= 0 else "rose" for h in frame["high"]])
    bars = alt.Chart(shown).mark_bar(binSpacing=0.5).encode(
        x=alt.X("low:Q", title="change in loss (nats), last minus first").bin("binned"),
        x2="high:Q",
        y=alt.Y("n_tokens:Q", title="tokens (log-like)").scale(type="symlog").axis(
            values=[0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000], labelExpr=_PLAIN
        ),
        color=alt.Color("direction:N", title=None, legend=alt.Legend(orient="top")).scale(
            domain=["fell", "rose"], range=[BLUE, ORANGE]
        ),
        tooltip=[
            alt.Tooltip("low:Q", title="from (nats)", format="+.2f"),
            alt.Tooltip("high:Q", title="to (nats)", format="+.2f"),
            alt.Tooltip("n_tokens:Q", title="tokens", format=","),
        ],
    )  # fmt: skip
    zero = alt.Chart(pd.DataFrame({"x": [0]})).mark_rule(color=GREY).encode(x="x:Q")
    return _finish(alt.layer(bars, zero), 260, "Histogram of the change in loss per token")


def token_trajectories(frame: pd.DataFrame, axis: str, region: tuple[int, int]) -> alt.LayerChart:
    """Single tokens' losses: row, token_str, token_list, checkpoint, loss; the region is shaded."""
    color = alt.Color("token_list:N", title=None).scale(
        domain=["Most decreased", "Most increased", "Random"], range=[BLUE, ORANGE, GREY]
    ).legend(orient="top")  # fmt: skip
    shade = alt.Chart(pd.DataFrame([{"first": region[0], "last": region[1]}])).mark_rect(
        opacity=0.12, color=GREY
    ).encode(x="first:Q", x2="last:Q")  # fmt: skip
    lines = alt.Chart(frame).mark_line(strokeWidth=1.4, opacity=0.85).encode(
        x=_step(frame, axis),
        y=_loss("loss", "loss (nats)"),
        detail="row:N",
        color=color,
        tooltip=[
            alt.Tooltip("token_list:N", title="list"),
            alt.Tooltip("token_str:N", title="token"),
            alt.Tooltip("row:Q", title="row"),
            alt.Tooltip("checkpoint:Q", title="step", format=","),
            alt.Tooltip("loss:Q", title="loss (nats)", format=".3f"),
        ],
    )  # fmt: skip
    points = lines.mark_point(opacity=0, size=60)
    return _finish(alt.layer(shade, lines, points), 320, "Losses of single tokens over training")


def in_context(tokens: pd.DataFrame) -> pd.DataFrame:
    """A table to read: change, text with the token marked, source, position, row.

    `tokens` has change, before, token, after, source, position, row.
    """
    line = tokens["before"] + "⟦" + tokens["token"] + "⟧" + tokens["after"]
    shown = tokens.assign(text=line.str.replace(r"\s+", " ", regex=True))
    return shown[["change", "text", "source", "position", "row"]]


def _step(frame: pd.DataFrame, axis: str) -> alt.X:
    steps = frame["checkpoint"]
    scale = alt.Scale(domain=[int(steps.min()), int(steps.max())], nice=False, zero=False)
    ticks = alt.Axis(labelExpr=_PLAIN, labelFlush=True, labelOverlap="greedy", grid=False)
    if axis == "log-like":
        scale = alt.Scale(type="symlog", constant=10, domain=scale.domain, nice=False)
        ticks.values = _log_ticks(int(steps.max()))
    return alt.X("checkpoint:Q", title=f"training step ({axis})", scale=scale, axis=ticks)


def _log_ticks(last: int) -> list[int]:
    powers = [10**n for n in range(1, len(str(max(last, 1))) + 1)]
    return [0, *(m * p for p in powers for m in (1, 2, 5) if m * p <= last)]


def _loss(column: str, title: str) -> alt.Y:
    # Two-line titles and long labels would shift one panel's steps against the other's.
    return alt.Y(f"{column}:Q", title=title, scale=alt.Scale(zero=False)).axis(
        minExtent=AXIS_WIDTH, maxExtent=AXIS_WIDTH, titlePadding=8
    )


def _hover(
    frame: pd.DataFrame, axis: str, value: str, group: str | None
) -> tuple[alt.Chart, alt.Chart]:
    """Invisible points that answer to the pointer at the nearest step, and a rule at it."""
    nearest = alt.selection_point(
        name=f"hover_{value}", nearest=True, on="pointerover", clear="pointerout",
        fields=["checkpoint"], empty=False,
    )  # fmt: skip
    x = _step(frame, axis)
    facts = [alt.Tooltip("checkpoint:Q", title="step", format=",")]
    facts += [alt.Tooltip(f"{group}:N", title="group")] if group else []
    facts += [
        alt.Tooltip(f"{column}:Q", title=f"{title} (nats)", format=".4f")
        for column, title in ((value, value.replace("_", " ")), ("low", "low"), ("high", "high"))
    ]
    points = alt.Chart(frame).mark_point(size=30, filled=True).encode(
        x=x, y=_loss(value, ""), tooltip=facts,
        opacity=alt.condition(nearest, alt.value(1), alt.value(0)),
    )  # fmt: skip
    if group:
        points = points.encode(color=alt.Color(f"{group}:N", legend=None))
    else:
        points = points.encode(color=alt.value(GREEN))
    rule = alt.Chart(frame).mark_rule(color=GREY).encode(
        x=x, opacity=alt.condition(nearest, alt.value(0.5), alt.value(0))
    )  # fmt: skip
    return points.add_params(nearest), rule


def _initial(region: tuple[int, int] | None) -> dict[str, object]:
    return {"value": {"x": list(region)}} if region else {}


def _finish(chart: alt.LayerChart, height: int, description: str) -> alt.LayerChart:
    return chart.properties(height=height, width="container", description=description)

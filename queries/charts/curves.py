"""Values over training: mean losses of groups, and their differences from a baseline.

Every frame has `checkpoint` and the values that are drawn. Optional columns: `at` (where a
checkpoint stands on the axis; default: its step), `token_group` (default: one group without a
legend), `color` and `dash` (default: the palette, in order of appearance), `low` and `high` (the
band).
"""

import re
from typing import Any

import altair as alt
import pandas as pd

from queries.charts import theme
from queries.charts.theme import SYMLOG

HEIGHT, BELOW = 420, 260
"""Pixels of the mean losses, and of a panel below them."""
FEWEST_DOCS = 6
"""Effective source documents below which no band is drawn: it would itself be uncertain."""
_LEGEND = alt.Legend(
    orient="top",
    labelLimit=420,
    symbolType="stroke",
    symbolStrokeWidth=3,
    symbolOpacity=1,
)


def trajectories(
    frame: pd.DataFrame,
    axis: str = SYMLOG,
    region: tuple[float, float] | None = None,
    bands: bool = True,
    marks: pd.DataFrame | None = None,
    runs: pd.DataFrame | None = None,
    brush: bool = False,
    value: str = "mean_loss",
    title: str = "mean loss (nats)",
) -> alt.LayerChart:
    """Mean losses (nats): checkpoint, token_group, mean_loss, low, high.

    `value` and `title` name another measure's column and axis.
    `region` is shaded; with `brush` it is the initial position of a brush that selects `at`.
    `marks` are events to point at: at, kind, sentence. `runs` are thin lines of single runs: at,
    checkpoint, token_group, run, mean_loss.
    """
    frame = styled(frame)
    single = [] if runs is None else [runs[value]]
    domain = theme.domain_of(frame[value], *single)
    frame["low"] = frame["low"].clip(lower=0)  # no measure is ever negative
    layers = _lines(frame, axis, value, title, bands, domain)
    if brush:
        layers[0] = layers[0].add_params(_brush(region))
    elif region:
        layers.insert(0, theme.shade(region))
    if runs is not None:
        layers.insert(1, _single_runs(runs, frame, axis, title, domain, value))
    if marks is not None and len(marks):
        layers.append(_marks(marks, frame, axis))
    return theme.overlay(layers, HEIGHT, _described(frame, title.partition(" (")[0].capitalize()))


def _brush(region: tuple[float, float] | None) -> alt.Parameter:
    if region is None:
        return alt.selection_interval(name=theme.BRUSH, encodings=["x"])
    start = [float(end) for end in region]
    return alt.selection_interval(name=theme.BRUSH, encodings=["x"], value={"x": start})


def relative(
    frame: pd.DataFrame,
    value: str,
    title: str,
    zero: float | None = 0,
    axis: str = SYMLOG,
    bands: bool = True,
    height: int | None = None,
    runs: pd.DataFrame | None = None,
) -> alt.LayerChart:
    """The column `value`, and a dashed line at `zero`, the value of no difference (or no line).

    `runs` are thin lines of single runs, as for `trajectories`, with the column `value`.
    """
    frame = styled(frame, title)
    reference = [] if zero is None else [pd.Series([zero])]
    single = [] if runs is None else [runs[value]]
    domain = theme.domain_of(frame[value], *reference, *single)
    layers = _lines(frame, axis, value, title, bands, domain)
    if runs is not None:
        layers.insert(1, _single_runs(runs, frame, axis, title, domain, value))
    if zero is not None:
        layers.append(theme.rule_at(zero))
    return theme.overlay(layers, height or _below(frame), _described(frame, title))


def simultaneous_difference(
    frame: pd.DataFrame, axis: str = SYMLOG, title: str = "first minus second (nats)"
) -> alt.LayerChart:
    """`difference` over its band and a paler one that covers all checkpoints at once.

    checkpoint, difference, low, high, everywhere_low, everywhere_high.
    """
    frame = styled(frame, title)
    domain = theme.domain_of(frame["difference"], pd.Series([0.0]))
    pale = alt.Chart(frame).mark_area(opacity=0.13, color=frame["color"].iloc[0], clip=True)
    band: alt.Chart = pale.encode(
        x=theme.step(frame, axis, "at"),
        y=theme.loss("everywhere_low", title, domain),
        y2="everywhere_high:Q",
    )
    lines = _lines(frame, axis, "difference", title, True, domain)
    wide = [] if frame["everywhere_low"].isna().all() else [band]
    layers = [*wide, *lines, theme.rule_at(0)]
    return theme.overlay(layers, BELOW, _described(frame, title))


def styled(frame: pd.DataFrame, title: str = "mean loss") -> pd.DataFrame:
    """`frame` with the optional columns filled in (see the module's docstring)."""
    frame = frame.copy()
    single = "token_group" not in frame
    if single:
        frame["token_group"] = title
    frame.attrs["legend"] = not single
    if "at" not in frame:
        frame["at"] = frame["checkpoint"]
    for column in ("low", "high"):
        if column not in frame:
            frame[column] = float("nan")
        elif "n_docs_effective" in frame:
            frame[column] = frame[column].where(frame["n_docs_effective"] >= FEWEST_DOCS)
    if "color" not in frame:
        places = {name: at for at, name in enumerate(_names(frame))}
        looks = [theme.look(places[name]) for name in frame["token_group"]]
        frame["color"], frame["dash"] = [c for c, _ in looks], [dash for _, dash in looks]
    return frame


def as_group(frame: pd.DataFrame, title: str, color: str, dash: list[int]) -> pd.DataFrame:
    """`frame` as one group's: with token_group, color and dash."""
    dashes = pd.Series([dash] * len(frame), index=frame.index, dtype=object)
    return frame.assign(token_group=title, color=color, dash=dashes)


def _names(frame: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(frame["token_group"]))


def _described(frame: pd.DataFrame, title: str) -> str:
    groups = f" of {', '.join(_names(frame))}" if frame.attrs["legend"] else ""
    return f"{title} over training{groups}"


def _below(frame: pd.DataFrame) -> int:
    """Room for the lines, and for a legend that grows with the groups."""
    return BELOW + 11 * (frame["token_group"].nunique() - 1)


def _lines(
    frame: pd.DataFrame, axis: str, value: str, title: str, bands: bool, domain: list[float]
) -> list[alt.Chart]:
    names = _names(frame)
    looks = frame.drop_duplicates("token_group")
    legend = _legend(names) if frame.attrs["legend"] else None
    color = theme.color("token_group", names, looks["color"].tolist(), legend=legend)
    dash = alt.StrokeDash("token_group:N", sort=names, title=None, legend=legend).scale(
        domain=names, range=looks["dash"].tolist()
    )
    drawn = frame[["at", "checkpoint", "token_group", value, "low", "high"]]
    base = alt.Chart(drawn).encode(x=theme.step(frame, axis, "at"), color=color)
    # Without bands the area stays, as the brush needs something under all of the chart.
    opacity = (0.16 if len(names) < 5 else 0.1) if bands else 0
    band = base.mark_area(opacity=opacity, clip=True).encode(
        y=theme.loss("low", title, domain), y2="high:Q"
    )
    line = base.mark_line(strokeWidth=1.8).encode(
        y=theme.loss(value, title, domain), strokeDash=dash
    )
    return [band, line, *_hover(drawn, axis, value, title, color, domain)]


def _legend(names: list[str]) -> alt.Legend:
    """One row if the names are few and short; otherwise two columns, which no page cuts off."""
    legend = _LEGEND.copy()
    legend.columns = 0 if sum(len(name) + 6 for name in names) <= 72 else 2
    return legend


def _hover(
    frame: pd.DataFrame, axis: str, value: str, title: str, color: alt.Color, domain: list[float]
) -> list[alt.Chart]:
    """At the step nearest to the pointer: a rule, a point on each line, all values in a tooltip."""
    # Other panels of a stack have their own.
    name = f"{theme.HOVER}_{re.sub(r'[^a-z]+', '_', title)}"
    nearest = alt.selection_point(
        name=name, nearest=True, on="pointerover", clear="pointerout", fields=["at"], empty=False
    )
    table, columns = _one_row_per_step(frame, value)
    facts = [alt.Tooltip("checkpoint:Q", title="step", format=",")]
    facts += [alt.Tooltip(f"{column}:N", title=group) for column, group in columns.items()]
    at = theme.step(frame, axis, "at")
    # In a stack, Altair adds every named layer to the parameter's views, so only one has a name.
    rule = alt.Chart(table, name=f"{name}_rule").mark_rule(color=theme.GREY)
    rule = rule.encode(x=at, tooltip=facts, opacity=_if(nearest, 0.5)).add_params(nearest)
    points = alt.Chart(frame).mark_point(size=30, filled=True)
    return [
        rule,
        points.encode(x=at, y=theme.loss(value, "", domain), color=color, opacity=_if(nearest, 1)),
    ]


def _if(nearest: alt.Parameter, opacity: float) -> Any:
    return alt.condition(nearest, alt.value(opacity), alt.value(0))


def _one_row_per_step(frame: pd.DataFrame, value: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """at, checkpoint, and each group's value and band as a text; and column -> group."""
    names = _names(frame)
    texts = [
        theme.minus(f"{v:.4f}" if pd.isna(low) else f"{v:.4f}  ({low:.4f} to {high:.4f})")
        for v, low, high in zip(frame[value], frame["low"], frame["high"], strict=True)
    ]
    wide = frame.assign(text=texts).pivot_table(
        index=["at", "checkpoint"], columns="token_group", values="text", aggfunc="first"
    )
    columns = {f"group_{n}": name for n, name in enumerate(names)}
    return wide[names].set_axis(list(columns), axis=1).reset_index(), columns


def _single_runs(
    runs: pd.DataFrame,
    frame: pd.DataFrame,
    axis: str,
    title: str,
    domain: list[float],
    value: str = "mean_loss",
) -> alt.Chart:
    lines = alt.Chart(runs).mark_line(strokeWidth=0.8, opacity=0.5)
    drawn: alt.Chart = lines.encode(
        x=theme.step(frame, axis, "at"),
        y=theme.loss(value, title, domain),
        color=alt.Color("token_group:N", legend=None),
        detail="run:N",
        tooltip=[
            alt.Tooltip("run:N"),
            alt.Tooltip("token_group:N", title="group"),
            alt.Tooltip("checkpoint:Q", title="step", format=","),
            alt.Tooltip(f"{value}:Q", title=title, format=".4f"),
        ],
    )
    return drawn


def _marks(marks: pd.DataFrame, frame: pd.DataFrame, axis: str) -> alt.Chart:
    points = alt.Chart(marks).mark_point(
        shape="triangle-down", filled=True, size=90, opacity=0.9, color=theme.GREY
    )
    facts = [alt.Tooltip("kind:N", title="event"), alt.Tooltip("sentence:N", title="details")]
    drawn: alt.Chart = points.encode(x=theme.step(frame, axis, "at"), y=alt.value(6), tooltip=facts)
    return drawn

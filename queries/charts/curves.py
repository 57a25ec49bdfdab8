"""Groups' mean losses over training, and what they are beside a baseline's."""

import altair as alt
import pandas as pd

from queries.charts import theme

HEIGHT, BELOW = 360, 220
_LEGEND = alt.Legend(
    orient="top",
    labelLimit=420,
    columns=2,
    symbolType="stroke",
    symbolStrokeWidth=3,
    symbolOpacity=1,
)


def trajectories(
    frame: pd.DataFrame,
    axis: str,
    region: tuple[float, float] | None = None,
    bands: bool = True,
    marks: pd.DataFrame | None = None,
    runs: pd.DataFrame | None = None,
) -> alt.LayerChart:
    """Mean losses: at, token_group, color, dash, mean_loss, low, high. A brush selects `at`.

    `marks` are events to point at: at, kind, told. `runs` are thin lines of single runs: at,
    token_group, run, mean_loss.
    """
    title = "mean loss (nats)"
    layers = _lines(frame, axis, "mean_loss", title, bands)
    brush = alt.selection_interval(name=theme.BRUSH, encodings=["x"], **_initial(region))
    layers[0] = layers[0].add_params(brush)
    if runs is not None:
        layers.insert(1, _single_runs(runs, frame, axis, title))
    if marks is not None and len(marks):
        layers.append(_marks(marks, frame, axis))
    groups = ", ".join(dict.fromkeys(frame["token_group"]))
    return theme.finish(alt.layer(*layers), HEIGHT, f"Mean loss over training of {groups}")


def relative(
    frame: pd.DataFrame, axis: str, value: str, title: str, nothing: float, bands: bool = True
) -> alt.LayerChart:
    """Groups beside the baseline: at, token_group, color, dash, `value`, low, high.

    `nothing` is the value of no difference, where a dashed line stands.
    """
    return curves(frame, axis, value, title, nothing=nothing, bands=bands)


def curves(
    frame: pd.DataFrame,
    axis: str,
    value: str,
    title: str,
    height: int | None = None,
    nothing: float | None = None,
    bands: bool = True,
) -> alt.LayerChart:
    """Any values over training: at, checkpoint, token_group, color, dash, `value`, low, high.

    Where `nothing` is given, the value of no difference, a dashed line stands.
    """
    layers = _lines(frame, axis, value, title, bands)
    if nothing is not None:
        layers.append(_rule(nothing))
    groups = ", ".join(dict.fromkeys(frame["token_group"]))
    told = f"{title} over training of {groups}"
    return theme.finish(alt.layer(*layers), height or axes_height(frame), told)


def _rule(nothing: float) -> alt.Chart:
    rule = alt.Chart(pd.DataFrame({"y": [nothing]})).mark_rule(strokeDash=[4, 4], color=theme.GREY)
    return rule.encode(y="y:Q")


def difference_everywhere(frame: pd.DataFrame, axis: str) -> alt.LayerChart:
    """`relative` of a difference, over a paler band: everywhere_low, everywhere_high."""
    title = "difference (nats)"
    band = (
        alt.Chart(frame)
        .mark_area(opacity=0.13, color=frame["color"].iloc[0])
        .encode(
            x=theme.step(frame, axis, "at"),
            y=theme.loss("everywhere_low", title),
            y2="everywhere_high:Q",
        )
    )
    layers = [band, *_lines(frame, axis, "difference", title, True), _rule(0)]
    return theme.finish(alt.layer(*layers), axes_height(frame), f"{title} over training")


def axes_height(frame: pd.DataFrame) -> int:
    """Room for the lines, and for a legend that says which is which."""
    return BELOW + 11 * (frame["token_group"].nunique() - 1)


def _lines(frame: pd.DataFrame, axis: str, value: str, title: str, bands: bool) -> list[alt.Chart]:
    names = list(dict.fromkeys(frame["token_group"]))
    looks = frame.drop_duplicates("token_group")
    color = alt.Color("token_group:N", sort=names, title=None, legend=_LEGEND).scale(
        domain=names, range=looks["color"].tolist()
    )
    dash = alt.StrokeDash("token_group:N", sort=names, title=None, legend=_LEGEND).scale(
        domain=names, range=looks["dash"].tolist()
    )
    base = alt.Chart(frame).encode(x=theme.step(frame, axis, "at"), color=color)
    band = base.mark_area(opacity=0.16 if len(names) < 5 else 0.1)
    band = band.encode(y=theme.loss("low", title), y2="high:Q")
    line = base.mark_line(strokeWidth=1.8).encode(y=theme.loss(value, title), strokeDash=dash)
    if not bands:  # the brush needs something that lies under all of it
        band = band.mark_area(opacity=0)
    return [band, line, *_hover(frame, axis, value, color)]


def _hover(frame: pd.DataFrame, axis: str, value: str, color: alt.Color) -> list[alt.Chart]:
    """At the step nearest to the pointer: a rule, a point on each line, all values in a tooltip."""
    nearest = alt.selection_point(
        name=f"hover_{value}",
        nearest=True,
        on="pointerover",
        clear="pointerout",
        fields=["at"],
        empty=False,
    )
    table, columns = _one_line_per_step(frame, value)
    facts = [alt.Tooltip("checkpoint:Q", title="step", format=",")]
    facts += [alt.Tooltip(f"{column}:N", title=name) for column, name in columns.items()]
    shown = alt.condition(nearest, alt.value(1), alt.value(0))
    rule = (
        alt.Chart(table)
        .mark_rule(color=theme.GREY)
        .encode(
            x=theme.step(frame, axis, "at"),
            tooltip=facts,
            opacity=alt.condition(nearest, alt.value(0.5), alt.value(0)),
        )
    )
    points = (
        alt.Chart(frame)
        .mark_point(size=30, filled=True)
        .encode(
            x=theme.step(frame, axis, "at"), y=theme.loss(value, ""), color=color, opacity=shown
        )
    )
    return [rule.add_params(nearest), points]


def _one_line_per_step(frame: pd.DataFrame, value: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """at, checkpoint, and of each group its value and band as a text; column -> group."""
    names = list(dict.fromkeys(frame["token_group"]))
    texts = [
        f"{v:.4f}" if pd.isna(low) else f"{v:.4f}  ({low:.4f} to {high:.4f})"
        for v, low, high in zip(frame[value], frame["low"], frame["high"], strict=True)
    ]
    wide = frame.assign(text=texts).pivot_table(
        index=["at", "checkpoint"], columns="token_group", values="text", aggfunc="first"
    )
    columns = {f"group_{n}": name for n, name in enumerate(names)}
    wide = wide[names].set_axis(list(columns), axis=1)
    return wide.reset_index(), columns


def _single_runs(runs: pd.DataFrame, frame: pd.DataFrame, axis: str, title: str) -> alt.Chart:
    return alt.Chart(runs).mark_line(strokeWidth=0.8, opacity=0.5).encode(
        x=theme.step(frame, axis, "at"), y=theme.loss("mean_loss", title),
        color=alt.Color("token_group:N", legend=None), detail="run:N",
        tooltip=[alt.Tooltip("run:N"), alt.Tooltip("token_group:N", title="group"),
                 alt.Tooltip("checkpoint:Q", title="step", format=","),
                 alt.Tooltip("mean_loss:Q", title=title, format=".4f")],
    )  # fmt: skip


def _marks(marks: pd.DataFrame, frame: pd.DataFrame, axis: str) -> alt.Chart:
    return (
        alt.Chart(marks)
        .mark_point(shape="triangle-down", filled=True, size=90, opacity=0.9, color=theme.GREY)
        .encode(
            x=theme.step(frame, axis, "at"),
            y=alt.value(6),
            tooltip=[alt.Tooltip("kind:N", title="event"), alt.Tooltip("told:N", title="what")],
        )
    )


def _initial(region: tuple[float, float] | None) -> dict[str, object]:
    return {"value": {"x": list(region)}} if region else {}

"""A quick chart of any query's answer: two of its columns, and a third one as colour."""

from typing import Any

import altair as alt
import pandas as pd

from queries.charts import theme

LINE, POINTS, BARS = "line", "points", "bars"
MARKS = (LINE, POINTS, BARS)
_IN_LEGEND = 21
"""As many as look different: seven colours with three kinds of dashes."""


def draw(frame: pd.DataFrame, x: str, y: str, by: str | None, mark: str) -> alt.Chart:
    """Columns `x` and `y`, coloured by `by`; `mark` is one of MARKS."""
    # Under names of our own, as Vega reads dots and brackets in a name as a path.
    shown = pd.DataFrame({"x": _plain(frame[x]), "y": _plain(frame[y])})
    if by is not None:
        shown["by"] = frame[by].astype(str)
    chart = alt.Chart(shown)
    marked = {
        LINE: chart.mark_line(strokeWidth=1.8, point=len(shown) < 60),
        POINTS: chart.mark_point(filled=True, size=28, opacity=0.6),
        BARS: chart.mark_bar(),
    }[mark]
    encoded: alt.Chart = marked.encode(
        x=_x(shown, x, mark),
        y=_y(shown, y, mark),
        tooltip=_tooltip(shown, x, y, by),
        **_looks(shown, by, mark),
    )
    return theme.finish(encoded, 340, f"{y} by {x}{f' for each {by}' if by else ''}")


def _looks(shown: pd.DataFrame, by: str | None, mark: str) -> dict[str, Any]:
    """Colours, and dashes for lines, which distinguish more groups than colours do."""
    if by is None:
        return {"color": alt.value(theme.BLUE)}
    names = shown["by"].unique().tolist()
    looks = [theme.look(at) for at in range(len(names))]
    legend = None
    if len(names) <= _IN_LEGEND:
        legend = alt.Legend(orient="top", columns=4, labelLimit=200, symbolLimit=_IN_LEGEND)
    scale = alt.Scale(domain=names, range=[color for color, _ in looks])
    found: dict[str, Any] = {"color": alt.Color("by:N", title=by, scale=scale, legend=legend)}
    if mark == LINE:
        scale = alt.Scale(domain=names, range=[dash for _, dash in looks])
        found["strokeDash"] = alt.StrokeDash("by:N", title=by, scale=scale, legend=legend)
    return found


def _x(shown: pd.DataFrame, name: str, mark: str) -> alt.X:
    if name == "checkpoint" and mark != BARS and shown["x"].notna().any():
        return theme.step(shown.dropna(subset="x"), column="x")
    if mark == BARS or not pd.api.types.is_numeric_dtype(shown["x"]):
        return alt.X("x:N", title=name, sort=None, axis=alt.Axis(labelLimit=160))
    return alt.X("x:Q", title=name, scale=alt.Scale(zero=False, nice=False))


def _y(shown: pd.DataFrame, name: str, mark: str) -> alt.Y:
    if not pd.api.types.is_numeric_dtype(shown["y"]):
        return alt.Y("y:N", title=name, sort=None)
    return alt.Y("y:Q", title=name, scale=alt.Scale(zero=mark == BARS))


def _tooltip(shown: pd.DataFrame, x: str, y: str, by: str | None) -> list[alt.Tooltip]:
    names = {"x": x, "y": y} | ({"by": by} if by else {})
    return [
        alt.Tooltip(f"{column}:{_kind(shown[column])}", title=name)
        for column, name in names.items()
    ]


def _kind(values: pd.Series) -> str:
    return "Q" if pd.api.types.is_numeric_dtype(values) else "N"


def _plain(values: pd.Series) -> pd.Series:
    """Numbers as they are; everything else, booleans included, as text."""
    is_number = pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)
    return values if is_number else values.astype(str)

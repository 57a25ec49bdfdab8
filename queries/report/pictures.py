"""Vega-Lite of the report's figures, from their frames; drawn by `queries.charts.vega.render`."""

import json
from typing import Any

import pandas as pd

from queries.charts.vega import PALETTE, WIDTH

BLUE, ORANGE, GREEN, *_ = PALETTE
GREY = "#7A828B"
LISTS = ("Most decreased", "Most increased", "Random")
_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_PLAIN = "format(datum.value, ',d')"  # a symlog axis ignores `format` and writes 1e+3
_COUNTS = [0, 1, 10, 100, 1_000, 10_000, 100_000, 1_000_000]
_CONFIG = {
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "gridColor": "#88929C",
        "gridOpacity": 0.25,
        "domainColor": "#88929C",
        "tickColor": "#88929C",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
    },
    "axisY": {"minExtent": 46, "maxExtent": 46},
    "legend": {"labelFontSize": 12, "symbolOpacity": 1, "labelLimit": 400, "symbolStrokeWidth": 3},
}


def means(frame: pd.DataFrame) -> dict[str, Any]:
    """checkpoint, token_group, mean_loss, low, high; the first group is blue."""
    names = list(dict.fromkeys(frame["token_group"]))
    color = _color("token_group", names, [ORANGE, BLUE] if len(names) > 1 else [BLUE])
    x = _step(frame)
    return _picture(
        frame,
        280,
        [_area(x, "low", "high", 0.2, color), _line(x, "mean_loss", "mean loss (nats)", color)],
    )


def difference(frame: pd.DataFrame) -> dict[str, Any]:
    """checkpoint, difference, low, high, everywhere_low, everywhere_high."""
    x, plain = _step(frame), {"color": {"value": BLUE}}
    zero = {
        "mark": {"type": "rule", "strokeDash": [4, 4], "color": GREY},
        "encoding": {"y": {"datum": 0}},
    }
    layers = [
        _area(x, "everywhere_low", "everywhere_high", 0.13, plain),
        _area(x, "low", "high", 0.25, plain),
        zero,
        _line(x, "difference", "first minus second (nats)", plain),
    ]
    return _picture(frame, 200, layers)


def whole(frame: pd.DataFrame, region: tuple[int, int] | None) -> dict[str, Any]:
    """The mean loss of all tokens; the region that is zoomed into is shaded."""
    spec = means(frame)
    if region:
        spec["layer"].insert(0, _shade(_step(frame), region))
    return spec


def histogram(frame: pd.DataFrame) -> dict[str, Any]:
    """low, high, n_tokens."""
    shown = frame.assign(direction=["fell" if h <= 0 else "rose" for h in frame["high"]])
    bars = {
        "mark": {"type": "bar", "binSpacing": 0.5},
        "encoding": {
            "x": {"field": "low", "type": "quantitative", "bin": {"binned": True},
                  "title": "change in loss (nats), last minus first"},
            "x2": {"field": "high"},
            "y": {"field": "n_tokens", "type": "quantitative", "title": "tokens (log-like axis)",
                  "scale": {"type": "symlog"}, "axis": {"values": _COUNTS, "labelExpr": _PLAIN}},
            **_color("direction", ["fell", "rose"], [BLUE, ORANGE]),
        },
    }  # fmt: skip
    return _picture(shown, 240, [bars])


def tokens(frame: pd.DataFrame, region: tuple[int, int]) -> dict[str, Any]:
    """Single tokens' losses: row, token_list, checkpoint, loss; the region is shaded."""
    x = _step(frame, linear=True)
    color = _color("token_list", list(LISTS), [BLUE, ORANGE, GREY])
    line = _line(x, "loss", "loss (nats)", {**color, "detail": {"field": "row"}})
    line["mark"]["strokeWidth"] = 1.3
    return _picture(frame, 280, [_shade(x, region), line])


def _picture(frame: pd.DataFrame, height: int, layers: list[dict[str, Any]]) -> dict[str, Any]:
    values = json.loads(frame.to_json(orient="records", double_precision=6))
    return {
        "$schema": _SCHEMA,
        "width": WIDTH + 100,
        "height": height,
        "config": _CONFIG,
        "data": {"values": values},
        "layer": layers,
    }


def _area(x: Any, low: str, high: str, opacity: float, color: Any) -> dict[str, Any]:
    encoding = {"x": x, "y": {"field": low, "type": "quantitative"}, "y2": {"field": high}}
    return {"mark": {"type": "area", "opacity": opacity}, "encoding": {**encoding, **color}}


def _line(x: Any, value: str, title: str, color: Any) -> dict[str, Any]:
    y = {"field": value, "type": "quantitative", "title": title, "scale": {"zero": False}}
    mark = {"type": "line", "strokeWidth": 1.8}
    return {"mark": mark, "encoding": {"x": x, "y": y, **color}}


def _shade(x: dict[str, Any], region: tuple[int, int]) -> dict[str, Any]:
    ends = {"values": [{"first": region[0], "last": region[1]}]}
    encoding = {"x": {**x, "field": "first"}, "x2": {"field": "last"}}
    mark = {"type": "rect", "opacity": 0.15, "color": GREY}
    return {"data": ends, "mark": mark, "encoding": encoding}


def _color(field: str, names: list[str], colors: list[str]) -> dict[str, Any]:
    legend = {"orient": "top", "title": None} if len(names) > 1 else None
    scale = {"domain": names, "range": colors}
    return {"color": {"field": field, "type": "nominal", "scale": scale, "legend": legend}}


def _step(frame: pd.DataFrame, linear: bool = False) -> dict[str, Any]:
    first, last = int(frame["checkpoint"].min()), int(frame["checkpoint"].max())
    scale: dict[str, Any] = {"domain": [first, last], "nice": False, "zero": False}
    axis: dict[str, Any] = {
        "labelExpr": _PLAIN,
        "labelFlush": True,
        "labelOverlap": "greedy",
        "grid": False,
    }
    if not linear:
        scale |= {"type": "symlog", "constant": 10}
        axis["values"] = [v for v in _log_ticks(last) if v >= first]
    title = f"training step ({'linear' if linear else 'log-like axis'})"
    return {
        "field": "checkpoint",
        "type": "quantitative",
        "title": title,
        "scale": scale,
        "axis": axis,
    }


def _log_ticks(last: int) -> list[int]:
    powers = [10**n for n in range(1, len(str(max(last, 1))) + 1)]
    return [0, *(m * p for p in powers for m in (1, 2, 5) if m * p <= last)]

"""Pictures for the command line: Vega-Lite as JSON, rendered by vl-convert without a browser."""

import json
from typing import Any

import pandas as pd

from queries.runs import Comparison

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]  # Okabe and Ito
WIDTH = 640
_SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
_STEP = {"field": "checkpoint", "type": "quantitative", "title": "training step",
         "scale": {"type": "symlog", "constant": 10}}  # fmt: skip
_TOKENS_SEEN = {"field": "at", "type": "quantitative", "title": "tokens seen",
                "scale": {"type": "symlog", "constant": 1e6}}  # fmt: skip


def trajectories_spec(frame: pd.DataFrame, difference: pd.DataFrame | None) -> dict[str, Any]:
    """Vega-Lite of `Store.trajectories`, above `Store.difference` where there is one."""
    color = _color("token_group", "token group")
    panels = [_panel(frame, "mean_loss", "mean loss (nats)", 300, color)]
    if difference is not None:
        panels.append(_with_rule(difference, "difference", "first minus second (nats)", 0))
    return {"$schema": _SCHEMA, "vconcat": panels}


def relative_spec(frame: pd.DataFrame, value: str, title: str, nothing: float) -> dict[str, Any]:
    """Vega-Lite of `Store.difference`, `ratio` or `change_since`: the column `value`.

    `nothing` is the value at which there is no difference: a dashed line.
    """
    return {"$schema": _SCHEMA, **_with_rule(frame, value, title, nothing)}


def comparison_spec(comparison: Comparison, by: str) -> dict[str, Any]:
    """Vega-Lite of `queries.compare`: the runs, and below them their mean, lowest and highest."""
    x = _TOKENS_SEEN if by == "tokens_seen" else {**_STEP, "field": "at"}
    color = _color("run", "run")
    runs = _panel(comparison.runs, "mean_loss", "mean loss (nats)", 300, color, x)
    spread = comparison.spread.rename(columns={"lowest": "low", "highest": "high"})
    below = _panel(spread, "mean_loss", "mean of runs, lowest to highest (nats)", 200, {}, x)
    return {"$schema": _SCHEMA, "vconcat": [runs, below]}


def mechanism_spec(curves: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite of `Mechanism.curves`: losses on repeats, highest scores, and the group below."""
    kinds = {
        "loss on random repeats (nats)": curves["curve"].str.startswith("loss_"),
        "highest prefix-matching score": curves["curve"].str.startswith("prefix_matching"),
        "the group's loss (nats)": curves["curve"] == "group",
    }
    panels = [
        _panel(curves[chosen], "value", title, 180, _color("curve", "curve"))
        for title, chosen in kinds.items()
        if chosen.any()
    ]
    resolve = {"scale": {"color": "independent", "x": "shared"}}
    return {"$schema": _SCHEMA, "vconcat": panels, "resolve": resolve}


def zoom_spec(histogram: pd.DataFrame, first: int, last: int) -> dict[str, Any]:
    """Vega-Lite of `Zoom.histogram`."""
    return {
        "$schema": _SCHEMA,
        "width": WIDTH,
        "height": 300,
        "title": f"Change in loss from step {first:,} to {last:,}",
        "data": {"values": _records(histogram)},
        "mark": {"type": "bar", "color": PALETTE[0]},
        "encoding": {
            "x": {"field": "low", "type": "quantitative", "bin": {"binned": True},
                  "title": "change in loss (nats)"},
            "x2": {"field": "high"},
            "y": {"field": "n_tokens", "type": "quantitative", "scale": {"type": "symlog"},
                  "title": "tokens (log-like axis)"},
        },
    }  # fmt: skip


def render(spec: dict[str, Any], kind: str) -> bytes:
    """The picture as svg, png or (self-contained) html."""
    import vl_convert

    text = json.dumps(spec)
    if kind == "png":
        return vl_convert.vegalite_to_png(text, scale=2)
    if kind == "html":
        return vl_convert.vegalite_to_html(text, bundle=True).encode()
    return vl_convert.vegalite_to_svg(text).encode()


def _color(field: str, title: str) -> dict[str, Any]:
    return {
        "color": {
            "field": field,
            "type": "nominal",
            "title": title,
            "sort": None,
            "scale": {"range": PALETTE},
            "legend": {"orient": "top", "labelLimit": 500},
        }
    }


def _with_rule(frame: pd.DataFrame, value: str, title: str, nothing: float) -> dict[str, Any]:
    panel = _panel(frame, value, title, 160, {})
    rule = {"mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": {"y": {"datum": nothing}}}
    panel["layer"].append(rule)
    return panel


def _panel(
    frame: pd.DataFrame,
    value: str,
    title: str,
    height: int,
    color: dict[str, Any],
    x: dict[str, Any] = _STEP,
) -> dict[str, Any]:
    y = {"type": "quantitative", "title": title, "scale": {"zero": False}}
    band = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, **color}
    line = {"x": x, "y": {**y, "field": value}, **color}
    plain = {} if color else {"color": PALETTE[0]}
    return {
        "width": WIDTH,
        "height": height,
        "data": {"values": _records(frame)},
        "layer": [
            {"mark": {"type": "area", "opacity": 0.2, **plain}, "encoding": band},
            {"mark": {"type": "line", **plain}, "encoding": line},
        ],
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    values: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return values

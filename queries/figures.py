"""Pictures for the command line: Vega-Lite as JSON, rendered by vl-convert without a browser."""

import json
from typing import Any

import pandas as pd

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]  # Okabe and Ito
WIDTH = 640


def trajectories_spec(frame: pd.DataFrame, difference: pd.DataFrame | None) -> dict[str, Any]:
    """Vega-Lite of `Store.trajectories`, above `Store.difference` where there is one."""
    color = {
        "field": "token_group",
        "type": "nominal",
        "title": "token group",
        "sort": None,
        "scale": {"range": PALETTE},
        "legend": {"orient": "top", "labelLimit": 500},
    }
    panels = [_panel(frame, "mean_loss", "mean loss (nats)", 300, {"color": color})]
    if difference is not None:
        panel = _panel(difference, "difference", "first minus second (nats)", 160, {})
        panel["layer"].append(
            {"mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": {"y": {"datum": 0}}}
        )
        panels.append(panel)
    return {"$schema": "https://vega.github.io/schema/vega-lite/v6.json", "vconcat": panels}


def zoom_spec(histogram: pd.DataFrame, first: int, last: int) -> dict[str, Any]:
    """Vega-Lite of `Zoom.histogram`."""
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
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


def _panel(
    frame: pd.DataFrame, value: str, title: str, height: int, color: dict[str, Any]
) -> dict[str, Any]:
    x = {"field": "checkpoint", "type": "quantitative", "title": "training step",
         "scale": {"type": "symlog", "constant": 10}}  # fmt: skip
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

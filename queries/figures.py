"""Pictures for the command line: Vega-Lite as JSON, rendered by vl-convert without a browser."""

import json
from typing import Any

import pandas as pd

from queries.runs import Comparison

PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"]  # Okabe and Ito
WIDTH = 640
SCHEMA = "https://vega.github.io/schema/vega-lite/v6.json"
STEP = {"field": "checkpoint", "type": "quantitative", "title": "training step",
         "scale": {"type": "symlog", "constant": 10}}  # fmt: skip
_TOKENS_SEEN = {"field": "at", "type": "quantitative", "title": "tokens seen",
                "scale": {"type": "symlog", "constant": 1e6}}  # fmt: skip


def trajectories_spec(frame: pd.DataFrame, difference: pd.DataFrame | None) -> dict[str, Any]:
    """Vega-Lite of `Store.trajectories`, above `Store.difference` where there is one."""
    color = color_of("token_group", "token group")
    panels = [panel(frame, "mean_loss", "mean loss (nats)", 300, color)]
    if difference is not None:
        panels.append(with_rule(difference, "difference", "first minus second (nats)", 0))
    return {"$schema": SCHEMA, "vconcat": panels}


def relative_spec(frame: pd.DataFrame, value: str, title: str, nothing: float) -> dict[str, Any]:
    """Vega-Lite of `Store.difference`, `ratio` or `change_since`: the column `value`.

    `nothing` is the value at which there is no difference: a dashed line.
    """
    return {"$schema": SCHEMA, **with_rule(frame, value, title, nothing)}


def comparison_spec(comparison: Comparison, by: str) -> dict[str, Any]:
    """Vega-Lite of `queries.compare`: the runs, and below them their mean, lowest and highest."""
    x = _TOKENS_SEEN if by == "tokens_seen" else {**STEP, "field": "at"}
    color = color_of("run", "run")
    runs = panel(comparison.runs, "mean_loss", "mean loss (nats)", 300, color, x)
    spread = comparison.spread.rename(columns={"lowest": "low", "highest": "high"})
    below = panel(spread, "mean_loss", "mean of runs, lowest to highest (nats)", 200, {}, x)
    return {"$schema": SCHEMA, "vconcat": [runs, below]}


def mechanism_spec(curves: pd.DataFrame) -> dict[str, Any]:
    """Vega-Lite of `Mechanism.curves`: losses on repeats, highest scores, and the group below."""
    kinds = {
        "loss on random repeats (nats)": curves["curve"].str.startswith("loss_"),
        "highest prefix-matching score": curves["curve"].str.startswith("prefix_matching"),
        "the group's loss, less the baseline's if any (nats)": curves["curve"] == "group",
    }
    panels = [
        panel(curves[chosen], "value", title, 180, color_of("curve", "curve"))
        for title, chosen in kinds.items()
        if chosen.any()
    ]
    resolve = {"scale": {"color": "independent", "x": "shared"}}
    return {"$schema": SCHEMA, "vconcat": panels, "resolve": resolve}


def zoom_spec(histogram: pd.DataFrame, first: int, last: int) -> dict[str, Any]:
    """Vega-Lite of `Zoom.histogram`."""
    return {
        "$schema": SCHEMA,
        "width": WIDTH,
        "height": 300,
        "title": f"Change in loss from step {first:,} to {last:,}",
        "data": {"values": records(histogram)},
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


def color_of(field: str, title: str) -> dict[str, Any]:
    """The encoding of what tells lines apart."""
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


def with_rule(frame: pd.DataFrame, value: str, title: str, nothing: float) -> dict[str, Any]:
    """A `panel` with a dashed line at `nothing`, the value of no difference."""
    shown = panel(frame, value, title, 160, {})
    rule = {"mark": {"type": "rule", "strokeDash": [4, 4]}, "encoding": {"y": {"datum": nothing}}}
    shown["layer"].append(rule)
    return shown


def panel(
    frame: pd.DataFrame,
    value: str,
    title: str,
    height: int,
    color: dict[str, Any],
    x: dict[str, Any] = STEP,
) -> dict[str, Any]:
    """The column `value` of a frame as a line, with the band from low to high."""
    y = {"type": "quantitative", "title": title, "scale": {"zero": False}}
    band = {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, **color}
    line = {"x": x, "y": {**y, "field": value}, **color}
    plain = {} if color else {"color": PALETTE[0]}
    return {
        "width": WIDTH,
        "height": height,
        "data": {"values": records(frame)},
        "layer": [
            {"mark": {"type": "area", "opacity": 0.2, **plain}, "encoding": band},
            {"mark": {"type": "line", **plain}, "encoding": line},
        ],
    }


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The lines of a frame as Vega-Lite takes them."""
    values: list[dict[str, Any]] = json.loads(frame.to_json(orient="records", double_precision=15))
    return values

"""Charts as files, without a browser and without a network: svg, png, html."""

import json
import threading
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from queries.charts import theme

_ALTAIR = threading.Lock()
AROUND = 64
"""Pixels of the steps' axis and the space above it."""
FORMATS = ("svg", "png", "html")


def render(chart: theme.Drawing, format: str) -> bytes:
    """The chart as one of FORMATS; html contains all that it needs. Raises ValueError."""
    if format not in FORMATS:
        raise ValueError(f"unknown format {format!r}: expected one of {', '.join(FORMATS)}")
    if format == "html":
        spec = json.dumps(specification(chart))
        return vl_convert.vegalite_to_html(spec, bundle=True).encode()
    spec = json.dumps(_still(specification(chart)))
    if format == "png":
        return bytes(vl_convert.vegalite_to_png(spec, scale=2))
    return vl_convert.vegalite_to_svg(spec).encode()


def inline_svg(chart: theme.Drawing) -> str:
    """The chart as SVG for a web page, whose colours and fonts it takes over.

    Its background is transparent. Each legend has one column: the page's font may be wider than the
    one that the columns were measured with.
    """
    spec = on_page(_still(specification(chart)))
    _stack_legends(spec)
    return vl_convert.vegalite_to_svg(json.dumps(spec))


def on_page(spec: dict[str, Any]) -> dict[str, Any]:
    """The specification with a transparent background."""
    return {**spec, "config": {**spec["config"], "background": "transparent"}}


def _stack_legends(part: Any) -> None:
    """Give every legend of a specification one column."""
    if isinstance(part, dict):
        legend = part.get("legend")
        if isinstance(legend, dict) and legend.get("orient") == "top":
            legend["columns"] = 1
        for name, value in part.items():
            if name != "datasets":
                _stack_legends(value)
    elif isinstance(part, list):
        for value in part:
            _stack_legends(value)


def specification(chart: theme.Drawing, width: int = theme.WIDTH) -> dict[str, Any]:
    """The chart in Vega-Lite, `width` pixels wide, in the theme of files."""
    spec = _specification(chart)
    for panel in spec.get("vconcat", [spec]):
        panel["width"] = width
    spec["config"] = theme.CONFIG
    return spec


def in_page(chart: theme.Drawing, legend: bool = True) -> dict[str, Any]:
    """The chart in Vega-Lite for a page that sets the theme and the width.

    `datasets` has frames under names that are the same for every chart of a kind, so that the
    specification changes only if the chart does, and not with its data.
    """
    spec, frames = _with_frames(chart)
    spec["datasets"] = frames
    if not legend:
        for layer in spec.get("layer", [spec]):
            for channel in ("color", "strokeDash"):
                if channel in layer.get("encoding", {}):
                    layer["encoding"][channel]["legend"] = None
    spec.pop("config", None)
    return spec


def panels(chart: alt.VConcatChart) -> list[dict[str, Any]]:
    """The panels of a stack as charts of their own, each as wide as its container.

    Vega-Lite can only fit single charts into a container. It fits axes and legend into the height,
    too, which a stack has outside it.
    """
    spec = _specification(chart)
    found = []
    for panel in spec["vconcat"]:
        text = json.dumps(panel)
        params = [p for p in spec.get("params", []) if any(f'"{v}"' in text for v in p["views"])]
        datasets = {name: rows for name, rows in spec["datasets"].items() if f'"{name}"' in text}
        size = {"width": "container", "height": panel["height"] + AROUND}
        found.append({**panel, **size, "params": params, "datasets": datasets})
    return found


def _with_frames(chart: theme.Drawing) -> tuple[dict[str, Any], dict[str, pd.DataFrame]]:
    """The specification, with names in place of its frames, and these frames."""
    frames: dict[str, pd.DataFrame] = {}

    def named(data: Any = None, **_: Any) -> Any:
        if not isinstance(data, pd.DataFrame):
            return data
        name = next((name for name, frame in frames.items() if frame is data), "")
        name = name or f"frame_{len(frames)}"  # Vega-Lite has its own data_0
        frames[name] = data
        return {"name": name}

    with _ALTAIR:  # its settings are those of all threads
        alt.data_transformers.register("named", named)
        with alt.data_transformers.enable("named"), alt.theme.enable("none"):
            return chart.to_dict(validate=False), frames


def _specification(chart: theme.Drawing) -> dict[str, Any]:
    with alt.data_transformers.enable("default", max_rows=None):
        spec: dict[str, Any] = chart.to_dict()
    return spec


def _still(spec: dict[str, Any]) -> dict[str, Any]:
    """Without the layers that react to a pointer, which would be invisible marks in a picture."""
    for panel in spec.get("vconcat", [spec]):
        if "layer" in panel:
            panel["layer"] = [layer for layer in panel["layer"] if not _hovers(layer)]
    spec["params"] = [param for param in spec.get("params", []) if not _hovers(param)]
    return spec


def _hovers(part: dict[str, Any]) -> bool:
    """Whether a layer or parameter is named for the pointer, or is only shown near it."""
    condition = part.get("encoding", {}).get("opacity", {}).get("condition", {})
    names = part.get("name", ""), condition.get("param", "")
    return any(str(name).startswith(theme.HOVER) for name in names)

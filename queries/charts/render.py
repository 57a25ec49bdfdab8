"""Charts as files, without a browser and without a network: svg, png, html."""

import json
from typing import Any

import altair as alt
import vl_convert

from queries.charts import theme

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


def specification(chart: theme.Drawing, width: int = theme.WIDTH) -> dict[str, Any]:
    """The chart in Vega-Lite, `width` pixels wide, in the theme of files."""
    spec = _specification(chart)
    for panel in spec.get("vconcat", [spec]):
        panel["width"] = width
    spec["config"] = theme.CONFIG
    return spec


def panels(chart: alt.VConcatChart) -> list[dict[str, Any]]:
    """The panels of a stack as charts of their own, each as wide as its container.

    Vega-Lite can only fit single charts into a container.
    """
    spec = _specification(chart)
    found = []
    for panel in spec["vconcat"]:
        text = json.dumps(panel)
        params = [p for p in spec.get("params", []) if any(f'"{v}"' in text for v in p["views"])]
        datasets = {name: rows for name, rows in spec["datasets"].items() if f'"{name}"' in text}
        found.append({**panel, "width": "container", "params": params, "datasets": datasets})
    return found


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

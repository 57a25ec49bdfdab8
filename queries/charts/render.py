"""Charts as files, without a browser and without a network: svg, png, html."""

import json
from typing import Any

import altair as alt
import vl_convert

from queries.charts import theme
from queries.charts.curves import HOVER

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
    with alt.data_transformers.enable("default", max_rows=None):
        spec: dict[str, Any] = chart.to_dict()
    for panel in spec.get("vconcat", [spec]):
        panel["width"] = width
    spec["config"] = theme.CONFIG
    return spec


def _still(spec: dict[str, Any]) -> dict[str, Any]:
    """Without the layers that react to a pointer, which would be invisible marks in a picture."""
    for panel in spec.get("vconcat", [spec]):
        if "layer" in panel:
            panel["layer"] = [layer for layer in panel["layer"] if not _hovers(layer)]
    spec["params"] = [param for param in spec.get("params", []) if not _hovers(param)]
    return spec


def _hovers(part: dict[str, Any]) -> bool:
    return str(part.get("name", "")).startswith(HOVER)

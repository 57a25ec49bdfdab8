"""A figure: a chart, its data, its files, and the SQL or Python that gives the same numbers."""

import io
import re
from collections.abc import Callable, Hashable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import altair as alt
import pandas as pd
import streamlit as st
from altair.utils.schemapi import disable_debug_mode
from streamlit.dataframe_util import convert_anything_to_arrow_bytes

from queries.analyses.base import Language, WithScript
from queries.charts.render import in_page, panels, render, specification
from queries.charts.theme import BRUSH, Drawing
from queries.report.numbers import count
from views.widgets import links

# Altair checks each chart against a schema, which takes longer than everything else on a page.
# The browser draws every chart in the tests.
disable_debug_mode()
FIGURES = "figures"
"""The session key under which a run of the script collects its figures, to save the page."""
LONG = 9
"""Lines of a script that are shown without scrolling."""
REMEMBERED = 64
"""Specifications of charts, with their data."""
_SPECS: dict[Hashable, dict[str, Any]] = {}
_BEHIND = {
    "sql": "The SQL behind it, for `duckdb -readonly STORE/catalog.duckdb`",
    "python": "The Python behind it",
}


@dataclass(frozen=True)
class Figure:
    """A chart of `frame`. `script` gives the same numbers, in the language `language`."""

    title: str
    make: Drawing | Callable[[], Drawing]
    """The chart, or what makes it where the page's specification is remembered (`show`)."""
    frame: pd.DataFrame
    script: str = ""
    caption: str = ""
    language: Language = "sql"

    @cached_property
    def chart(self) -> Drawing:
        """The chart."""
        return self.make() if callable(self.make) else self.make

    @property
    def stem(self) -> str:
        """A file name without its ending."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")[:60] or "figure"

    def csv(self) -> bytes:
        """`frame` as CSV."""
        return self.frame.to_csv(index=False).encode()

    def parquet(self) -> bytes:
        """`frame` as Parquet."""
        buffer = io.BytesIO()
        self.frame.to_parquet(buffer, index=False)
        return buffer.getvalue()

    def specification(self) -> dict[str, Any]:
        """The chart in Vega-Lite, at the width of a file."""
        return specification(self.chart)


def script_of(result: WithScript, table: str = "frame") -> str:
    """The script behind a table of an analysis; a Python script ends with that table."""
    return result.script().replace("result.frame", f"result.{table}")


def reset() -> None:
    """Begin a run of the script: nothing is drawn yet."""
    st.session_state[FIGURES] = {}


def drawn() -> dict[str, Figure]:
    """The figures of this run by key, in order. A fragment that runs later adds to it."""
    figures: dict[str, Figure] = st.session_state.setdefault(FIGURES, {})
    return figures


def show(
    figure: Figure,
    key: str,
    brush: str | None = None,
    legend: bool = True,
    same: Hashable = None,
    narrow: bool = False,
) -> list[float] | None:
    """Draw the chart, its caption and its downloads.

    `brush` names a field that the chart's brush selects; returns the ends of what is brushed.
    Without `legend` the page has its own, such as the rail; files keep the chart's. A chart that
    has been drawn with an equal `same` is not made again. In a `narrow` column the downloads stand
    below the caption.
    """
    # By key, as a fragment draws its figures again without the rest of the page.
    drawn()[key] = figure
    brushed = _draw(figure, key, brush, legend, same)
    wide = [3, 1.2] if not narrow else [1]
    caption, *rest = st.columns(wide, vertical_alignment="top")
    downloads = rest[0] if rest else caption
    caption.caption(figure.caption or " ")
    with (
        downloads.container(horizontal=True, horizontal_alignment="right"),
        st.popover("Data, picture, SQL", icon=":material/download:", type="tertiary"),
    ):
        links.copy_button(key)
        _downloads(figure, key)
        _script(figure)
    return brushed


def _draw(
    figure: Figure, key: str, brush: str | None, legend: bool, same: Hashable
) -> list[float] | None:
    spec = _SPECS.get((key, same)) if same is not None else None
    if spec is None:
        if isinstance(figure.chart, alt.VConcatChart):
            for at, panel in enumerate(panels(figure.chart)):
                st.vega_lite_chart(panel, key=f"{key}_chart_{at}")
            return None
        spec = in_page(figure.chart, legend)
        spec["datasets"] = {
            name: convert_anything_to_arrow_bytes(frame) for name, frame in spec["datasets"].items()
        }
        if same is not None:
            _SPECS[key, same] = spec
            while len(_SPECS) > REMEMBERED:
                _SPECS.pop(next(iter(_SPECS)), None)
    spec = deepcopy(spec)  # Streamlit takes the data out of it
    if brush is None:
        st.vega_lite_chart(spec, key=f"{key}_chart")
        return None
    event = st.vega_lite_chart(spec, key=f"{key}_chart", on_select="rerun", selection_mode=BRUSH)
    ends: list[float] | None = event["selection"].get(BRUSH, {}).get(brush)
    return sorted(ends) if ends else None


def _downloads(figure: Figure, key: str) -> None:
    files: tuple[tuple[str, str, Callable[[], bytes]], ...] = (
        ("CSV", "csv", figure.csv),
        ("Parquet", "parquet", figure.parquet),
        ("PNG", "png", lambda: render(figure.chart, "png")),
        ("SVG", "svg", lambda: render(figure.chart, "svg")),
        ("Vega-Lite", "vl.json", lambda: figure.chart.to_json().encode()),
    )
    st.caption(f"{count(len(figure.frame), 'row')} of data")
    with st.container(horizontal=True):
        for label, ending, make in files:
            st.download_button(
                label, make, f"{figure.stem}.{ending}", key=f"{key}_{ending}", on_click="ignore"
            )


def _script(figure: Figure) -> None:
    if not figure.script:
        return
    st.caption(_BEHIND[figure.language])
    if figure.language == "python":
        st.code(figure.script, language="python", wrap_lines=True)
    else:
        long = figure.script.count("\n") > LONG
        st.code(figure.script, language="sql", height=220 if long else "content")


def address() -> str:
    """The page's address with its state."""
    # As the browser shows it: default values of widgets are left out there, too.
    query = urlencode({name: st.query_params.get_all(name) for name in st.query_params}, doseq=True)
    return f"{st.context.url or ''}{'?' if query else ''}{query}"

"""A chart with what belongs to it: its data, its picture, its specification, the SQL behind it."""

import io
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import altair as alt
import pandas as pd
import streamlit as st
from altair.utils.schemapi import disable_debug_mode

from queries import Store
from queries.charts import vega

# The Python behind a chart: a call of `queries` that gives its data, for a notebook.


def called(store: Store, function: str, *arguments: Any, part: str = "", **named: Any) -> str:
    """A script whose last line is the call, and of its answer the attribute `part`, if any."""
    values = [repr(value) for value in arguments]
    values += [f"{name}={value!r}" for name, value in named.items()]
    asked = f"{function}({', '.join(['store', *values])})"
    return (
        f"from queries import Store, {function}\n\n"
        f"store = Store({store.url or str(store.path)!r})\n"
        f"{asked}{f'.{part}' if part else ''}"
    )


# Altair checks each chart against a schema, which takes longer than all else that a page does;
# the browser draws every one of them in the tests.
disable_debug_mode()
PICTURE_WIDTH = 800
FIGURES = "figures"
"""Where a run of the script keeps what it has drawn, for the page to be saved."""


@dataclass(frozen=True)
class Figure:
    """A chart of `frame`; `caption` says what is seen.

    `script` is SQL for the same numbers, or `call` is Python where SQL has no such question.
    """

    title: str
    chart: alt.TopLevelMixin
    frame: pd.DataFrame
    script: str | None = None
    caption: str = ""
    call: str | None = None

    @property
    def stem(self) -> str:
        """A file name without its ending."""
        return re.sub(r"\W+", "-", self.title.lower()).strip("-")[:60] or "figure"

    def spec(self) -> dict[str, Any]:
        """The chart in Vega-Lite, at a width of its own."""
        return self.chart.properties(width=PICTURE_WIDTH).to_dict()

    def csv(self) -> bytes:
        return self.frame.to_csv(index=False).encode()

    def parquet(self) -> bytes:
        buffer = io.BytesIO()
        self.frame.to_parquet(buffer, index=False)
        return buffer.getvalue()


def forget() -> None:
    """A new run of the script begins: nothing is drawn yet."""
    st.session_state[FIGURES] = []


def drawn() -> list[Figure]:
    """What this run has drawn, in order."""
    return list(st.session_state.get(FIGURES, []))


def show(figure: Figure, key: str, **how: Any) -> Any:
    """Draw the chart, with `st.altair_chart`'s arguments and result, and what belongs to it."""
    st.session_state.setdefault(FIGURES, []).append(figure)
    event = st.altair_chart(figure.chart, key=f"{key}_chart", **how)
    told, belongings = st.columns([3, 1.2], vertical_alignment="top")
    told.caption(figure.caption or " ")
    with (
        belongings.container(horizontal=True, horizontal_alignment="right"),
        st.popover("Data, picture, SQL", icon=":material/download:", type="tertiary"),
    ):
        _belongings(figure, key)
    return event


def _belongings(figure: Figure, key: str) -> None:
    files = (
        ("CSV", "csv", figure.csv),
        ("Parquet", "parquet", figure.parquet),
        ("PNG", "png", lambda: vega.render(figure.spec(), "png")),
        ("SVG", "svg", lambda: vega.render(figure.spec(), "svg")),
        ("Vega-Lite", "vl.json", lambda: figure.chart.to_json().encode()),
    )
    st.caption(f"{len(figure.frame):,} lines of data")
    with st.container(horizontal=True):
        for label, ending, make in files:
            st.download_button(
                label, make, f"{figure.stem}.{ending}", key=f"{key}_{ending}", on_click="ignore"
            )
    if figure.script:
        st.caption("The SQL behind it, for `duckdb -readonly STORE/catalog.duckdb`")
        st.code(
            figure.script, language="sql", height=220 if figure.script.count("\n") > 9 else None
        )
    if figure.call:
        st.caption("The Python behind it")
        st.code(figure.call, language="python", wrap_lines=True)
    st.caption("A link that restores this page")
    st.code(link(), language=None, wrap_lines=True)


def link() -> str:
    """The page's address with its state."""
    # As the browser shows it: what a widget has by default is left out there, too.
    query = urlencode({name: st.query_params.get_all(name) for name in st.query_params}, doseq=True)
    return f"{st.context.url or ''}{'?' if query else ''}{query}"

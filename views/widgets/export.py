"""Save a page: its charts, what is seen in them and the SQL behind, in one self-contained file."""

import html
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Template

import streamlit as st
import vl_convert

from views.widgets import figure
from views.widgets.figure import Figure

_PAGE = Path(__file__).with_name("page.html")


def offer(title: str, facts: str) -> None:
    """A button in the sidebar, once the page has been drawn; none where it drew nothing."""
    figures = figure.drawn()
    if not figures:
        return
    address = figure.link()
    told = f"{facts} · {address}" if address else facts
    st.sidebar.download_button(
        "Save this page as HTML",
        lambda: page(title, told, figures).encode(),
        f"{title.lower()}.html",
        "text/html",
        icon=":material/save:",
        key="save_page",
        on_click="ignore",
        help="One file with the charts of this page, their data and the SQL behind them.",
    )


def page(title: str, facts: str, figures: Sequence[Figure]) -> str:
    """One HTML file that needs no network."""
    specs = json.dumps([f.spec() for f in figures])
    values = {
        "title": html.escape(f"{title}: Token Trails"),
        "facts": html.escape(facts),
        "figures": "\n".join(_figure(at, f) for at, f in enumerate(figures)),
        "bundle": _bundle(),
        # Inside of a script, the data may not end it.
        "specs": specs.replace("</", "<\\/"),
    }
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(values)


def _figure(at: int, shown: Figure) -> str:
    texts = {"SQL": shown.script, "Python": shown.call}
    behind = "".join(
        f"<details><summary>The {language} behind it</summary><pre>{html.escape(text)}</pre>"
        "</details>"
        for language, text in texts.items()
        if text
    )
    return (
        f"<figure><h2>{html.escape(shown.title)}</h2>"
        f'<div class="chart" id="figure-{at}"></div>'
        f"<figcaption>{html.escape(shown.caption)}</figcaption>{behind}</figure>"
    )


@cache
def _bundle() -> str:
    return vl_convert.javascript_bundle().replace("</script", "<\\/script")

"""Save a page: its charts, captions and the SQL behind them, in one self-contained HTML file."""

import html
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from string import Template

import streamlit as st
import vl_convert

from queries.charts.render import on_page
from views.widgets import figure
from views.widgets.figure import Figure

_PAGE = Path(__file__).with_name("page.html")
_LANGUAGES = {"sql": "SQL", "python": "Python"}


def offer(title: str, facts: str) -> None:
    """A button in the sidebar, after the page has been drawn; none if it drew no figure."""
    # Taken here: the file is made in a thread without a session.
    figures = figure.drawn()
    if not figures:
        return
    address = figure.address()
    facts = f"{facts} · {address}" if address else facts
    st.sidebar.download_button(
        "Save this page as HTML",
        lambda: page(title, facts, [*figures.values()]).encode(),
        f"{title.lower()}.html",
        "text/html",
        icon=":material/save:",
        key="save_page",
        on_click="ignore",
        help="One file with the charts of this page, their data and the SQL behind them.",
    )


def page(title: str, facts: str, figures: Sequence[Figure]) -> str:
    """One HTML file that needs no network."""
    specs = json.dumps([on_page(shown.specification()) for shown in figures])
    values = {
        "title": html.escape(f"{title}: Token Trails"),
        "facts": html.escape(facts),
        "figures": "\n".join(_figure(at, shown) for at, shown in enumerate(figures)),
        "bundle": _bundle(),
        # Data in a script must not be able to end the script.
        "specs": specs.replace("</", "<\\/"),
    }
    return Template(_PAGE.read_text(encoding="utf-8")).substitute(values)


def _figure(at: int, shown: Figure) -> str:
    behind = ""
    if shown.script:
        behind = (
            f"<details><summary>The {_LANGUAGES[shown.language]} behind it</summary>"
            f"<pre>{html.escape(shown.script)}</pre></details>"
        )
    return (
        f"<figure><h2>{html.escape(shown.title)}</h2>"
        f'<div class="chart" id="figure-{at}"></div>'
        f"<figcaption>{html.escape(shown.caption)}</figcaption>{behind}</figure>"
    )


@cache
def _bundle() -> str:
    bundle = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # it has a default
    return bundle.replace("</script", "<\\/script")

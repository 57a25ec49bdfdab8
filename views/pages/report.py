"""The Report page: the ten figures that this project began with, for the open store."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from queries import Store
from queries.report import Section, of_sections, to_html
from queries.report.numbers import count
from views import answers
from views.answers import ReportSections
from views.widgets import figure
from views.widgets.figure import Figure

MISSING = "What this store does not show"
FORMATS = {
    "change": "%+.2f",
    "size": "%.2f",
    "noise_ratio": "%.1f",
    "p_value": "%.2g",
    "p_placebo": "%.2g",
    "expected": "%.2f",
    "expected_placebo": "%.2f",
}


@dataclass(frozen=True)
class DrawnSection:
    """A section and its figures."""

    section: Section
    figures: tuple[tuple[str, Figure], ...]
    """Key of the chart, figure."""


def page(store: Store) -> None:
    """Draw the page, section by section as each is computed; later visits draw all at once."""
    st.title("Report")
    st.caption(
        "The ten figures of “Investigating Training Dynamics via Token Loss Trajectories” (Foote "
        "2022), drawn for this store. Every sentence is computed, and every difference is reported "
        "with its uncertainty."
    )
    found = answers.report(store, drawn)
    contents, download = st.empty(), st.empty()
    if found.is_complete:
        _contents(contents, list(found), True)
    waiting, sections = st.empty(), st.container()
    shown: list[DrawnSection] = []
    for one in _each(found, waiting):
        with sections:
            _section(one, answers.key(store))
        shown.append(one)
        if not found.is_complete:
            _contents(contents, shown, False)
    _contents(contents, shown, True)
    report = of_sections(store, [one.section for one in shown])
    st.subheader(MISSING, anchor="missing", divider="gray")
    _bullets(report.missing)
    download.download_button(
        "Save the report as HTML",
        lambda: to_html(report).encode(),
        "report.html",
        "text/html",
        icon=":material/save:",
        key="save_report",
        on_click="ignore",
        help="One file to read and print without the app, the same as `python -m queries report` "
        "writes.",
    )


def _each(found: ReportSections, waiting: DeltaGenerator) -> Iterator[DrawnSection]:
    """The sections; while one is computed, `waiting` says so."""
    if found.is_complete:
        yield from found
        return
    waiting.info("Computing the first section …", icon=":material/hourglass_top:")
    for at, one in enumerate(found, 1):
        yield one
        waiting.info(
            f"{count(at, 'section')} computed; computing the next …",
            icon=":material/hourglass_top:",
        )
    waiting.empty()


def drawn(section: Section) -> DrawnSection:
    """The section with its figures."""
    figures = []
    for exhibit in section.exhibits:
        title = f"Figure {exhibit.number}: {exhibit.title}"
        caption = f"Figure {exhibit.number}. {exhibit.title}. {exhibit.note}"
        shown = Figure(title, exhibit.chart, exhibit.frame, exhibit.script, caption)
        figures.append((f"report_{exhibit.number}", shown))
    return DrawnSection(section, tuple(figures))


def _contents(place: DeltaGenerator, shown: list[DrawnSection], done: bool) -> None:
    """Links to the sections."""
    sections = [one.section for one in shown if not one.section.is_empty]
    links = [f"[{section.title}](#{section.key})" for section in sections]
    if done:
        links.append(f"[{MISSING}](#missing)")
    place.markdown("**Contents**\n\n" + "\n".join(f"- {link}" for link in links))


def _section(shown: DrawnSection, state: Hashable) -> None:
    section = shown.section
    if section.is_empty:
        st.html(f'<span id="{section.key}"></span>')
        st.markdown(f"**{section.figures}.** {' '.join(section.seen)}")
        return
    st.subheader(section.title, anchor=section.key, divider="gray")
    st.markdown(f"*{section.question}*")
    _bullets(section.seen)
    _bullets(section.compared, "Compared with the report's own figure")
    for key, drawing in shown.figures:
        figure.show(drawing, key, same=state)
    with st.expander("Groups, tokens and numbers", icon=":material/table:"):
        _tables(section)


def _tables(section: Section) -> None:
    if section.groups:
        st.dataframe(pd.DataFrame(section.groups), hide_index=True)
    for title, frame in section.tables.items():
        st.caption(title)
        columns = {
            name: st.column_config.NumberColumn(name.replace("_", " "), format=format)
            for name, format in FORMATS.items()
            if name in frame
        }
        st.dataframe(frame, hide_index=True, column_config=columns)


def _bullets(sentences: Sequence[str], heading: str = "") -> None:
    if sentences:
        before = f"**{heading}**\n\n" if heading else ""
        st.markdown(before + "\n".join(f"- {sentence}" for sentence in sentences))

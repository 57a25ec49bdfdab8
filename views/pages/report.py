"""The Report page: the ten figures that this project began with, for the open store."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from queries import Store
from queries.report import Report, Section, to_html
from views import answers
from views.widgets import figure
from views.widgets.figure import Figure

FORMATS = {
    "change": "%+.2f",
    "size": "%.2f",
    "noise_ratio": "%.1f",
    "p_value": "%.2g",
    "p_placebo": "%.2g",
    "expected": "%.2f",
    "expected_placebo": "%.2f",
}


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Report")
    st.caption(
        "The ten figures of “Investigating Training Dynamics via Token Loss Trajectories” (Foote "
        "2022), drawn for this store. Every sentence is computed, and every difference is reported "
        "with its uncertainty."
    )
    found = answers.report(store)
    _offer_html(found)
    for section in found.sections:
        _section(section)
    st.subheader("What this store does not show", anchor="missing", divider="gray")
    _bullets(found.missing)


def _offer_html(found: Report) -> None:
    st.download_button(
        "Save the report as HTML",
        lambda: to_html(found).encode(),
        "report.html",
        "text/html",
        icon=":material/save:",
        key="save_report",
        on_click="ignore",
        help="One file to read and print without the app, the same as `python -m queries report` "
        "writes.",
    )


def _section(section: Section) -> None:
    st.subheader(section.title, anchor=section.key, divider="gray")
    st.markdown(f"*{section.question}*")
    _bullets(section.seen)
    _bullets(section.compared, "Compared with the report's own figure")
    for exhibit in section.exhibits:
        caption = f"Figure {exhibit.number}. {exhibit.title}. {exhibit.note}"
        title = f"Figure {exhibit.number}: {exhibit.title}"
        shown = Figure(title, exhibit.chart(), exhibit.frame, exhibit.script, caption)
        figure.show(shown, f"report_{exhibit.number}")
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

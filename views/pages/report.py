"""The Report page: the ten figures that this project began with, on whatever store is open."""

import altair as alt
import pandas as pd
import streamlit as st

from queries import Store, charts
from queries.report import Exhibit, Report, Section, to_html
from views import answers
from views.widgets import figure
from views.widgets.figure import Figure

NUMBERS = {
    "change": "%+.2f",
    "size": "%.2f",
    "noise_ratio": "%.1f",
    "p_value": "%.2g",
    "p_usual": "%.2g",
    "expected": "%.2f",
    "expected_usual": "%.2f",
}


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Report")
    st.caption(
        "The ten figures of “Investigating Training Dynamics via Token Loss Trajectories” (Foote "
        "2022), asked of this store. Every sentence is computed, and every difference is held "
        "against its uncertainty."
    )
    found = answers.report(store, answers.key(store))
    st.download_button(
        "Save the report as HTML",
        lambda: to_html(found).encode(),
        "report.html",
        "text/html",
        icon=":material/save:",
        key="save_report",
        on_click="ignore",
        help="One file to read and print without the app, as `python -m queries report` writes it.",
    )
    for section in found.sections:
        _section(section)
    _missing(found)


def _section(section: Section) -> None:
    st.subheader(section.title, anchor=section.key, divider="gray")
    st.markdown(f"*{section.question}*")
    _list("", section.seen)
    _list("Beside the report's own figure", section.compared)
    for exhibit in section.exhibits:
        told = f"Figure {exhibit.number}. {exhibit.title}. {exhibit.note}"
        figure.show(
            Figure(
                f"Figure {exhibit.number}: {exhibit.title}",
                chart(exhibit),
                exhibit.frame,
                exhibit.script,
                told,
            ),
            f"report_{exhibit.number}",
        )
    with st.expander("Groups, tokens and numbers", icon=":material/table:"):
        if section.groups:
            st.dataframe(pd.DataFrame(section.groups), hide_index=True)
        for title, frame in section.tables.items():
            st.caption(title)
            st.dataframe(
                frame,
                hide_index=True,
                column_config={
                    name: st.column_config.NumberColumn(name.replace("_", " "), format=how)
                    for name, how in NUMBERS.items()
                    if name in frame
                },
            )


def _missing(found: Report) -> None:
    st.subheader("What this store does not show", anchor="missing", divider="gray")
    _list("", found.missing)


def _list(heading: str, sentences: tuple[str, ...]) -> None:
    if sentences:
        before = f"**{heading}**\n\n" if heading else ""
        st.markdown(before + "\n".join(f"- {told}" for told in sentences))


def chart(exhibit: Exhibit) -> alt.TopLevelMixin:
    """The figure's chart, by its kind."""
    draw = {"means": _means, "difference": _difference, "histogram": _histogram, "tokens": _tokens}
    return draw[exhibit.kind](exhibit)


def _means(exhibit: Exhibit) -> alt.TopLevelMixin:
    frame = exhibit.frame.assign(at=exhibit.frame["checkpoint"])
    names = list(dict.fromkeys(frame["token_group"]))
    looks = {name: charts.look(at) for at, name in enumerate(names)}
    frame["color"] = [looks[name][0] for name in frame["token_group"]]
    frame["dash"] = [looks[name][1] for name in frame["token_group"]]
    return charts.trajectories(frame, charts.LOG_LIKE, exhibit.region)


def _difference(exhibit: Exhibit) -> alt.TopLevelMixin:
    color, dash = charts.look(0)
    frame = exhibit.frame.assign(
        at=exhibit.frame["checkpoint"], token_group="first minus second", color=color
    )
    frame["dash"] = [dash] * len(frame)
    return charts.difference_everywhere(frame, charts.LOG_LIKE)


def _histogram(exhibit: Exhibit) -> alt.TopLevelMixin:
    return charts.histogram(exhibit.frame)


def _tokens(exhibit: Exhibit) -> alt.TopLevelMixin:
    assert exhibit.region
    return charts.token_trajectories(exhibit.frame, charts.LINEAR, exhibit.region)

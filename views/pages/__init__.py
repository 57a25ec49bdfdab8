"""The pages of the app: some for any question, and one for each analysis of the registry.

An analysis is drawn by the module of this package that has its name, or by `generic`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import streamlit as st

from queries import Store
from queries.analyses.registry import ANALYSES, Analysis
from views import about, state
from views.pages import generic, report, sql, text, tour, trajectories, zoom

DEFAULT = "trajectories"
GENERAL = "Token Trails"
"""The heading of the pages that are not of an analysis."""
ICONS = {
    "age_of_acquisition": "cake",
    "clusters": "category",
    "compare": "stacked_line_chart",
    "compare_words": "translate",
    "events": "flag",
    "explain": "leaderboard",
    "in_context_score": "history",
    "matched": "balance",
    "mechanism": "troubleshoot",
    "ngrams": "link",
    "overlap": "join_inner",
    "position_slope": "trending_down",
    "positions": "grid_on",
    "rho_1": "border_all",
    "type_changes": "abc",
}


def pages(store: Store, others: Sequence[str], default: str = DEFAULT) -> dict[str, st.Page]:
    """By the path in their URL; `others` are the stores that could be opened as well."""

    def runs() -> list[Store]:
        return about.same_tokens(store, others)

    def texts() -> list[Store]:
        return about.same_text(store, others)

    general: dict[str, tuple[str, str, Callable[[], None]]] = {
        "trajectories": (
            "Trajectories",
            "show_chart",
            lambda: trajectories.page(store, runs()),
        ),
        "zoom": ("Zoom", "zoom_in", lambda: zoom.page(store, runs())),
        "text": ("Text", "article", lambda: text.page(store)),
        "sql": ("SQL", "database", lambda: sql.page(store)),
        "report": ("Report", "description", lambda: report.page(store)),
        "tour": ("Tour", "explore", lambda: tour.page(store)),
    }
    of_analyses = {
        analysis.name: (
            analysis.title,
            ICONS.get(analysis.name, "analytics"),
            _drawing(analysis, store, texts if analysis.of_same_text else runs),
        )
        for analysis in ANALYSES
    }
    return {
        path: st.Page(
            draw, title=title, icon=f":material/{icon}:", url_path=path, default=path == default
        )
        for path, (title, icon, draw) in (general | of_analyses).items()
    }


def sections(found: Mapping[str, st.Page]) -> dict[str, list[st.Page]]:
    """`pages` under the headings of the navigation."""
    section_of = {analysis.name: analysis.section for analysis in ANALYSES}
    sections: dict[str, list[st.Page]] = {}
    for path, page in found.items():
        sections.setdefault(section_of.get(path, GENERAL), []).append(page)
    return sections


def navigation(found: Mapping[str, st.Page]) -> None:
    """Links to all pages in the sidebar; unlike Streamlit's own, they hold the state."""
    query = state.link_in_navigation()
    for heading, section in sections(found).items():
        with st.sidebar.container(gap=None):
            st.caption(heading)
            for page in section:
                st.page_link(page, query_params=query)


def _drawing(
    analysis: Analysis, store: Store, runs: Callable[[], list[Store]]
) -> Callable[[], None]:
    """The function that draws an analysis: its own page's, or the generic one."""
    module = f"{__name__}.{analysis.name}"
    if analysis.name in about.PAGES_OF_RUNS and find_spec(module):
        return lambda: import_module(module).page(store, runs())
    if find_spec(module):
        return partial(import_module(module).page, store)
    return lambda: generic.page(store, analysis, runs())

"""The pages of the app, in the order of its navigation."""

from collections.abc import Mapping, Sequence

import streamlit as st

from queries import Store
from views import about
from views.pages import (
    clusters,
    matched,
    mechanism,
    ngrams,
    positions,
    report,
    sql,
    text,
    tour,
    trajectories,
    zoom,
)

DEFAULT = "trajectories"
ANALYSES = ("matched", "clusters", "positions", "ngrams", "mechanism")


def pages(store: Store, others: Sequence[str], default: str = DEFAULT) -> dict[str, st.Page]:
    """By the path in their URL; `others` are the stores that could be opened as well."""
    drawn = {
        "trajectories": (
            "Trajectories",
            ":material/show_chart:",
            lambda: trajectories.page(store, about.same_tokens(store, others)),
        ),
        "zoom": ("Zoom", ":material/zoom_in:", lambda: zoom.page(store)),
        "matched": ("Matched comparison", ":material/balance:", lambda: matched.page(store)),
        "clusters": ("Clusters", ":material/category:", lambda: clusters.page(store)),
        "positions": (
            "Loss by position and step",
            ":material/grid_on:",
            lambda: positions.page(store),
        ),
        "ngrams": ("N-grams", ":material/link:", lambda: ngrams.page(store)),
        "mechanism": ("Mechanism", ":material/troubleshoot:", lambda: mechanism.page(store)),
        "text": ("Text", ":material/article:", lambda: text.page(store)),
        "sql": ("SQL", ":material/database:", lambda: sql.page(store)),
        "report": ("Report", ":material/description:", lambda: report.page(store)),
        "tour": ("Tour", ":material/explore:", lambda: tour.page(store)),
    }
    return {
        path: st.Page(draw, title=title, icon=icon, url_path=path, default=path == default)
        for path, (title, icon, draw) in drawn.items()
    }


def sections(found: Mapping[str, st.Page]) -> dict[str, list[st.Page]]:
    """`pages` under the headings of the navigation."""
    return {
        "Token Trails": [page for path, page in found.items() if path not in ANALYSES],
        "Analyses": [found[path] for path in ANALYSES],
    }

"""The pages of the app, in the order of its navigation."""

from collections.abc import Sequence

import streamlit as st

from queries import Store
from views import about, report, sql_page, text, tour, trajectories, zoom

DEFAULT = "trajectories"


def pages(store: Store, others: Sequence[str], default: str = DEFAULT) -> dict[str, st.Page]:
    """By the path in their URL; `others` are the stores that could be opened as well."""
    drawn = {
        "trajectories": ("Trajectories", ":material/show_chart:",
                         lambda: trajectories.page(store, about.alike(store, others))),
        "zoom": ("Zoom", ":material/zoom_in:", lambda: zoom.page(store)),
        "text": ("Text", ":material/article:", lambda: text.page(store)),
        "sql": ("SQL", ":material/database:", lambda: sql_page.page(store)),
        "report": ("Report", ":material/description:", lambda: report.page(store)),
        "tour": ("Tour", ":material/explore:", lambda: tour.page(store)),
    }  # fmt: skip
    return {
        path: st.Page(draw, title=title, icon=icon, url_path=path, default=path == default)
        for path, (title, icon, draw) in drawn.items()
    }

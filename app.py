"""Token Trails, the app: open a store, navigate. `streamlit run app.py -- STORE [STORE …]`."""

import argparse
import sys
from pathlib import Path

import streamlit as st

from queries import QueryError
from views import about, pages, saved_views, state
from views.answers import open_store, version_of
from views.widgets import export, figure

SIDEBAR = 245  # pixels; a string here would be drawn by Streamlit
STYLE = Path(__file__).parent / "views" / "app.css"


def main() -> None:
    """One run of the script: the sidebar, then the page."""
    st.set_page_config("Token Trails", page_icon="📉", layout="wide", initial_sidebar_state=SIDEBAR)
    st.html(STYLE)
    figure.reset()
    options = _options()
    paths = about.stores(options.stores)
    path = _select_store(paths)
    try:
        store = open_store(path, version_of(path), options.functions)
        store.features.follow()  # features saved on the command line since
    except QueryError as error:
        st.title("Token Trails")
        st.error(f"This store cannot be opened: {error}")
        return
    others = [other for other in paths if other != path]
    found = pages.pages(store, others)
    st.session_state["pages"] = found
    page = st.navigation(pages.sections(found), position="hidden")
    state.follow(store, others, page.url_path)
    pages.navigation(found)
    saved_views.offer(store, others, page.url_path or pages.DEFAULT)
    about.describe(store)
    problems = st.container()
    about.say_which_run(page.url_path, store, state.current().runs)
    about.say_which_differ(page.url_path, store, others)
    try:
        page.run()
    except QueryError as error:  # one that no page expects, such as an invalid file of a group
        st.error(str(error), icon=":material/error:")
    state.tell(problems)
    export.offer(page.title, about.summary(store))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="streamlit run app.py --")
    parser.add_argument("stores", nargs="*", default=["data/demo"])
    parser.add_argument("--functions", help="a .py file of functions for groups")
    return parser.parse_args(sys.argv[1:])


def _select_store(paths: list[str]) -> str:
    """A folder or an fsspec URL."""
    if len(paths) == 1:
        return paths[0]
    path = st.sidebar.selectbox(
        "Store", paths, key="store", bind="query-params", persist_state="session"
    )
    return str(path)


main()

"""Token Trails, the app: choose a store, navigate. `streamlit run app.py -- STORE [STORE …]`."""

import argparse
import sys

import streamlit as st

from queries import QueryError
from views import about, pages
from views.answers import open_store, version_of
from views.widgets import export, figure


def main() -> None:
    """One run of the script: the sidebar, then the chosen page."""
    st.set_page_config("Token Trails", page_icon="📉", layout="wide")
    figure.forget()
    options = _options()
    paths = about.stores(options.stores)
    path = _choose_store(paths)
    try:
        store = open_store(path, version_of(path), options.functions)
        store.features.follow()  # what the command line saved since
    except QueryError as error:
        st.title("Token Trails")
        st.error(f"This store cannot be opened: {error}")
        return
    found = pages.pages(store, [other for other in paths if other != path])
    st.session_state["pages"] = found
    chosen = st.navigation(pages.sections(found))
    about.describe(store)
    try:
        chosen.run()
    except QueryError as error:  # what no page expects, such as a group's file that is none
        st.error(str(error), icon=":material/error:")
    export.offer(chosen.title, about.in_a_line(store))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="streamlit run app.py --")
    parser.add_argument("stores", nargs="*", default=["data/demo"])
    parser.add_argument("--functions", help="a .py file of functions for groups")
    return parser.parse_args(sys.argv[1:])


def _choose_store(paths: list[str]) -> str:
    """A folder or an fsspec URL."""
    if len(paths) == 1:
        return paths[0]
    return str(
        st.sidebar.selectbox(
            "Store", paths, key="store", bind="query-params", persist_state="session"
        )
    )


main()

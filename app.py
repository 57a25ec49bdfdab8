"""Token Trails, the app: open a store, navigate. `streamlit run app.py -- STORE [STORE …]`."""

import argparse
import sys

import streamlit as st

from queries import QueryError
from views import about, pages
from views.answers import open_store, version_of
from views.widgets import export, figure

# Streamlit writes white on its primary colour in a dark theme, too, at a contrast of 3.
ON_PRIMARY = """<style>
[data-testid="stBaseButton-primary"], [data-testid="stMultiSelect"] span[title] {
  color: light-dark(#ffffff, #0b1117);
}
</style>"""


def main() -> None:
    """One run of the script: the sidebar, then the page."""
    st.set_page_config("Token Trails", page_icon="📉", layout="wide")
    st.html(ON_PRIMARY)
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
    found = pages.pages(store, [other for other in paths if other != path])
    st.session_state["pages"] = found
    page = st.navigation(pages.sections(found), expanded=True)
    about.describe(store)
    try:
        page.run()
    except QueryError as error:  # one that no page expects, such as an invalid file of a group
        st.error(str(error), icon=":material/error:")
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

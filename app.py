"""Token Trails, the app: choose a store, navigate. `streamlit run app.py -- STORE [STORE …]`."""

import argparse
import sys

import streamlit as st

from queries import QueryError, Store
from views import trajectories, zoom
from views.answers import open_store, version_of


def main() -> None:
    """One run of the script: the sidebar, then the chosen page."""
    st.set_page_config("Token Trails", page_icon="📉", layout="wide")
    options = _options()
    path = _choose_store(options.stores)
    try:
        store = open_store(path, version_of(path), options.functions)
    except QueryError as error:
        st.title("Token Trails")
        st.error(f"This store cannot be opened: {error}")
        return
    pages = [
        st.Page(lambda: trajectories.page(store), title="Trajectories", default=True,
                icon=":material/show_chart:", url_path="trajectories"),
        st.Page(lambda: zoom.page(store), title="Zoom", icon=":material/zoom_in:",
                url_path="zoom"),
    ]  # fmt: skip
    st.session_state["zoom_page"] = pages[1]
    chosen = st.navigation({"Token Trails": pages})
    _describe(store)
    try:
        chosen.run()
    except QueryError as error:  # what no page expects, such as a group's file that is none
        st.error(str(error), icon=":material/error:")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="streamlit run app.py --")
    parser.add_argument("stores", nargs="*", default=["data/demo"])
    parser.add_argument("--functions", help="a .py file of functions for groups")
    return parser.parse_args(sys.argv[1:])


def _choose_store(stores: list[str]) -> str:
    """A folder or an fsspec URL."""
    if len(stores) == 1:
        return stores[0]
    return str(st.sidebar.selectbox("Store", stores, key="store", bind="query-params"))


def _describe(store: Store) -> None:
    about = store.manifest
    failed = int(store.checkpoints["error"].notna().sum())
    with st.sidebar:
        st.markdown(f"**{about.model}**")
        st.caption(
            f"{len(store.steps):,} checkpoints, steps {store.steps[0]:,} to {store.steps[-1]:,}  \n"
            f"{about.n_tokens:,} tokens in {about.n_docs:,} docs of {about.text}  \n"
            f"context {about.context_length:,} tokens, "
            f"{f'BOS {about.bos} before each doc' if about.bos else 'no BOS'}  \n"
            f"scored in {about.dtype}, attention {about.attention}"
        )
        if failed:
            st.warning(f"{failed} checkpoints failed: see `select * from checkpoints`")
        if store.has_new_checkpoints:
            st.info("New checkpoints were scored since this store was opened.")
            st.button("Show new checkpoints", on_click=version_of.clear)
        if store.functions_changed:
            _offer_reload(store)


def _offer_reload(store: Store) -> None:
    st.info("A file of functions was changed since it was loaded.")
    if st.button("Load functions again"):
        try:
            store.reload_functions()
        except QueryError as error:
            st.error(str(error), icon=":material/error:")
        else:
            st.cache_data.clear()
            st.rerun()


main()

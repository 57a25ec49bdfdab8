"""Named views in the sidebar: what is on the screen, to open again or delete."""

import streamlit as st

from queries import QueryError, Store
from queries.saved_views import View, delete, save, saved
from views import state


def offer(store: Store, others: list[str], page: str) -> None:
    """Draw the list of views and how to save one; call it before the page's widgets are drawn."""
    with st.sidebar.popover("Views", icon=":material/bookmark:", width="stretch"):
        for view in saved(store):
            _line(store, others, view)
        name = st.text_input("Save this view as", key="view_name", placeholder="The spike")
        if st.button("Save view", key="view_save", disabled=not name.strip()):
            try:
                save(store, _shown(name.strip(), page))
            except QueryError as error:
                st.error(str(error), icon=":material/error:")
            else:
                st.rerun()


def _line(store: Store, others: list[str], view: View) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        pages = st.session_state["pages"]
        if st.button(view.name, key=f"view_open_{view.name}", type="tertiary"):
            state.restore(view.query, view.own, store, others)
            st.switch_page(pages.get(view.page, pages["trajectories"]), query_params=state.link())
        if st.button(
            "Delete",
            icon=":material/delete:",
            key=f"view_delete_{view.name}",
            type="tertiary",
            help=f"Delete the view {view.name}",
        ):
            try:
                delete(store, view.name)
            except QueryError as error:
                st.error(str(error), icon=":material/error:")
            else:
                st.rerun()


def _shown(name: str, page: str) -> View:
    """What is on the screen."""
    names = [n for n in st.query_params if n not in state.OF_THE_APP and n in st.session_state]
    own = {n: st.session_state[n] for n in names}
    return View(name, page, state.to_query(state.current()), own)

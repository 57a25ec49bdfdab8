"""Named views: what is on the screen, saved in the store as `views/NAME.json`, as groups are.

A view has the page, the state that all pages share (`state.to_query`) and the values of the page's
own widgets.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from queries import QueryError, Store
from queries.engine import remote
from store.files import whole_file
from views import state

_NAME = re.compile(r"[\w][\w .,()+-]{0,79}")


@dataclass(frozen=True)
class View:
    """A saved view."""

    name: str
    page: str
    """Its path in the URL."""
    query: state.Query
    own: dict[str, Any]
    """Values of the page's own widgets, by their keys."""


def saved(store: Store) -> list[View]:
    """The views of a store by name; files that are no views are left out."""
    if remote.is_url(str(store.path)):
        return []
    found = []
    for path in sorted(_folder(store).glob("*.json")):
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            query = {name: [str(v) for v in facts["query"][name]] for name in facts["query"]}
            found.append(View(path.stem, str(facts["page"]), query, dict(facts["own"])))
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            continue
    return found


def save(store: Store, view: View) -> None:
    """Write the view's file, completely or not at all. Raises QueryError."""
    if not _NAME.fullmatch(view.name) or view.name.endswith("."):
        raise QueryError(
            f"{view.name!r} cannot be the name of a view: use up to 80 letters, digits, blanks "
            "and . , ( ) + - and begin with a letter or digit"
        )
    if remote.is_url(str(store.path)):
        raise QueryError("views are saved in the store's folder, and this store is at a URL")
    content = {"page": view.page, "query": view.query, "own": view.own}
    try:
        _folder(store).mkdir(exist_ok=True)
        with whole_file(_folder(store) / f"{view.name}.json") as temporary:
            temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), "utf-8")
    except OSError as error:
        raise _not_written(store, error) from error


def delete(store: Store, name: str) -> None:
    """Delete a view's file. Raises QueryError."""
    try:
        (_folder(store) / f"{name}.json").unlink(missing_ok=True)
    except OSError as error:
        raise _not_written(store, error) from error


def _folder(store: Store) -> Path:
    return Path(str(store.path)) / "views"


def _not_written(store: Store, error: OSError) -> QueryError:
    return QueryError(f"{_folder(store)} cannot be written: {error.strerror or error}")


# ---- in the sidebar


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

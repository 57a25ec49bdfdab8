"""The runs that are shown with the open store: other stores of the same tokens, such as seeds."""

from collections.abc import Sequence

import streamlit as st

from queries import Store
from views import state

_KEY = "runs_choice"


def choose(
    others: Sequence[Store], label: str, help: str, at_least_one: bool = False
) -> list[Store]:
    """The widget, none without other runs; with `at_least_one` no choice means all of them."""
    if not others:
        return []
    paths = [str(other.path) for other in others]
    chosen = [path for path in state.current().runs if path in paths]
    st.session_state[_KEY] = chosen or (paths if at_least_one else [])
    shown = st.multiselect(
        label,
        paths,
        key=_KEY,
        on_change=lambda: state.change(runs=tuple(st.session_state[_KEY])),
        format_func=name,
        help=help,
    )
    return [other for other in others if str(other.path) in shown]


def name(path: str) -> str:
    """A store's folder, which distinguishes the runs of a folder of stores."""
    return path.rstrip("/").rpartition("/")[2]

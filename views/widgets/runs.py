"""The runs that are shown with the open store: other stores of the same tokens, such as seeds."""

from collections import Counter
from collections.abc import Sequence

import streamlit as st

from queries import Store
from views import state

_KEY = "runs_choice"


def choose(
    store: Store, others: Sequence[Store], label: str, help: str, at_least_one: bool = False
) -> list[Store]:
    """The widget, none without other runs; with `at_least_one` no choice means all of them."""
    if not others:
        return []
    paths = [str(other.path) for other in others]
    names = distinct_names([str(store.path), *paths])
    chosen = [path for path in state.current().runs if path in paths]
    st.session_state[_KEY] = chosen or (paths if at_least_one else [])
    shown = st.multiselect(
        label,
        paths,
        key=_KEY,
        on_change=lambda: state.change(runs=tuple(st.session_state[_KEY])),
        format_func=names.__getitem__,
        help=help,
    )
    return [other for other in others if str(other.path) in shown]


def distinct_names(paths: Sequence[str]) -> dict[str, str]:
    """Each path's folder, with as many of the folders above it as distinguish it from others."""
    parts = {path: path.rstrip("/").split("/") for path in paths}
    names = {path: folders[-1] for path, folders in parts.items()}
    depth = 1
    while len({*names.values()}) < len(names) and depth < max(map(len, parts.values())):
        depth += 1
        counts = Counter(names.values())
        names = {
            path: "/".join(parts[path][-depth:]) if counts[name] > 1 else name
            for path, name in names.items()
        }
    return names

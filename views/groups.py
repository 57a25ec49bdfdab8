"""Choosing a token group: a named one, or a WHERE clause that is written into a field."""

import streamlit as st

from queries import Store

CUSTOM = "write SQL …"


def choose_group(store: Store, label: str, key: str, default: str) -> str:
    """A select box of the named groups and a field for SQL; returns the clause.

    Both live in the URL under `key` and `key_sql`.
    """
    named = store.named_groups
    names = [CUSTOM, *named]
    chosen = st.selectbox(
        label,
        names,
        index=names.index(default),
        format_func=lambda n: named[n].title if n in named else "Write SQL …",
        key=key,
        bind="query-params",
        help="A group is a condition over tokens. Choose a named one, or write your own.",
    )
    if chosen != CUSTOM:
        st.code(named[chosen].clause, language="sql", wrap_lines=True)
        return named[chosen].clause
    return st.text_area(
        f"{label}: SQL condition",
        value="position = 500",
        key=f"{key}_sql",
        bind="query-params",
        height=80,
        help="One boolean expression over the columns of `tokens`, as is_word_start "
        "or word in ('Washington', 'Lincoln')",
    )


def group_title(store: Store, clause: str) -> str:
    """The named group's title for its clause, else the clause itself, shortened."""
    for group in store.named_groups.values():
        if group.clause == clause:
            return group.title
    text = " ".join(clause.split())
    return text if len(text) <= 60 else text[:59] + "…"

"""Choosing a token group: a named one, or a WHERE clause written into a field."""

import streamlit as st

from queries import Store

CUSTOM = "Write SQL …"
EXAMPLE = "word in ('Washington', 'Lincoln')"


def choose_group(store: Store, label: str, key: str, default: str) -> str:
    """A select box of the named groups, and a field where SQL is wanted; returns the clause.

    `default` is a named group. Both widgets live in the URL, as `key` and `key_sql`.
    """
    clauses = {group.title: group.clause for group in store.named_groups.values()}
    titles = [CUSTOM, *clauses]
    chosen = st.selectbox(
        label,
        titles,
        index=titles.index(store.named_groups[default].title),
        key=key,
        bind="query-params",
        persist_state="session",
        help="A group is a condition over tokens: choose a named one, or write your own.",
    )
    if chosen in clauses:
        st.code(clauses[chosen], language="sql", wrap_lines=True)
        return clauses[chosen]
    return st.text_area(
        f"{label}: SQL condition",
        value=EXAMPLE,
        key=f"{key}_sql",
        bind="query-params",
        persist_state="session",
        height=90,
        help="One true-or-false expression over the columns of `tokens`, as is_word_start and "
        f"position < 100. Functions here: {', '.join(store.functions)}.",
    )


def group_title(store: Store, clause: str) -> str:
    """The named group's title for its clause, else the clause itself, shortened."""
    titles = {group.clause: group.title for group in store.named_groups.values()}
    text = " ".join(clause.split())
    return titles.get(clause) or (text if len(text) <= 80 else text[:79] + "…")

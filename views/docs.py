"""Which doc is open and which of its tokens is selected: in the session and in the URL."""

from typing import Any

import pandas as pd
import streamlit as st

from queries import Store
from views import answers, text_answers

TOKEN = "token"


def choose(store: Store) -> int:
    """Draw what chooses a doc; its number."""
    docs = text_answers.docs(store, answers.key(store))
    _follow_link(docs, store)
    sources = docs["source"].drop_duplicates().tolist()
    _keep_within("source", sources)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.selectbox(
            "Source document", sources, key="source", bind="query-params",
            persist_state="session", on_change=select, args=(None,),
            help="Type to search.",
        )  # fmt: skip
        parts = docs.loc[docs["source"] == source, "part"].tolist()
        _keep_within("part", parts)
        part = st.selectbox(
            "Part", parts, key="part", bind="query-params", persist_state="session",
            on_change=select, args=(None,), width=110,
            help="A source document longer than a context window is scored in parts: the first "
            "is 0. A part is a doc of its own, and the model saw nothing before it.",
        )  # fmt: skip
        here = docs.index[(docs["source"] == source) & (docs["part"] == part)][0]
        _step(docs, here - 1, "Previous", "chevron_left")
        _step(docs, here + 1, "Next", "chevron_right")
    return int(docs["doc"][here])


def selected() -> int | None:
    """The row of the selected token; it may be of another doc."""
    row: int | None = st.session_state.get("selected_token")
    return row


def select(row: int | None) -> None:
    """Of the doc that is open; None for no token."""
    st.session_state["selected_token"] = row
    if row is None:
        st.query_params.pop(TOKEN, None)
    else:
        st.query_params[TOKEN] = str(row)


def open_at(doc: int, row: int | None, docs: pd.DataFrame) -> None:
    """Open a doc, with one of its tokens selected; to be called before the widgets are drawn."""
    line = docs[docs["doc"] == doc].iloc[0]
    st.session_state["source"], st.session_state["part"] = line["source"], int(line["part"])
    select(row)


def _keep_within(key: str, options: list[Any]) -> None:
    """What was chosen in another store or source document may not be there in this one."""
    if st.session_state.get(key, options[0]) not in options:
        st.session_state[key] = options[0]


def _step(docs: pd.DataFrame, at: int, label: str, icon: str) -> None:
    there = 0 <= at < len(docs)
    doc = int(docs["doc"][at]) if there else 0
    st.button(label, icon=f":material/{icon}:", key=f"{label}_doc", disabled=not there,
              on_click=open_at, args=(doc, None, docs))  # fmt: skip


def _follow_link(docs: pd.DataFrame, store: Store) -> None:
    """A token that the URL names opens its doc; a selected one is kept in the URL."""
    named = st.query_params.get(TOKEN, "")
    short = named.isdecimal() and len(named) < 19  # longer ones are no row of any store
    row = int(named) if short and int(named) < store.manifest.n_tokens else None
    if row is not None and row != selected():
        open_at(text_answers.token(store, answers.key(store), row)["doc"], row, docs)
    elif named and row is None:
        st.query_params.pop(TOKEN)
    elif not named and selected() is not None:
        select(selected())

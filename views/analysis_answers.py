"""Answers of the analyses, cached as those in `views.answers`."""

import streamlit as st

import queries
from queries import Matched, Store
from queries.balance import INITIAL_LOSS

ENTRIES = 16
_IDENTITIES = {"row", "doc", "token_id", "char_start", "char_end", "text"}


@st.cache_data(max_entries=ENTRIES, show_spinner="Looking for tokens that are alike …")
def matched(
    _store: Store, store_key: object, group: str, on: tuple[str, ...], among: str, bins: int
) -> Matched:
    """`queries.matched`."""
    return queries.matched(_store, group, on, among, bins)


@st.cache_data(max_entries=ENTRIES, show_spinner=False)
def matchable(_store: Store, store_key: object) -> list[str]:
    """The features by which tokens can be alike, without those that tell each from all others."""
    return [INITIAL_LOSS, *(c for c in _store.token_columns if c not in _IDENTITIES)]

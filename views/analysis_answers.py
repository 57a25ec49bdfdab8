"""Answers of the analyses, cached as those in `views.answers`."""

import re
from dataclasses import dataclass

import pandas as pd
import streamlit as st

import queries
from queries import Kinds, Matched, Store
from queries.balance import INITIAL_LOSS
from queries.rho import CATEGORIES, rho_1_summary
from views import answers

ENTRIES = 16
_IDENTITIES = {"row", "doc", "token_id", "char_start", "char_end", "text"}


@dataclass(frozen=True)
class Categories:
    """Rho-1's categories of some tokens."""

    tokens: pd.DataFrame
    """row, category, start, end (nats)."""
    summary: pd.DataFrame
    """category, n_tokens, share, mean_start, mean_end (nats)."""
    means: pd.DataFrame
    """category, checkpoint, mean_loss, low, high (nats), n_tokens, n_docs."""


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


def key_of(store: Store, clause: str) -> tuple[object, ...]:
    """`answers.key` for what takes seconds: features that the group does not name leave it alone.

    Else to keep kinds as a feature would sort the tokens again.
    """
    words = set(re.findall(r"\w+", store.groups.clause(clause)))
    named = tuple(version for version in store.features.version if version[0] in words)
    return (*answers.key(store)[:-1], named)


@st.cache_data(
    max_entries=ENTRIES, show_spinner="Sorting the tokens into kinds: that takes some seconds …"
)
def kinds(_store: Store, store_key: object, where: str, k: int | None, compared: str) -> Kinds:
    """`queries.kinds`."""
    return queries.kinds(_store, where, k, compared)


@st.cache_data(max_entries=ENTRIES, show_spinner="Fitting a line to each token's losses …")
def categories(_store: Store, store_key: object, where: str, log: bool) -> Categories:
    """`queries.rho_1`, its summary, and each category's trajectory."""
    tokens = queries.rho_1(_store, where, log)
    found = {name: tokens.loc[tokens["category"] == name, "row"] for name in CATEGORIES}
    frames = [
        _store.trajectory(rows.to_numpy()).assign(category=name)
        for name, rows in found.items()
        if len(rows)
    ]
    means = pd.concat(frames, ignore_index=True)
    return Categories(tokens, rho_1_summary(tokens), means)

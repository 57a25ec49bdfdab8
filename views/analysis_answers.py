"""Answers of the analyses, cached as those in `views.answers`."""

import re
from dataclasses import dataclass

import pandas as pd
import streamlit as st

import queries
from queries import Kinds, Matched, Mechanism, Store
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


@st.cache_data(max_entries=ENTRIES, show_spinner="Averaging by position …")
def positions(_store: Store, store_key: object, where: str) -> pd.DataFrame:
    """`queries.loss_by_position`, and less_mean: less the mean of all positions at the step."""
    found = queries.loss_by_position(_store, where)
    sums = (found["mean_loss"] * found["n_tokens"]).groupby(found["checkpoint"]).sum()
    n_tokens = found.drop_duplicates("first_position")["n_tokens"].sum()
    return found.assign(less_mean=found["mean_loss"] - found["checkpoint"].map(sums / n_tokens))


@st.cache_data(max_entries=ENTRIES, show_spinner="Fitting the loss over the position …")
def position_slope(_store: Store, store_key: object, where: str) -> pd.DataFrame:
    """`queries.position_slope`."""
    return queries.position_slope(_store, where)


@st.cache_data(max_entries=ENTRIES, show_spinner="Comparing positions …")
def in_context_score(
    _store: Store, store_key: object, late: int, early: int, where: str
) -> pd.DataFrame:
    """`queries.in_context_score`."""
    return queries.in_context_score(_store, late, early, where)


@st.cache_data(max_entries=ENTRIES, show_spinner="Comparing with unigrams and bigrams …")
def baselines(_store: Store, store_key: object, group: str) -> pd.DataFrame:
    """`queries.baselines`."""
    return queries.baselines(_store, group)


@st.cache_data(max_entries=ENTRIES, show_spinner="Reading the probes …")
def mechanism(
    _store: Store, store_key: object, group: str, baseline: str | None, between: tuple[int, int]
) -> Mechanism:
    """`queries.mechanism`."""
    return queries.mechanism(_store, group, baseline, *between)


@st.cache_data(max_entries=ENTRIES, show_spinner="Looking which moves first …")
def leads(
    _store: Store, store_key: object, group: str, baseline: str | None, between: tuple[int, int]
) -> pd.DataFrame:
    """The lags of `queries.mechanism`."""
    return queries.mechanism(_store, group, baseline, *between).lags

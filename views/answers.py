"""Answers of a store, cached across reruns and sessions."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

import queries
from queries import Clusters, Comparison, Matched, Mechanism, Preview, Store, text
from queries.analyses.matched import INITIAL_LOSS
from queries.analyses.rho_1 import CATEGORIES, rho_1_summary
from queries.engine import remote
from queries.report import Report
from queries.report import report as ask_report
from queries.stats.changes import Region, Zoom
from queries.text import Reading

ENTRIES = 64


@st.cache_data(max_entries=16, show_spinner=False)
def version_of(path: str) -> tuple[str, ...]:
    """The files there were when this was first asked; cleared to look again."""
    if remote.is_url(path):
        return tuple(sorted(remote.listing(path)))
    names = (
        "losses/*.parquet",
        "manifest.json",
        "docs.parquet",
        "tokens.parquet",
        "probes.parquet",
    )
    files = sorted(p for name in names for p in Path(path).glob(name))
    return tuple(f"{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files)


@st.cache_resource(max_entries=8, show_spinner=False)
def open_store(path: str, version: tuple[str, ...], functions: str | None) -> Store:
    """Open once for all sessions, with a progress bar while the index is built."""
    bar = st.empty()

    def show(done: int, total: int) -> None:
        bar.progress(done / total, f"Preparing the store: {done / total:.0%}")

    store = Store(path, functions=functions, progress=show)
    _ = store.matrix
    bar.empty()
    return store


def key(store: Store) -> tuple[object, ...]:
    """What tells one state of a store from another, for the caches below."""
    return str(store.path), store.opened.stamp, store.features.version


@st.cache_data(max_entries=ENTRIES, show_spinner="Averaging the group's losses …")
def trajectory(
    _store: Store, store_key: object, clause: str, smooth: float | None = None
) -> pd.DataFrame:
    """`Store.trajectories` of one group; the column token_group is left to the page."""
    return _store.trajectories({"": clause}, smooth).drop(columns="token_group")


@st.cache_data(max_entries=ENTRIES, show_spinner="Comparing the groups …")
def beside(
    _store: Store, store_key: object, how: str, first: str, second: str, smooth: float | None
) -> pd.DataFrame:
    """`Store.difference` or `Store.ratio`, as `how` says."""
    return getattr(_store, how)(first, second, smooth)


@st.cache_data(max_entries=ENTRIES, show_spinner="Comparing the runs …")
def runs(_stores: list[Store], store_keys: object, clause: str, by: str) -> Comparison:
    """`queries.compare`."""
    return queries.compare(_stores, clause, by)


@st.cache_data(max_entries=ENTRIES, show_spinner="Looking for events …")
def events(_store: Store, store_key: object, clause: str) -> pd.DataFrame:
    """`queries.events`."""
    return queries.events(_store, clause)


@st.cache_data(max_entries=ENTRIES, show_spinner="Counting …")
def preview(_store: Store, store_key: object, clause: str) -> Preview:
    """`queries.preview`."""
    return queries.preview(_store, clause)


@st.cache_data(max_entries=16, show_spinner=False)
def sources(_store: Store, store_key: object) -> list[str]:
    """Names of the source documents, in the text's order."""
    return _store.sources


@st.cache_data(max_entries=16, show_spinner=False)
def token_columns(_store: Store, store_key: object) -> list[str]:
    """What a group can ask of a token."""
    return _store.token_columns


@st.cache_data(max_entries=16, show_spinner="Looking at every token's change …")
def zoom(
    _store: Store, store_key: object, region: tuple[int, int], where: str, k: int, seed: int
) -> Zoom:
    """`Store.zoom`."""
    return _store.zoom(*region, where=where, k=k, seed=seed)


@st.cache_data(max_entries=ENTRIES, show_spinner="Comparing the regions …")
def overlap(
    _store: Store,
    store_key: object,
    first: tuple[int, int],
    second: tuple[int, int],
    where: str,
    k: int,
    min_count: int | None,
) -> pd.DataFrame:
    """`queries.overlap`."""
    return queries.overlap(_store, first, second, where, k, min_count)


@st.cache_data(max_entries=16, show_spinner="Looking at every token type …")
def type_changes(
    _store: Store, store_key: object, region: tuple[int, int], where: str, min_count: int
) -> pd.DataFrame:
    """`queries.type_changes`."""
    return queries.type_changes(_store, *region, where, min_count)


@st.cache_data(max_entries=16, show_spinner="Comparing hundreds of groups with the rest …")
def explain(_store: Store, store_key: object, region: tuple[int, int]) -> pd.DataFrame:
    """`queries.explain`."""
    return queries.explain(_store, *region)


@st.cache_data(max_entries=16, show_spinner="Looking for the largest rise …")
def suggested_regions(_store: Store, store_key: object) -> tuple[Region, Region]:
    """`Store.suggested_regions`."""
    return _store.suggested_regions()


@st.cache_data(max_entries=4, show_spinner="Asking the report's ten questions …")
def report(_store: Store, store_key: object) -> Report:
    """`queries.report`."""
    return ask_report(_store)


@st.cache_data(max_entries=ENTRIES, show_spinner=False)
def context(_store: Store, store_key: object, rows: tuple[int, ...]) -> pd.DataFrame:
    """`Store.context`."""
    return _store.context(list(rows))


# Answers of the analyses, cached as those in `views.answers`.

ANALYSIS_ENTRIES = 16
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


@st.cache_data(max_entries=ANALYSIS_ENTRIES, show_spinner="Looking for tokens that are alike …")
def matched(
    _store: Store, store_key: object, group: str, on: tuple[str, ...], among: str, bins: int
) -> Matched:
    """`queries.matched`."""
    return queries.matched(_store, group, on, among, bins)


@st.cache_data(max_entries=ANALYSIS_ENTRIES, show_spinner=False)
def matchable(_store: Store, store_key: object) -> list[str]:
    """The features by which tokens can be alike, without those that tell each from all others."""
    return [INITIAL_LOSS, *(c for c in _store.token_columns if c not in _IDENTITIES)]


def key_of(store: Store, clause: str) -> tuple[object, ...]:
    """`answers.key` for what takes seconds: features that the group does not name leave it alone.

    Else to keep kinds as a feature would sort the tokens again.
    """
    words = set(re.findall(r"\w+", store.groups.clause(clause)))
    named = tuple(version for version in store.features.version if version[0] in words)
    return (*key(store)[:-1], named)


@st.cache_data(
    max_entries=ANALYSIS_ENTRIES,
    show_spinner="Sorting the tokens into kinds: that takes some seconds …",
)
def clusters(
    _store: Store, store_key: object, where: str, k: int | None, compared: str
) -> Clusters:
    """`queries.clusters`."""
    return queries.clusters(_store, where, k, compared)


@st.cache_data(max_entries=ANALYSIS_ENTRIES, show_spinner="Fitting a line to each token's losses …")
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


@st.cache_data(max_entries=ANALYSIS_ENTRIES, show_spinner="Averaging by position …")
def positions(_store: Store, store_key: object, where: str) -> pd.DataFrame:
    """`queries.loss_by_position`, and less_mean: less the mean of all positions at the step."""
    found = queries.loss_by_position(_store, where)
    sums = (found["mean_loss"] * found["n_tokens"]).groupby(found["checkpoint"]).sum()
    n_tokens = found.drop_duplicates("first_position")["n_tokens"].sum()
    return found.assign(less_mean=found["mean_loss"] - found["checkpoint"].map(sums / n_tokens))


@st.cache_data(max_entries=ANALYSIS_ENTRIES, show_spinner="Fitting the loss over the position …")
def position_slope(_store: Store, store_key: object, where: str) -> pd.DataFrame:
    """`queries.position_slope`."""
    return queries.position_slope(_store, where)


@st.cache_data(max_entries=ANALYSIS_ENTRIES, show_spinner="Comparing positions …")
def in_context_score(
    _store: Store, store_key: object, late: int, early: int, where: str
) -> pd.DataFrame:
    """`queries.in_context_score`."""
    return queries.in_context_score(_store, late, early, where)


@st.cache_data(max_entries=ANALYSIS_ENTRIES, show_spinner="Comparing with unigrams and bigrams …")
def baselines(_store: Store, store_key: object, group: str) -> pd.DataFrame:
    """`queries.baselines`."""
    return queries.baselines(_store, group)


@st.cache_data(max_entries=ANALYSIS_ENTRIES, show_spinner="Reading the probes …")
def mechanism(
    _store: Store, store_key: object, group: str, baseline: str | None, between: tuple[int, int]
) -> Mechanism:
    """`queries.mechanism`."""
    return queries.mechanism(_store, group, baseline, *between)


@st.cache_data(max_entries=ANALYSIS_ENTRIES, show_spinner="Looking which moves first …")
def leads(
    _store: Store, store_key: object, group: str, baseline: str | None, between: tuple[int, int]
) -> pd.DataFrame:
    """The lags of `queries.mechanism`."""
    return queries.mechanism(_store, group, baseline, *between).lags


# Answers that the Text page asks for, cached across reruns and sessions.


@st.cache_data(max_entries=16, show_spinner=False)
def members(_store: Store, store_key: object, clause: str) -> np.ndarray:
    """`Store.members`."""
    return _store.members(clause)


@st.cache_data(max_entries=16, show_spinner=False)
def docs(_store: Store, store_key: object) -> pd.DataFrame:
    """`reading.docs`."""
    return text.docs(_store)


@st.cache_data(max_entries=ENTRIES, show_spinner=False)
def doc(_store: Store, store_key: object, number: int) -> Reading:
    """`reading.reading`."""
    return text.reading(_store, number)


@st.cache_data(max_entries=16, show_spinner="Looking at every token …")
def values(_store: Store, store_key: object, steps: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """`reading.values`, and their `reading.reach`."""
    found = text.values(_store, steps)
    return found, text.reach(found)


@st.cache_data(max_entries=ENTRIES, show_spinner=False)
def largest(
    _store: Store, store_key: object, steps: tuple[int, ...], k: int, in_doc: int | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`reading.largest` of a doc, or of all."""
    found, _ = values(_store, store_key, steps)
    rows = None
    if in_doc is not None:
        rows = doc(_store, store_key, in_doc).tokens["row"].to_numpy()
    return text.largest(_store, found, k, rows)


@st.cache_data(max_entries=ENTRIES, show_spinner=False)
def token(_store: Store, store_key: object, row: int) -> dict[str, object]:
    """`reading.token`."""
    return text.token(_store, row)

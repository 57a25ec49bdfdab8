"""Answers of a store, cached across reruns and sessions."""

from pathlib import Path

import pandas as pd
import streamlit as st

import queries
from queries import Comparison, Preview, Store, remote
from queries.regions import Region
from queries.report import Report
from queries.report import report as ask_report
from queries.zoom import Zoom

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

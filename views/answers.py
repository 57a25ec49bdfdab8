"""Answers of a store, cached across reruns and sessions.

Each is the function of `queries` that it names, called as `answers.events(store, …)`.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakValueDictionary

import numpy as np
import pandas as pd
import streamlit as st

import queries
from queries import Comparison, Mechanism, Positions, QueryError, Store, text
from queries.analyses import mechanism as mechanism_analysis
from queries.analyses.base import Result
from queries.analyses.compare import By, RunChanges, compare_changes
from queries.analyses.events import spikes as find_spikes
from queries.analyses.matched import INITIAL_LOSS
from queries.analyses.positions import positions_of_runs
from queries.analyses.registry import ANALYSES
from queries.analyses.rho_1 import CATEGORIES
from queries.engine import remote
from queries.engine.measures import MeasureName, measure_of
from queries.report import Section, sections, spike_story
from queries.report.pairs import reader
from queries.report.sentences import distinguishable

P = ParamSpec("P")
R = TypeVar("R")
IDENTITIES = {"row", "doc", "token_id", "char_start", "char_end", "text"}
"""Columns that distinguish each token from all others, so that none would have a control."""


@st.cache_data(max_entries=16, show_spinner=False)
def version_of(path: str) -> tuple[str, ...]:
    """The files of a store when this was first called; clear the cache to look again."""
    if remote.is_url(path):
        return tuple(sorted(remote.listing(path)))
    names = (
        "losses/*.parquet",
        "predictions/*.parquet",
        "manifest.json",
        "docs.parquet",
        "tokens.parquet",
        "probes.parquet",
    )
    files = sorted(p for name in names for p in Path(path).glob(name))
    return tuple(
        f"{p.parent.name}/{p.name} {p.stat().st_size} {p.stat().st_mtime_ns}" for p in files
    )


# The newest state of each store that is still in use.
_NEWEST: WeakValueDictionary[tuple[str, str | None], Store] = WeakValueDictionary()


@st.cache_resource(max_entries=8, show_spinner=False)
def open_store(path: str, version: tuple[str, ...], functions: str | None) -> Store:
    """Open once for all sessions, with a progress bar while the index is built.

    A store that has only grown shares its tables with its state before.
    """
    bar = st.empty()

    def show(done: int, total: int) -> None:
        bar.progress(done / total, f"Preparing the store: {done / total:.0%}")

    before = _NEWEST.get((path, functions))
    if before and not before.url and before.files.state() == "new checkpoints":
        store = before.grown(progress=show)
    else:
        store = Store(path, functions=functions, progress=show)
    _NEWEST[path, functions] = store
    _ = store.matrix
    bar.empty()
    return store


def key(store: Store) -> tuple[object, ...]:
    """Distinguishes the states of a store, for the caches below."""
    return str(store.path), store.files.stamp, store.features.version


def key_of(store: Store, clause: str) -> tuple[object, ...]:
    """`key` for what takes seconds: features that the group does not use don't matter.

    Otherwise saving clusters as a feature would compute the clusters again.
    """
    words = set(re.findall(r"\w+", store.groups.clause(clause)))
    used = tuple(version for version in store.features.version if version[0] in words)
    return (*key(store)[:-1], used)


def cached(
    function: Callable[Concatenate[Store, P], R],
    spinner: str | bool = False,
    entries: int = 16,
    group_only: bool = False,
) -> Callable[Concatenate[Store, P], R]:
    """`function`, cached by the store's state and the arguments.

    With `group_only` the argument `where` is a group, and only the features that it uses count.
    """

    def answer(_store: Store, state: object, *arguments: P.args, **named: P.kwargs) -> R:
        return function(_store, *arguments, **named)

    answer.__qualname__ = f"{function.__module__}.{function.__qualname__}"  # Streamlit's cache key
    remembered = st.cache_data(max_entries=entries, show_spinner=spinner)(answer)

    def ask(store: Store, /, *arguments: P.args, **named: P.kwargs) -> R:
        state = key_of(store, str(named["where"])) if group_only else key(store)
        return remembered(store, state, *arguments, **named)

    ask.__doc__ = function.__doc__
    return ask


def _trajectory(
    store: Store, clause: str, smooth: float | None = None, measure: MeasureName = "loss"
) -> pd.DataFrame:
    """`Store.trajectories` of one group, without the column token_group."""
    found = store.trajectories({"": clause}, smooth, measure=measure)
    return found.drop(columns="token_group")


def _matchable(store: Store) -> list[str]:
    """The covariates on which tokens can be matched."""
    return [INITIAL_LOSS, *(c for c in store.token_columns if c not in IDENTITIES)]


def _positions(store: Store, where: str, measure: MeasureName = "loss") -> Positions:
    """`queries.positions`, with less_mean: minus the mean of all positions at the step."""
    found = queries.positions(store, where=where, measure=measure)
    return replace(found, frame=_with_less_mean(found.frame, measure))


def _with_less_mean(frame: pd.DataFrame, measure: MeasureName) -> pd.DataFrame:
    mean = frame[measure_of(measure).mean]
    sums = (mean * frame["n_tokens"]).groupby(frame["checkpoint"]).sum()
    n_tokens = frame.drop_duplicates("first_position")["n_tokens"].sum()
    return frame.assign(less_mean=mean - frame["checkpoint"].map(sums / n_tokens))


def _rho_1_means(store: Store, where: str, log: bool) -> pd.DataFrame:
    """Each category's trajectory: category, checkpoint, mean_loss, low, high, n_tokens, n_docs."""
    members = queries.rho_1(store, where=where, log=log).members
    rows = {name: members.loc[members["category"] == name, "row"] for name in CATEGORIES}
    frames = [
        store.trajectory(found.to_numpy()).assign(category=name)
        for name, found in rows.items()
        if len(found)
    ]
    return pd.concat(frames, ignore_index=True)


def _mechanism(
    store: Store, group: str, baseline: str | None, between: tuple[int, int], n_probes: int
) -> Mechanism:
    """`queries.mechanism`; probes can be added to a store, which only their number shows."""
    return queries.mechanism(store, group, baseline, between=between)


def _leads(
    store: Store, group: str, baseline: str | None, between: tuple[int, int], n_probes: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`leads` and `variants` of `queries.mechanism`."""
    found = queries.mechanism(store, group, baseline, between=between)
    return found.leads, found.variants


def _doc_values(store: Store, steps: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """`text.values`, and where their colours end (`text.color_limit`)."""
    found = text.values(store, steps)
    return found, text.color_limit(found)


def _largest(
    store: Store, steps: tuple[int, ...], k: int, in_doc: int | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`text.largest` in a doc, or in the whole text."""
    values, _ = doc_values(store, steps)
    rows = None if in_doc is None else doc(store, in_doc).tokens["row"].to_numpy()
    return text.largest(store, values, k, rows)


def _losses(store: Store, number: int) -> np.ndarray:
    """A doc's losses at every checkpoint in nats, float32 (tokens, checkpoints)."""
    return store.matrix.rows(doc(store, number).tokens["row"].to_numpy())


def _doc_of_token(store: Store, row: int) -> int:
    doc = text.token(store, row)["doc"]
    assert isinstance(doc, int | np.integer)
    return int(doc)


def _sources(store: Store) -> list[str]:
    return store.sources


def _token_columns(store: Store) -> list[str]:
    return store.token_columns


def _verdict(store: Store, first: str, second: str) -> str:
    """`queries.report.sentences.distinguishable` of two groups; empty if one has no token."""
    both = reader(store)
    pair = both.pair(both.group("group", first), both.group("baseline", second))
    return distinguishable(pair) if pair else ""


# The store and its groups.
sources = cached(_sources)
token_columns = cached(_token_columns)
members = cached(Store.members)
preview = cached(text.preview, "Counting …", 64)
context = cached(Store.context, entries=64)

# Trajectories.
trajectory = cached(_trajectory, "Averaging the group's losses …", 64)
predicted = cached(Store.predicted, entries=64)
difference = cached(Store.difference, "Comparing the groups …", 64)
ratio = cached(Store.ratio, "Comparing the groups …", 64)
verdict = cached(_verdict, entries=128)
events = cached(queries.events, "Detecting events …", 64)

# Regions of training.
suggested_regions = cached(Store.suggested_regions, "Looking for the largest rise …")
zoom = cached(Store.zoom, "Computing every token's change …")
overlap = cached(queries.overlap, "Comparing the regions …", 64)
type_changes = cached(queries.type_changes, "Averaging every token type …")
spikes = cached(find_spikes, "Detecting spikes …")
story = cached(spike_story)
explain = cached(queries.explain, "Comparing hundreds of groups with all other tokens …")

# Analyses.
matched = cached(queries.matched, "Looking for controls …")
matchable = cached(_matchable)
clusters = cached(
    queries.clusters, "Clustering the tokens (takes a few seconds) …", group_only=True
)
rho_1 = cached(queries.rho_1, "Fitting a line to every token's losses …")
rho_1_means = cached(_rho_1_means, "Averaging the categories …")
positions = cached(_positions, "Averaging by position …")
position_slope = cached(queries.position_slope, "Fitting the loss against the position …")
in_context_score = cached(queries.in_context_score, "Comparing positions …")
ngrams = cached(queries.ngrams, "Comparing with unigrams and bigrams …")
mechanism = cached(_mechanism, "Reading the probes …")
event_window = cached(mechanism_analysis.event_window, "Looking for the event …")
leads = cached(_leads, "Comparing which changes first …")

# The Text page.
docs = cached(text.docs)
doc = cached(text.doc_text, entries=64)
doc_values = cached(_doc_values, "Reading every token's value …")
largest = cached(_largest, entries=64)
token = cached(text.token, entries=64)
find = cached(text.find, "Searching the text …")
doc_of_token = cached(_doc_of_token, entries=64)
losses = cached(_losses)


class ReportSections:
    """The sections of a store's report, each computed once, when a page first asks for it."""

    def __init__(self, store: Store, draw: Callable[[Section], R]) -> None:
        self._rest = sections(store)
        self._draw = draw
        self._computing = threading.Lock()
        self._found: list[Any] = []
        self._error: QueryError | None = None
        self.is_complete = False

    def __iter__(self) -> Iterator[Any]:
        """`draw(section)` of each. Raises QueryError, as `queries.report.report`."""
        at = 0
        while at < len(self._found) or not self._finish(at):
            yield self._found[at]
            at += 1

    def _finish(self, at: int) -> bool:
        """Compute section `at`; whether there is none."""
        with self._computing:
            if self._error:
                raise self._error
            if at == len(self._found) and not self.is_complete:
                self._next()
            return at == len(self._found)

    def _next(self) -> None:
        try:
            self._found.append(self._draw(next(self._rest)))
        except StopIteration:
            self.is_complete = True
        except QueryError as error:  # the rest cannot be computed any more
            self._error = error
            raise


@st.cache_resource(max_entries=4, show_spinner=False)
def _report(_store: Store, state: object, _draw: Callable[[Section], Any]) -> ReportSections:
    return ReportSections(_store, _draw)


def report(store: Store, draw: Callable[[Section], Any]) -> ReportSections:
    """`draw(section)` of every section of `queries.report.sections`, cached once for all."""
    return _report(store, key(store), draw)


@st.cache_data(max_entries=16, show_spinner="Computing …")
def _analysis(
    _stores: list[Store], states: object, name: str, arguments: tuple[tuple[str, Any], ...]
) -> Result:
    analysis = next(analysis for analysis in ANALYSES if analysis.name == name)
    return analysis.function(_stores if len(_stores) > 1 else _stores[0], **dict(arguments))


def analysis(stores: list[Store], name: str, arguments: Mapping[str, Any]) -> Result:
    """The analysis of the registry with this name, of one store or of several."""
    states = tuple(key(store) for store in stores)
    return _analysis(stores, states, name, tuple(arguments.items()))


@st.cache_data(max_entries=64, show_spinner="Comparing the runs …")
def _runs(_stores: list[Store], states: object, clause: str, by: By) -> Comparison:
    return queries.compare(_stores, group=clause, by=by)


@st.cache_data(max_entries=16, show_spinner="Averaging by position …")
def _positions_of_runs(
    _stores: list[Store], states: object, where: str, measure: MeasureName
) -> list[pd.DataFrame]:
    found = positions_of_runs(_stores, where, measure)
    return [_with_less_mean(frame, measure) for frame in found]


def positions_by_run(stores: list[Store], where: str, measure: MeasureName) -> list[pd.DataFrame]:
    """The frame of `positions` of each run."""
    return _positions_of_runs(stores, tuple(key(store) for store in stores), where, measure)


@st.cache_data(max_entries=16, show_spinner="Comparing the runs …")
def _run_changes(
    _stores: list[Store], states: object, first: int, last: int, where: str, k: int
) -> RunChanges:
    return compare_changes(_stores, first, last, where, k)


def run_changes(stores: list[Store], first: int, last: int, where: str, k: int) -> RunChanges:
    """`compare_changes`."""
    return _run_changes(stores, tuple(key(store) for store in stores), first, last, where, k)


def runs(stores: list[Store], clause: str, by: By) -> Comparison:
    """`queries.compare`."""
    return _runs(stores, tuple(key(store) for store in stores), clause, by)

"""`Store`: one model's training run scored on one text, and the questions it answers."""

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import cast

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from queries import sql
from queries.catalog import build
from queries.engine import clauses, remote
from queries.engine.database import Database, Share
from queries.engine.features import Features, Found, find
from queries.engine.functions import Functions
from queries.engine.matrix import LossMatrix, Progress, open_matrix
from queries.engine.spark import SparkSummation
from queries.engine.sums import AskedSums, GroupSums, Summation
from queries.errors import GroupError, StoreError
from queries.groups.named_groups import NamedGroup, NamedGroups
from queries.stats import bands, changes
from queries.stats import changes as zooming
from queries.stats import distribution as summaries
from queries.stats.changes import Region, Zoom
from queries.stats.smoothing import smoothed
from store.layout import Layout
from store.manifest import Manifest, ManifestError, read_manifest

# A store's files as they were when it was opened: are there new checkpoints, or other files?

SAME, NEW, REPLACED = "same", "new checkpoints", "replaced"


class Opened:
    """`files` are the loss files by checkpoint; `stamp` tells this state of a store from others."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.files = layout.scored()
        self._stamps = self._now()
        self.stamp = hashlib.sha256(repr(self._stamps).encode()).hexdigest()

    def state(self) -> str:
        """SAME, NEW (checkpoints beside the known ones) or REPLACED (a known file is another)."""
        if self._now() != self._stamps:
            return REPLACED
        return NEW if self._layout.scored().keys() != self.files.keys() else SAME

    def _now(self) -> list[tuple[int, int] | None]:
        """Size and time of what is written once: the text's files and the known loss files."""
        text = [self._layout.manifest, self._layout.docs, self._layout.tokens]
        return [_stamp(path) for path in (*text, *self.files.values())]


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size in bytes and time of writing in ns; None where the file is gone."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


# Open a store's tables, its features among them, or say in a sentence why they cannot be.


def open_tables(
    layout: Layout, manifest: Manifest, loss_files: dict[int, Path]
) -> tuple[Database, Found]:
    """The database, not yet locked, and the features in it. Raises StoreError."""
    try:
        found = find(layout, manifest)
        return Database(layout, list(loss_files.values()), found.table), found
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        trouble = " ".join(str(error).partition("\n\nLINE ")[0].split())
        raise StoreError(
            f"{layout.root} cannot be opened: {trouble}; "
            f"`python -m ingest verify {layout.root}` says more"
        ) from error


class Store:
    """Open a store to read. Safe to use from several threads: each query has its own cursor.

    It answers for the checkpoints whose loss files existed at opening. Groups are WHERE clauses
    over `tokens` or names of named groups. `path` is a folder or an fsspec URL, of which a local
    copy is kept. With the engine "spark" means and bands are summed by Spark, from the loss files.
    Raises StoreError where there is no usable store.
    """

    def __init__(
        self,
        path: str | Path,
        functions: str | Path | None = None,
        progress: Progress | None = None,
        engine: str = "matrix",
    ) -> None:
        self.url = str(path) if remote.is_url(path) else None
        self.path = remote.local_copy(self.url, progress) if self.url else Path(path)
        self._layout = Layout(self.path.absolute())  # the working directory may change
        self._progress = progress
        self._engine = engine
        self._lock = threading.Lock()
        try:
            self.manifest = read_manifest(self._layout.manifest)
        except ManifestError as error:
            raise StoreError(str(error)) from error
        self.opened = Opened(self._layout)
        self._files = self.opened.files
        if not self._files:
            raise StoreError(f"{path} has no scored checkpoint yet: run `python -m ingest run`")
        self._database, found = open_tables(self._layout, self.manifest, self._files)
        self._functions = Functions(self._database, lambda: self.matrix, functions)
        self._database.lock(self.path)
        self._asked = AskedSums(self.some_members, lambda: self._summation)
        self.groups = NamedGroups(self._database, self._layout.groups, self._refresh_catalog)
        self.features = Features(self._database, found, self._features_changed)
        self._refresh_catalog()

    def make_catalog(self) -> pd.DataFrame:
        """Make catalog.duckdb again; returns name, kind. Raises QueryError if it cannot be."""
        return build.make(self._layout, self._database, self.named_groups.values())

    def _features_changed(self) -> None:
        self._asked.forget()
        self._refresh_catalog()

    def _refresh_catalog(self) -> None:
        build.refresh(self._layout, self._database, lambda: self.named_groups.values())

    @cached_property
    def facts(self) -> pd.DataFrame:
        """row, doc, position, token_id, token_str, word, source of each token, by row."""
        return cast(pd.DataFrame, self._database.table(sql.read("engine/token_facts")).to_pandas())

    @cached_property
    def _summation(self) -> Summation | SparkSummation:
        if self._engine == "spark":
            return SparkSummation(self._files, self.source_of_row)
        return Summation(self.matrix, self.source_of_row)

    @cached_property
    def source_of_row(self) -> np.ndarray:
        """Source document of each row, a place in `sources`, int64 (tokens,)."""
        return pd.factorize(self.facts["source"])[0]

    @cached_property
    def sources(self) -> list[str]:
        """Names of the source documents that have a token, in the text's order."""
        return [str(name) for name in pd.unique(self.facts["source"])]

    @property
    def token_columns(self) -> list[str]:
        """What a group can ask of a token: the columns of `tokens`."""
        return clauses.token_columns(self._database)

    @property
    def matrix(self) -> LossMatrix:
        """The loss matrix; built at first use where the index is missing or stale."""
        with self._lock:
            return self._matrix

    @cached_property
    def _matrix(self) -> LossMatrix:
        return open_matrix(self._layout.index, self._files, self.manifest.n_tokens, self._progress)

    @property
    def checkpoints(self) -> pd.DataFrame:
        """checkpoints.parquet: one row per checkpoint tried, with its error if it failed."""
        return self._database.frame("select * from checkpoints order by checkpoint")

    @property
    def probes(self) -> pd.DataFrame | None:
        """What `ingest run --probes` found: checkpoint, probe, layer, head, value; or None.

        Probes are loss_first, loss_second (nats) and, for each head, prefix_matching (0 to 1).
        """
        return self._database.probes(self.steps)

    @property
    def steps(self) -> list[int]:
        """The scored checkpoints, increasing."""
        return list(self._files)

    @property
    def on_disk(self) -> str:
        """Its files since it was opened: see `queries.store`."""
        return self.opened.state()

    @property
    def functions(self) -> list[str]:
        """Names of the functions that groups can use beside DuckDB's own."""
        return self._functions.names

    @property
    def functions_changed(self) -> bool:
        """Was a file of functions written since it was loaded?"""
        return self._functions.changed

    def reload_functions(self) -> list[str]:
        """Load the files of functions again, for all queries that begin from now on.

        Returns `functions`. Raises StoreError, and keeps those it has, where a file is unusable.
        """
        self._functions.load()
        self._asked.forget()
        return self.functions

    @property
    def named_groups(self) -> dict[str, NamedGroup]:
        """Shared named groups and the store's own, read afresh."""
        return self.groups.all()

    def members(self, group: str) -> np.ndarray:
        """Rows of the group's tokens, int64, increasing; may be empty. Raises GroupError."""
        return clauses.members(self._database, self.groups.clause(group))

    def some_members(self, group: str) -> np.ndarray:
        """`members`, of which there is at least one. Raises GroupError."""
        rows = self.members(group)
        if not len(rows):
            raise GroupError(
                f"`{group}` selects none of the {self.manifest.n_tokens:,} tokens: widen it, or "
                "look at what there is with select * from tokens limit 10"
            )
        return rows

    def evaluate(self, expression: str) -> pd.Series:
        """Each token's value of an SQL expression over `tokens`, by row. Raises GroupError."""
        return pd.Series(clauses.evaluate(self._database, expression).to_pandas())

    @cached_property
    def token_ids(self) -> np.ndarray:
        """Token type of each row, int64 (tokens,)."""
        return self.facts["token_id"].to_numpy(np.int64)

    def trajectories(self, groups: Mapping[str, str], smooth: float | None = None) -> pd.DataFrame:
        """Mean loss of each group (name -> clause) at each checkpoint, with a 95 % band.

        Returns checkpoint, token_group, mean_loss, low, high (nats), n_tokens, n_docs (source
        documents). `smooth` is a width in decades of the step, here as below: the smoothed mean
        and its own band; see `stats.smoothing`. Raises GroupError for a clause that is none or
        that selects no token, QueryError for a width that is not above 0.
        """
        if not groups:
            raise GroupError("no group was given: name one, as in {'50th': 'position = 50'}")
        names = list(groups)
        pairs = zip(names[::2], [*names[1::2], names[-1]], strict=False)  # the last may stand twice
        sums = chain.from_iterable(self._sums(groups[a], groups[b], smooth) for a, b in pairs)
        frames = [self._trajectory(of_group) for _, of_group in zip(names, sums, strict=False)]
        for name, frame in zip(names, frames, strict=True):
            frame.insert(1, "token_group", name)
        return pd.concat(frames, ignore_index=True)

    def trajectory(self, rows: np.ndarray) -> pd.DataFrame:
        """`trajectories` of the tokens `rows`, int64 (n,) increasing, without token_group."""
        return self._trajectory(self._summation.group(rows))

    def difference(self, first: str, second: str, smooth: float | None = None) -> pd.DataFrame:
        """Mean loss of the first group minus the second's, paired by source document.

        Returns checkpoint, difference, low, high (nats). Raises GroupError, QueryError.
        """
        band = bands.difference_band(*self._sums(first, second, smooth))
        return band.frame(np.array(self.steps), "difference")

    def ratio(self, first: str, second: str, smooth: float | None = None) -> pd.DataFrame:
        """Mean loss of the first group over the second's, paired by source document.

        Returns checkpoint, ratio, low, high (no unit). Raises GroupError, QueryError.
        """
        band = bands.ratio_band(*self._sums(first, second, smooth))
        return band.frame(np.array(self.steps), "ratio")

    def change_since(
        self, group: str, checkpoint: int, smooth: float | None = None
    ) -> pd.DataFrame:
        """A group's mean loss minus its mean at one checkpoint, paired by token.

        Returns checkpoint, change, low, high (nats). Raises GroupError, and QueryError for a
        checkpoint that is not in the store.
        """
        since = self.matrix.place(checkpoint)
        band = bands.change_band(self._sums(group, group, smooth)[0], since)
        return band.frame(np.array(self.steps), "change")

    def summary(self, group: str, quantiles: Sequence[float] = summaries.QUARTILES) -> pd.DataFrame:
        """How the losses of a group are spread over its tokens at each checkpoint.

        Returns checkpoint, mean_loss, standard_deviation (of the tokens, divisor n - 1; NaN for
        one token), q25, q50 (the median), q75 or what `quantiles` from 0 to 1 asks for (nats),
        perplexity (exp of the mean), bits (mean / ln 2, per token), n_tokens, n_docs.
        Raises GroupError, and QueryError for a quantile that is none.
        """
        rows = self.some_members(group)
        return summaries.summary(self.matrix, rows, self._summation.group(rows), quantiles)

    def zoom(self, first: int, last: int, where: str = "true", k: int = 50, seed: int = 0) -> Zoom:
        """How the group's tokens changed from checkpoint `first` to `last`; see `Zoom`.

        Raises GroupError for the group, QueryError for the region.
        """
        facts = self.facts.iloc[self.some_members(where)]
        return zooming.zoom(self.matrix, facts, (first, last), k, seed)

    def suggested_regions(self) -> tuple[Region, Region]:
        """The largest rise of the mean loss over all tokens, and the recovery from it."""
        losses = self._summation.everything.mean
        rise = changes.largest_rise(self.steps, losses)
        return rise, changes.recovery(self.steps, losses, rise)

    def context(self, rows: Iterable[int], before: int = 60, after: int = 30) -> pd.DataFrame:
        """Tokens in their text: row, doc, position, token_str, source, before, token, after.

        `before` and `after` count characters; lines are in order of row.
        """
        values = {"rows": [int(r) for r in rows], "before": before, "after": after}
        return self._database.frame(sql.read("text/context"), values)

    def sql(
        self,
        query: str,
        progress: Share | None = None,
        cancel: threading.Event | None = None,
        values: Mapping[str, object] | None = None,
    ) -> pd.DataFrame:
        """Any one SELECT over the catalog's names, groups as views too. Raises QueryError.

        `values` fill its `$parameters`; the rest is as in `followed`, of queries/following.py.
        """
        self.groups.show_in_sql()
        return self._database.select(query, progress, cancel, values)

    def _trajectory(self, sums: GroupSums) -> pd.DataFrame:
        frame = bands.mean_band(sums).frame(np.array(self.steps), "mean_loss")
        return frame.assign(n_tokens=sums.n_tokens, n_docs=sums.n_docs)

    def _sums(
        self, first: str, second: str, smooth: float | None = None
    ) -> tuple[GroupSums, GroupSums]:
        one, two = self._asked.pair(self.groups.clause(first), self.groups.clause(second))
        steps = np.array(self.steps)
        return smoothed(one, steps, smooth), smoothed(two, steps, smooth)

"""`Store`: one model's training run scored on one text, and the questions it answers."""

import hashlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from queries import export, sql
from queries.catalog import build
from queries.engine import clauses, remote
from queries.engine.clauses import Expression
from queries.engine.database import Database, QueryProgress, literal
from queries.engine.features import Features, StoredFeatures, read_features
from queries.engine.functions import Functions
from queries.engine.matrix import LossMatrix, Progress, column_of, open_matrix
from queries.engine.measures import MEASURES, NO_PREDICTIONS, MeasureName, measure_of
from queries.engine.spark import SparkSummation
from queries.engine.sums import Engine, GroupSums, GroupSumsCache, Summation
from queries.errors import GroupError, QueryError, StoreError
from queries.groups.named_groups import NamedGroup, NamedGroups
from queries.stats import bands, changes, distribution
from queries.stats.bands import Method
from queries.stats.changes import Region, Zoom
from queries.stats.smoothing import smoothed
from store.layout import Layout
from store.manifest import Manifest, ManifestError, read_manifest

if TYPE_CHECKING:
    from xarray import Dataset

EngineName = Literal["matrix", "spark"]
_OF_LOSSES = {
    *("losses", "loss_rows", "loss_files", "predictions", "prediction_rows", "prediction_files"),
    *("trajectory", "predicted_trajectory", "difference", "ratio", "in_context_score", "zoom"),
    *("query", "query_table"),  # may name any of them
}
State = Literal["same", "new checkpoints", "replaced"]
_UNLISTED = 10 * 10**9  # ns; a killed ingest leaves loss files that have no row


class Store:
    """A store, open to read. Safe to use from several threads: each query has its own cursor.

    It answers for the checkpoints whose loss files existed when it was opened. Groups are WHERE
    clauses over `tokens` or names of named groups. `path` is a folder or an fsspec URL, of which a
    local copy is kept; `functions` is a .py file with functions for groups. With the engine
    "spark", Spark computes the sums behind means and bands from the loss files. Raises StoreError
    if there is no usable store, QueryError for an unknown engine.
    """

    def __init__(
        self,
        path: str | Path,
        functions: str | Path | None = None,
        progress: Progress | None = None,
        engine: EngineName = "matrix",
        _before: "Store | None" = None,
    ) -> None:
        if engine not in get_args(EngineName):
            names = " or ".join(get_args(EngineName))
            raise QueryError(f"there is no engine {engine!r}: expected {names}")
        self.url = str(path) if remote.is_url(path) else None
        self._copy = remote.RemoteCopy(self.url, progress) if self.url else None
        self.path = self._copy.folder if self._copy else Path(path)
        self.functions_file = functions
        self.engine: EngineName = engine
        self._layout = Layout(self.path.absolute())  # the working directory may change
        self._progress = progress
        self._lock = threading.Lock()
        try:
            self.manifest = read_manifest(self._layout.manifest)
        except ManifestError as error:
            raise StoreError(str(error)) from error
        self.files = StoreFiles(self._layout, self._copy.keys if self._copy else None)
        if not self.files.losses:
            raise StoreError(f"{path} has no scored checkpoint yet: run `python -m ingest run`")
        if _before is None:
            self._database, features = _open_tables(self._layout, self.manifest, self.files)
            self._newest = newest = [self]
            self._functions = Functions(self._database, lambda: newest[0].matrix, functions)
            self._database.lock(self.path)
            self.groups = NamedGroups(self._database, self._layout.groups, self._refresh_catalog)
        else:
            features = self._share_tables(_before)
        self._measured: dict[str, LossMatrix] = {}
        self._measured_sums: dict[str, GroupSumsCache] = {}
        self._sums_cache = GroupSumsCache(self._nonempty_members, lambda: self._summation)
        self.features = Features(self._database, features, self._features_changed)
        self._refresh_catalog()

    def grown(self, progress: Progress | None = None) -> "Store":
        """This store with the checkpoints that were scored since it was opened.

        The two share the tables of tokens and docs and what they know of groups, so this takes a
        fraction of the time. SQL on either sees the new checkpoints. Not for URLs. Raises
        StoreError if the text has changed.
        """
        if self.url or self.files.state() == "replaced":
            raise StoreError(f"{self.path} has other files than before: open the store again")
        return Store(self.path, self.functions_file, progress, self.engine, _before=self)

    def _share_tables(self, before: "Store") -> StoredFeatures:
        """Take over what does not depend on the checkpoints, and load what does."""
        self._database, self._functions = before._database, before._functions
        self.groups, self._newest = before.groups, before._newest
        for name in ("facts", "token_ids", "source_of_row", "sources"):  # cached properties
            if name in before.__dict__:
                self.__dict__[name] = before.__dict__[name]
        with self._database.alone(), _readable(self._layout):
            self._database.load_checkpoints(self._layout, list(self.files.losses.values()))
            self._database.load_predictions(list(self.files.predictions.values()))
        self._newest[0] = self
        before._clear_sums()  # as large again as this store's
        return before.features.stored

    # The questions.

    def trajectories(
        self,
        groups: Mapping[str, str],
        smooth: float | None = None,
        method: Method = "cv3",
        measure: MeasureName = "loss",
    ) -> pd.DataFrame:
        """Mean loss of each group (display name -> group) at each checkpoint, with a 95% band.

        Returns checkpoint, token_group, mean_loss, low, high (nats), n_tokens, n_docs (source
        documents), n_docs_effective (how many of equal size would be as informative), verdict.
        With fewer than 4 effective documents there is no band: low and high are NaN, and the
        verdict says so. Here as below, `smooth` is a width in log10 steps, which gives the smoothed
        mean and its band (see `stats.smoothing`), and `method` is "cv3", or "cr1" for the plain
        cluster-robust band, which is too narrow with few or unequal documents (see `stats.bands`).

        `measure` is "loss", or "rank", "entropy" (nats) or "accuracy" (share of tokens with rank
        0), with mean_rank, mean_entropy or accuracy in the place of mean_loss, at the checkpoints
        that have predictions (`steps_of`). Raises GroupError for an invalid clause or a group
        without tokens, QueryError for a width that is not positive, an unknown method, and a
        measure that the store does not have.
        """
        if not groups:
            raise GroupError("no group was given: name one, as in {'50th': 'position = 50'}")
        names = list(groups)
        pairs = zip(names[::2], [*names[1::2], names[-1]], strict=False)  # the last may come twice
        sums = chain.from_iterable(
            self._sums(groups[a], groups[b], smooth, measure) for a, b in pairs
        )
        frames = [
            self._trajectory(of_group, method, measure)
            for _, of_group in zip(names, sums, strict=False)
        ]
        for name, frame in zip(names, frames, strict=True):
            frame.insert(1, "token_group", name)
        return pd.concat(frames, ignore_index=True)

    def difference(
        self,
        first: str,
        second: str,
        smooth: float | None = None,
        method: Method = "cv3",
        measure: MeasureName = "loss",
    ) -> pd.DataFrame:
        """Mean loss of the first group minus the second's, paired by source document.

        Returns checkpoint, difference, low, high (nats, or in the unit of `measure`),
        n_docs_effective, verdict.
        Raises GroupError, QueryError.
        """
        band = bands.difference_band(*self._sums(first, second, smooth, measure), method)
        return band.frame(np.array(self.steps_of(measure)), "difference")

    def ratio(
        self,
        first: str,
        second: str,
        smooth: float | None = None,
        method: Method = "cv3",
        measure: MeasureName = "loss",
    ) -> pd.DataFrame:
        """Mean loss of the first group over the second's, paired by source document.

        Returns checkpoint, ratio, low, high (no unit), n_docs_effective, verdict.
        Raises GroupError, QueryError.
        """
        band = bands.ratio_band(*self._sums(first, second, smooth, measure), method)
        return band.frame(np.array(self.steps_of(measure)), "ratio")

    def change(
        self,
        group: str,
        since: int,
        smooth: float | None = None,
        method: Method = "cv3",
        measure: MeasureName = "loss",
    ) -> pd.DataFrame:
        """A group's mean loss minus its mean at the checkpoint `since`, paired by token.

        Returns checkpoint, change, low, high (nats), n_docs_effective, verdict. Raises GroupError,
        and QueryError for a checkpoint that is not in the store.
        """
        self._refuse_unpredicted(measure, since)
        steps = np.array(self.steps_of(measure))
        column = column_of(steps, since)
        band = bands.change_band(self._sums(group, group, smooth, measure)[0], column, method)
        return band.frame(steps, "change")

    def summary(
        self, group: str, quantiles: Sequence[float] = distribution.QUARTILES
    ) -> pd.DataFrame:
        """The distribution of a group's losses over its tokens at each checkpoint.

        Returns checkpoint, mean_loss, standard_deviation (of the tokens, divisor n - 1; NaN for
        one token), q25, q50 (the median), q75 or other `quantiles` from 0 to 1 (nats), perplexity
        (exp of the mean), bits (mean / ln 2, per token), n_tokens, n_docs. Raises GroupError, and
        QueryError for an invalid quantile.
        """
        rows = self.nonempty_members(group)
        return distribution.summary(self.matrix, rows, self._summation.group(rows), quantiles)

    def zoom(
        self,
        first: int,
        last: int,
        where: str = "true",
        k: int = 50,
        seed: int = 0,
        measure: MeasureName = "loss",
    ) -> Zoom:
        """How the group's tokens changed from checkpoint `first` to `last`; see `Zoom`.

        Of another `measure` than the loss, columns have its name, such as first_rank. Raises
        GroupError for the group, QueryError for the region or the measure.
        """
        facts = self.facts.iloc[self.nonempty_members(where)]
        matrix = self.matrix_of(measure, first, last)
        return changes.zoom(matrix, facts, (first, last), k, seed, measure)

    def narrow(
        self,
        found: Zoom,
        between: tuple[float, float],
        k: int = 50,
        measure: MeasureName = "loss",
    ) -> Zoom:
        """The tokens of `found`, a zoom of this store, whose change is between two values (nats).

        `measure` is that of the zoom. Their lists are their own; the histogram is still that of all
        tokens.
        """
        return changes.narrowed(self.matrix_of(measure), found, between, k, measure=measure)

    def sql(
        self,
        query: str,
        progress: QueryProgress | None = None,
        cancel: threading.Event | None = None,
        values: Mapping[str, object] | None = None,
    ) -> pd.DataFrame:
        """Any one SELECT over the catalog's names, including views of groups. Raises QueryError.

        `values` are its $parameters. `progress` is called with the share done, from another thread;
        once `cancel` is set, the query stops.
        """
        self.groups.update_views()
        if _needs_losses(query):
            self.wait_for_losses()
        return self._database.select(query, progress, cancel, values)

    def members(self, group: str) -> np.ndarray:
        """Rows of the group's tokens, int64, increasing; may be empty. Raises GroupError."""
        return clauses.members(self._database, self.groups.resolve(group))

    def nonempty_members(self, group: str) -> np.ndarray:
        """`members`; raises GroupError if there are none."""
        return self._nonempty_members(self.groups.resolve(group))

    def words_where(self, clause: str) -> pd.DataFrame:
        """source, word of the words that meet a condition over `words`. Raises GroupError."""
        return clauses.words(self._database, clause)

    # The losses themselves, for other tools.

    def frame(self, group: str = "true", checkpoints: Sequence[int] | None = None) -> pd.DataFrame:
        """The group's losses as a long frame: one row per checkpoint and token.

        Returns checkpoint, row, doc, position, token_id, token_str, is_word_start, source, loss
        (nats); texts are categories. Raises QueryError for a frame larger than 1 GB and for a
        checkpoint that is not in the store, GroupError.
        """
        return export.frame(self, group, checkpoints)

    def to_xarray(self, group: str = "true") -> "Dataset":
        """The group's losses as an xarray Dataset: `loss` (token, checkpoint) in nats.

        Its coordinates are the checkpoints and columns of the tokens. Raises QueryError for an
        array larger than 1 GB, and without the package xarray; GroupError.
        """
        return export.to_xarray(self, group)

    # What groups are made of, and what else is known of tokens and checkpoints.

    @property
    def steps(self) -> list[int]:
        """The scored checkpoints, increasing."""
        return list(self.files.losses)

    @property
    def measures(self) -> list[MeasureName]:
        """The values of `measure` that this store has: only "loss" without predictions."""
        has = bool(self.files.predictions)
        unavailable = self.manifest.unavailable
        return [
            m.name
            for m in MEASURES.values()
            if not m.is_predicted or (has and m.name not in unavailable)
        ]

    def steps_of(self, measure: MeasureName) -> list[int]:
        """The checkpoints that have this measure: perhaps not all have predictions.

        Raises QueryError if the store has no predictions, and for an unknown measure.
        """
        if not measure_of(measure).is_predicted:
            return self.steps
        if why := self.manifest.unavailable.get(measure):
            raise QueryError(f"this store has no {measure}: {why}")
        if not self.files.predictions:
            raise QueryError(NO_PREDICTIONS)
        return list(self.files.predictions)

    def predicted(self, row: int, checkpoints: Iterable[int] | None = None) -> pd.DataFrame:
        """What the model predicted in the place of one token, at all or some checkpoints.

        Returns checkpoint, probability (of the actual token, 0 to 1), rank, entropy (nats), top_id,
        top_str, top_probability; one row for each of the checkpoints that has predictions, in
        order. Raises QueryError for an unknown row, and if the store has no predictions.
        """
        steps = self.steps_of("rank")
        if not 0 <= row < self.manifest.n_tokens:
            raise QueryError(
                f"there is no token {row}: rows are numbered from 0 to "
                f"{self.manifest.n_tokens - 1:,}"
            )
        self.wait_for_losses()
        wanted = set(steps if checkpoints is None else checkpoints)
        files = [literal(self.files.predictions[c].absolute()) for c in steps if c in wanted]
        if not files:
            files, row = [literal(self.files.predictions[steps[0]].absolute())], -1
        values = {"files": files, "row": row}
        frame = self._database.frame(sql.read("text/predicted"), values)
        losses = [self.matrix.column(c)[row] for c in frame["checkpoint"]]
        frame.insert(1, "probability", np.exp(-np.array(losses, dtype=np.float64)))
        return frame

    @property
    def checkpoints(self) -> pd.DataFrame:
        """checkpoints.parquet: one row per checkpoint, with its error if it failed."""
        return self._database.frame("select * from checkpoints order by checkpoint")

    @property
    def probes(self) -> pd.DataFrame | None:
        """The results of `ingest run --probes`: checkpoint, probe, layer, head, value; or None.

        Probes are loss_first, loss_second (nats) and, for each head, prefix_matching (0 to 1).
        """
        return self._database.probes(self.steps)

    @cached_property
    def facts(self) -> pd.DataFrame:
        """row, doc, position, token_id, token_str, word, source of each token, by row."""
        return cast(pd.DataFrame, self._database.table(sql.read("engine/token_facts")).to_pandas())

    @property
    def token_table(self) -> pa.Table:
        """All columns of `tokens`, by row."""
        return self._database.table(sql.read("engine/token_table"))

    @cached_property
    def token_ids(self) -> np.ndarray:
        """Token type of each row, int64 (tokens,)."""
        return self.facts["token_id"].to_numpy(np.int64)

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
        """The columns of `tokens`, which clauses can use."""
        return clauses.token_columns(self._database)

    @property
    def named_groups(self) -> dict[str, NamedGroup]:
        """Shared named groups and the store's own, read from their files."""
        return self.groups.all()

    def evaluate(self, expression: str) -> pd.Series:
        """Each token's value of an SQL expression over `tokens`, by row. Raises GroupError."""
        values = clauses.evaluate(self._database, Expression(expression))
        return pd.Series(values.to_pandas())

    def context(self, rows: Iterable[int], before: int = 60, after: int = 30) -> pd.DataFrame:
        """Tokens in their text: row, doc, position, token_str, source, before, token, after.

        `before` and `after` count characters; in order of row.
        """
        values = {"rows": [int(r) for r in rows], "before": before, "after": after}
        return self._database.frame(sql.read("text/context"), values)

    def trajectory(self, rows: np.ndarray) -> pd.DataFrame:
        """`trajectories` of the tokens `rows`, int64 (n,) increasing, without token_group."""
        return self._trajectory(self._summation.group(rows))

    def suggested_regions(self) -> tuple[Region, Region | None]:
        """The largest rise of the mean loss over all tokens, and the recovery from it, if any.

        The recovery begins one checkpoint after the rise ends.
        """
        losses = self._summation.everything.mean
        rise = changes.largest_rise(self.steps, losses)
        return rise, changes.recovery(self.steps, losses, rise)

    @property
    def functions(self) -> list[str]:
        """Names of the functions that groups can use in addition to DuckDB's."""
        return self._functions.names

    @property
    def functions_changed(self) -> bool:
        """Whether a file of functions was modified after it was loaded."""
        return self._functions.changed

    def reload_functions(self) -> list[str]:
        """Load the files of functions again, for all queries that begin afterwards.

        Returns `functions`. Raises StoreError and keeps the old ones if a file is unusable.
        """
        self._functions.load()
        self._clear_sums()
        return self.functions

    # The loss matrix, and sums over it.

    @property
    def matrix(self) -> LossMatrix:
        """The loss matrix; built at first use if the index is missing or stale."""
        self.wait_for_losses()
        with self._lock:
            return self._matrix

    def wait_for_losses(self) -> None:
        """Of a store at a URL: wait until its losses are downloaded, in the background since it
        was opened. The store's `progress` is called meanwhile. Raises StoreError."""
        if self._copy and not self._copy.is_complete:
            self._copy.wait(self._progress)

    def matrix_of(self, measure: MeasureName, *checkpoints: int) -> LossMatrix:
        """The matrix of a measure, built at first use; the same as `matrix` for the loss.

        It has the columns `steps_of(measure)`. Raises QueryError as that does, and if a checkpoint
        of `checkpoints` is in the store but has no predictions.
        """
        self._refuse_unpredicted(measure, *checkpoints)
        if measure == "loss":
            return self.matrix
        steps = self.steps_of(measure)
        self.wait_for_losses()
        with self._lock:
            if measure not in self._measured:
                files = {c: self.files.predictions[c] for c in steps}
                n_tokens, kind = self.manifest.n_tokens, measure_of(measure)
                self._measured[measure] = open_matrix(
                    self._layout.index, files, n_tokens, self._progress, kind
                )
            return self._measured[measure]

    def _refuse_unpredicted(self, measure: MeasureName, *checkpoints: int) -> None:
        steps = self.steps_of(measure)
        for checkpoint in checkpoints:
            if checkpoint in self.files.losses and checkpoint not in steps:
                near = sorted(sorted(steps, key=lambda c: abs(c - checkpoint))[:2])
                names = " and ".join(f"{c:,}" for c in near)
                raise QueryError(
                    f"checkpoint {checkpoint:,} has losses but no predictions: the nearest with "
                    f"predictions are {names}"
                )

    @cached_property
    def _matrix(self) -> LossMatrix:
        files = self.files.losses
        return open_matrix(self._layout.index, files, self.manifest.n_tokens, self._progress)

    @cached_property
    def _summation(self) -> Engine:
        if self.engine == "spark":
            self.wait_for_losses()
            return SparkSummation(self.files.losses, self.source_of_row)
        return Summation(self.matrix, self.source_of_row)

    def _sums(
        self,
        first: str,
        second: str,
        smooth: float | None = None,
        measure: MeasureName = "loss",
    ) -> tuple[GroupSums, GroupSums]:
        steps = np.array(self.steps_of(measure))
        cache = self._cache_of(measure)
        one, two = cache.pair(self.groups.resolve(first), self.groups.resolve(second))
        return smoothed(one, steps, smooth), smoothed(two, steps, smooth)

    def _cache_of(self, measure: MeasureName) -> GroupSumsCache:
        if measure == "loss":
            return self._sums_cache
        if self.engine == "spark":
            raise QueryError("the engine spark computes losses only: open the store without it")
        with self._lock:
            if measure not in self._measured_sums:
                self._measured_sums[measure] = GroupSumsCache(
                    self._nonempty_members, self._summation_of(measure)
                )
            return self._measured_sums[measure]

    def _summation_of(self, measure: MeasureName) -> Callable[[], Engine]:
        """A function that gives one engine, whose sum over all tokens is computed once."""
        return cache(lambda: Summation(self.matrix_of(measure), self.source_of_row))

    def _clear_sums(self) -> None:
        for sums in (self._sums_cache, *self._measured_sums.values()):
            sums.clear()

    def _trajectory(
        self, sums: GroupSums, method: Method = "cv3", measure: MeasureName = "loss"
    ) -> pd.DataFrame:
        steps, name = np.array(self.steps_of(measure)), measure_of(measure).mean
        frame = bands.mean_band(sums, method).frame(steps, name)
        if measure == "accuracy":
            frame[["low", "high"]] = frame[["low", "high"]].clip(0, 1)  # no share is beyond
        frame.insert(4, "n_tokens", sums.n_tokens)
        frame.insert(5, "n_docs", sums.n_docs)
        return frame

    def _nonempty_members(self, clause: Expression) -> np.ndarray:
        rows = clauses.members(self._database, clause)
        if not len(rows):
            unknown = clauses.mentioned(clause, self.manifest.unavailable)
            reasons = "".join(f"; {name} is NULL because {why}" for name, why in unknown.items())
            raise GroupError(
                f"{clause.label} selects none of the {self.manifest.n_tokens:,} tokens: widen it, "
                f"or look at some tokens with select * from tokens limit 10{reasons}"
            )
        return rows

    # catalog.duckdb.

    def make_catalog(self) -> pd.DataFrame:
        """Rebuild catalog.duckdb; returns name, kind. Raises QueryError if it cannot be written."""
        return build.make(self._layout, self._database, self.named_groups.values())

    def _features_changed(self) -> None:
        self._clear_sums()
        self._refresh_catalog()

    def _refresh_catalog(self) -> None:
        build.refresh(self._layout, self._database, lambda: self.named_groups.values())


class StoreFiles:
    """A store's files as they were when it was opened."""

    def __init__(self, layout: Layout, keys: Mapping[str, str] | None = None) -> None:
        """`keys` are those of the remote files of which the store is a copy (see RemoteCopy)."""
        self._layout, self._keys = layout, sorted((keys or {}).items())
        self.losses = layout.scored()
        """Checkpoint -> loss file, increasing."""
        found = layout.predicted()
        self.predictions = {c: found[c] for c in self.losses if c in found}
        """Checkpoint -> file of predictions, increasing; perhaps of some checkpoints only."""
        self._stamps = self._read_stamps()
        self.stamp = hashlib.sha256(repr((self._stamps, self._keys)).encode()).hexdigest()
        """Differs between two states of a store."""

    def state(self) -> State:
        """Compare with the disk: "new checkpoints" were added, or a known file was "replaced"."""
        if self._read_stamps() != self._stamps:
            return "replaced"
        found = self._layout.scored()
        new = [path for step, path in found.items() if step not in self.losses]
        return "new checkpoints" if new and self._are_listed(new) else "same"

    @property
    def last_scored(self) -> float:
        """When the last checkpoint's losses were written, in seconds since 1970."""
        stamp = _stamp(next(reversed(self.losses.values())))
        return stamp[1] / 1e9 if stamp else 0.0

    def _are_listed(self, new: list[Path]) -> bool:
        """A loss file gets its row in checkpoints.parquet just after it was written."""
        newest = max((stamp[1] for stamp in map(_stamp, new) if stamp), default=0)
        listed = _stamp(self._layout.checkpoints)
        return (listed is not None and listed[1] >= newest) or time.time_ns() - newest > _UNLISTED

    def _read_stamps(self) -> list[tuple[int, int] | None]:
        """Of the files that are written once: the text's files and the checkpoints' known ones.

        Of a copy, the latter are still being downloaded: the keys of the remote files stand for
        them.
        """
        text = [self._layout.manifest, self._layout.docs, self._layout.tokens]
        scored = () if self._keys else (*self.losses.values(), *self.predictions.values())
        return [_stamp(path) for path in (*text, *scored)]


def _needs_losses(query: str) -> bool:
    """Does the query name a relation or macro over the losses or predictions?

    A group that calls loss_at waits for them by itself.
    """
    return not _OF_LOSSES.isdisjoint(re.findall(r"\w+", query.lower()))


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size in bytes and mtime in ns; None if the file does not exist."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def _open_tables(
    layout: Layout, manifest: Manifest, files: StoreFiles
) -> tuple[Database, StoredFeatures]:
    """The database, not yet locked, and the features in it. Raises StoreError."""
    with _readable(layout):
        features = read_features(layout, manifest)
        scored = (list(files.losses.values()), list(files.predictions.values()))
        return Database(layout, *scored, features.table), features


@contextmanager
def _readable(layout: Layout) -> Iterator[None]:
    """Errors of reading the store's files become StoreError."""
    try:
        yield
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        message = " ".join(str(error).partition("\n\nLINE ")[0].split())
        raise StoreError(
            f"{layout.root} cannot be opened: {message}; "
            f"`python -m ingest verify {layout.root}` says more"
        ) from error

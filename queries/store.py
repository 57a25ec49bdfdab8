"""`Store`: one model's training run scored on one text, and the questions it answers."""

import threading
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from queries import catalog, regions, sql, statistics
from queries import zoom as zooming
from queries.clauses import check_clause, explain
from queries.database import Database
from queries.errors import GroupError, StoreError
from queries.functions import register_functions
from queries.groups import SHARED, NamedGroup, read_groups
from queries.matrix import LossMatrix, Progress, open_matrix
from queries.regions import Region
from queries.sums import GroupSums, Summation
from queries.zoom import Zoom
from store.layout import Layout
from store.manifest import ManifestError, read_manifest

KEPT_GROUPS = 8  # up to 25 MB each where there are 5,000 source documents


class Store:
    """Open a store to read. Safe to use from several threads: each query has its own cursor.

    It answers for the checkpoints whose loss files existed at opening. Groups are WHERE clauses
    over `tokens` or names of named groups. Raises StoreError where there is no usable store.
    """

    def __init__(
        self,
        path: str | Path,
        functions: str | Path | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.path = Path(path)
        self._layout = Layout(self.path.absolute())  # the working directory may change
        self._progress = progress
        self._lock = threading.Lock()
        try:
            self.manifest = read_manifest(self._layout.manifest)
        except ManifestError as error:
            raise StoreError(str(error)) from error
        self._files = self._layout.scored()
        if not self._files:
            raise StoreError(f"{path} has no scored checkpoint yet: run `python -m ingest run`")
        try:
            self._database = Database(self._layout, list(self._files.values()))
        except duckdb.Error as error:
            raise StoreError(f"{path} cannot be opened: {error}; see `ingest verify`") from error
        named = Path(functions) if functions else None
        self.functions = register_functions(self._database, lambda: self.matrix, named)
        self._database.lock(self.path)
        # Kept because a difference mostly follows the trajectories of the same two groups.
        self._sums_of = lru_cache(maxsize=KEPT_GROUPS)(self._sums_of_clause)

        catalog.refresh(self._layout, self._database, lambda: self.named_groups.values())

    def make_catalog(self) -> pd.DataFrame:
        """Make catalog.duckdb again; returns name, kind of each view and macro in it.

        Opening a store makes it where it is missing or not up to date, if that can be written.
        Raises QueryError where it cannot.
        """
        return catalog.make(self._layout, self._database, self.named_groups.values())

    @cached_property
    def _facts(self) -> pd.DataFrame:
        return self._database.frame(sql.read("token_facts"))

    @cached_property
    def _summation(self) -> Summation:
        return Summation(self.matrix, pd.factorize(self._facts["source"])[0])

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
    def steps(self) -> list[int]:
        """The scored checkpoints, increasing."""
        return list(self._files)

    @property
    def has_new_checkpoints(self) -> bool:
        """Were checkpoints scored since this store was opened?"""
        return self._layout.scored().keys() != self._files.keys()

    @property
    def named_groups(self) -> dict[str, NamedGroup]:
        """Shared named groups and the store's own, read afresh."""
        return read_groups(SHARED, self._layout.groups)

    def clause(self, group: str) -> str:
        """The WHERE expression of a named group, or `group` itself where it is no name."""
        named = self.named_groups.get(group.strip())
        return named.clause if named else group

    def members(self, group: str) -> np.ndarray:
        """Rows of the group's tokens, int64, increasing; may be empty. Raises GroupError."""
        clause = self.clause(group)
        check_clause(self._database, clause)
        try:
            rows = self._database.column(sql.read("members").replace("{clause}", clause))
        except duckdb.Error as error:
            raise explain(self._database, clause, error) from error
        return np.sort(rows.astype(np.int64), kind="stable")

    def trajectories(self, groups: Mapping[str, str]) -> pd.DataFrame:
        """Mean loss of each group (name -> clause) at each checkpoint, with a 95 % band.

        Returns checkpoint, token_group, mean_loss, low, high (nats), n_tokens, n_docs (source
        documents). Raises GroupError for a clause that is none or that selects no token.
        """
        return pd.concat([self._trajectory(n, g) for n, g in groups.items()], ignore_index=True)

    def difference(self, first: str, second: str) -> pd.DataFrame:
        """Mean loss of the first group minus the second's, paired by source document.

        Returns checkpoint, difference, low, high (nats). Raises GroupError.
        """
        band = statistics.difference_band(self._sums(first), self._sums(second))
        columns = {"difference": band.estimate, "low": band.low, "high": band.high}
        return pd.DataFrame({"checkpoint": self.matrix.checkpoints, **columns})

    def zoom(self, first: int, last: int, where: str = "true", k: int = 50, seed: int = 0) -> Zoom:
        """How the group's tokens changed from checkpoint `first` to `last`; see `Zoom`.

        Raises GroupError for the group, QueryError for the region.
        """
        facts = self._facts.iloc[self._some_members(where)]
        return zooming.zoom(self.matrix, facts, (first, last), k, seed)

    def overlap(
        self,
        first_region: tuple[int, int],
        second_region: tuple[int, int],
        where: str = "true",
        k: int = 50,
    ) -> pd.DataFrame:
        """Shared tokens of the k most changed in two regions; see `queries.zoom.overlap`."""
        facts = self._facts.iloc[self._some_members(where)]
        changes = [
            zooming.region_changes(self.matrix, facts, region)
            for region in (first_region, second_region)
        ]
        return zooming.overlap(changes[0], changes[1], k)

    def suggested_regions(self) -> tuple[Region, Region]:
        """The largest rise of the mean loss over all tokens, and the recovery from it."""
        losses = self._sums("true").mean
        rise = regions.largest_rise(self.steps, losses)
        return rise, regions.recovery(self.steps, losses, rise)

    def context(self, rows: Iterable[int], before: int = 60, after: int = 30) -> pd.DataFrame:
        """Tokens in their text: row, doc, position, token_str, source, before, token, after.

        `before` and `after` count characters; lines are in order of row.
        """
        values = {"rows": [int(r) for r in rows], "before": before, "after": after}
        return self._database.frame(sql.read("context"), values)

    def sql(self, query: str) -> pd.DataFrame:
        """Any one SELECT over losses, tokens, docs, checkpoints. Raises QueryError."""
        return self._database.select(query)

    def _trajectory(self, name: str, group: str) -> pd.DataFrame:
        sums = self._sums(group)
        band = statistics.mean_band(sums)
        return pd.DataFrame(
            {
                "checkpoint": self.matrix.checkpoints,
                "token_group": name,
                "mean_loss": band.estimate,
                "low": band.low,
                "high": band.high,
                "n_tokens": sums.n_tokens,
                "n_docs": sums.n_docs,
            }
        )

    def _sums(self, group: str) -> GroupSums:
        return self._sums_of(self.clause(group))

    def _sums_of_clause(self, clause: str) -> GroupSums:
        return self._summation.group(self._some_members(clause))

    def _some_members(self, group: str) -> np.ndarray:
        rows = self.members(group)
        if not len(rows):
            raise GroupError(
                f"`{group}` selects none of the {self.manifest.n_tokens:,} tokens: widen it, or "
                "look at what there is with select * from tokens limit 10"
            )
        return rows

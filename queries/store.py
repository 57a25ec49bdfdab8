"""`Store`: one model's training run scored on one text, and the questions it answers."""

import threading
from collections.abc import Iterable, Mapping
from functools import cached_property, lru_cache
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from queries import clauses, regions, sql, statistics
from queries import zoom as zooming
from queries.database import Database
from queries.errors import GroupError, StoreError
from queries.functions import Functions
from queries.groups import (
    SHARED,
    NamedGroup,
    delete_group,
    read_groups,
    rename_group,
    save_group,
    taken,
)
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
        self._functions = Functions(self._database, lambda: self.matrix, named)
        self._database.lock(self.path)
        # Kept because a difference mostly follows the trajectories of the same two groups.
        self._sums_of = lru_cache(maxsize=KEPT_GROUPS)(self._sums_of_clause)

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
        self._sums_of.cache_clear()
        return self.functions

    @property
    def named_groups(self) -> dict[str, NamedGroup]:
        """Shared named groups and the store's own, read afresh."""
        return read_groups(SHARED, self._layout.groups)

    def clause(self, group: str) -> str:
        """The WHERE expression of a named group, or `group` itself where it is no name."""
        named = self.named_groups.get(group.strip())
        return named.clause if named else group

    def save_group(
        self,
        name: str,
        clause: str,
        title: str = "",
        description: str = "",
        *,
        shared: bool = False,
        overwrite: bool = False,
    ) -> NamedGroup:
        """Keep a clause, or another group's, as a named group of this store, or shared by all.

        Raises GroupError for a clause that is none, a name that is none, that is a column's or
        that is taken (unless `overwrite`), and where the folder cannot be written.
        """
        group = NamedGroup(name, title, description, self.clause(clause))
        clauses.check_clause(self._database, group.clause)
        self._refuse_group_name(name, overwrite)
        return save_group(self._groups_folder(shared), group, overwrite)

    def rename_group(
        self, name: str, new_name: str, *, shared: bool = False, overwrite: bool = False
    ) -> NamedGroup:
        """Give one of the store's own groups, or a shared one, another name. Raises GroupError."""
        self._refuse_group_name(new_name, overwrite)
        return rename_group(self._groups_folder(shared), name, new_name, overwrite)

    def delete_group(self, name: str, *, shared: bool = False) -> None:
        """Delete one of the store's own groups, or a shared one. Raises GroupError."""
        delete_group(self._groups_folder(shared), name)

    def _refuse_group_name(self, name: str, overwrite: bool) -> None:
        """A group would hide the column of its name, and its namesake in the other folder."""
        if name in clauses.token_columns(self._database):
            raise GroupError(f"{name} cannot name a group: it is a column of tokens")
        if name in self.named_groups and not overwrite:
            raise GroupError(taken(name))

    def _groups_folder(self, shared: bool) -> Path:
        return SHARED if shared else self._layout.groups

    def members(self, group: str) -> np.ndarray:
        """Rows of the group's tokens, int64, increasing; may be empty. Raises GroupError."""
        return clauses.members(self._database, self.clause(group))

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

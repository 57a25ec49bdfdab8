"""Two groups over training: their sums, the band of their difference, where that moves fastest."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import stats

from queries import statistics
from queries.errors import QueryError
from queries.event_list import find_events
from queries.regions import Region
from queries.report.nouns import Asked
from queries.simultaneous import everywhere_band
from queries.statistics import LEVEL, Band
from queries.store import Store
from queries.sums import GroupSums, Summation


@dataclass(frozen=True)
class Group:
    """A group by name, its WHERE clause, and its sums; None where it selects no token."""

    name: str
    clause: str
    sums: GroupSums | None

    @property
    def asked(self) -> Asked:
        sums = self.sums
        return Asked(
            self.name, self.clause, sums.n_tokens if sums else 0, sums.n_docs if sums else 0
        )


@dataclass(frozen=True)
class Pair:
    """Two groups that have tokens, at the checkpoints `steps`, int64; second: the baseline."""

    steps: np.ndarray
    first: Group
    second: Group

    @cached_property
    def _sums(self) -> tuple[GroupSums, GroupSums]:
        assert self.first.sums and self.second.sums
        return self.first.sums, self.second.sums

    @property
    def n_docs(self) -> int:
        """Source documents of the group that is in fewer."""
        return min(sums.n_docs for sums in self._sums)

    @cached_property
    def band(self) -> Band:
        """First mean minus second; 95 % for each checkpoint by itself."""
        return statistics.difference_band(*self._sums)

    @cached_property
    def everywhere(self) -> Band:
        """The same; 95 % for all checkpoints at once."""
        return everywhere_band(*self._sums)

    def means(self) -> pd.DataFrame:
        """checkpoint, token_group, mean_loss, low, high, n_tokens, n_docs."""
        frames = []
        for group, sums in zip((self.first, self.second), self._sums, strict=True):
            frame = statistics.mean_band(sums).frame(self.steps, "mean_loss")
            frame.insert(1, "token_group", group.name)
            frames.append(frame.assign(n_tokens=sums.n_tokens, n_docs=sums.n_docs))
        return pd.concat(frames, ignore_index=True)

    def differences(self) -> pd.DataFrame:
        """checkpoint, difference, low, high, everywhere_low, everywhere_high (nats)."""
        frame = self.band.frame(self.steps, "difference")
        wide = {"everywhere_low": self.everywhere.low, "everywhere_high": self.everywhere.high}
        return frame.assign(**wide)

    def changes(self, region: Region) -> tuple[np.ndarray, ...]:
        """(change, low, high) in the region of the first, the second and the difference (nats).

        Last mean minus first; 95 % over source documents for that one region.
        """
        at = [int(np.searchsorted(self.steps, end)) for end in region]
        one, two = self._sums
        return (
            _change([one], at),
            _change([two], at),
            _change([one, two], at),
        )

    @cached_property
    def fastest(self) -> Region | None:
        """Steps in which the first gains fastest on the second; None where none stands out."""
        try:
            found = find_events(self.steps, self.band.estimate)
        except QueryError:
            return None
        falls = found[found["kind"] == "fastest_fall"]
        if falls.empty or falls["first"].iloc[0] >= falls["last"].iloc[0]:
            return None
        return int(falls["first"].iloc[0]), int(falls["last"].iloc[0])


@dataclass(frozen=True)
class Reader:
    """Reads groups of a store."""

    store: Store
    summing: Summation

    def group(self, name: str, clause: str) -> Group:
        """The group's sums. Raises GroupError for a clause that is none."""
        rows = self.store.members(clause)
        clause = self.store.groups.clause(clause)
        return Group(name, clause, self.summing.group(rows) if len(rows) else None)

    def pair(self, first: Group, second: Group) -> Pair | None:
        """Both, where both have tokens."""
        steps = np.array(self.store.steps)
        return Pair(steps, first, second) if first.sums and second.sums else None


def reader(store: Store) -> Reader:
    """A reader whose groups share one pass over all tokens."""
    return Reader(store, Summation(store.matrix, store.source_of_row))


def _change(groups: list[GroupSums], at: list[int]) -> np.ndarray:
    first, last = at
    signs = (1, -1)
    mean = sum(s * (g.mean[last] - g.mean[first]) for s, g in zip(signs, groups, strict=False))
    moved = sum(
        s * (g.influence[:, last] - g.influence[:, first])
        for s, g in zip(signs, groups, strict=False)
    )
    n = int(np.any([g.counts > 0 for g in groups], axis=0).sum())
    if min(g.n_docs for g in groups) < 2:
        return np.array([mean, np.nan, np.nan])
    error = np.sqrt(n / (n - 1) * np.sum(moved**2))
    reach = stats.t.ppf((1 + LEVEL) / 2, n - 1) * error
    return np.array([mean, mean - reach, mean + reach])

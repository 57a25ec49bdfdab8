"""Means over token groups with bands that treat source documents as the sampled unit.

Tokens of one document are not independent, so the standard error is cluster-robust (Liang and
Zeger 1986, Biometrika 73:13; for a mean, Cameron and Miller 2015, J. Human Resources 50:317,
section II), with the factor S / (S - 1) and a t quantile with S - 1 degrees of freedom.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from queries.matrix import LossMatrix

LEVEL = 0.95
_CHUNK = 65_536


@dataclass(frozen=True)
class GroupSums:
    """One group's losses summed within each source document: all that means and bands need."""

    counts: np.ndarray
    """Member tokens by source, int64 (sources,)."""
    sums: np.ndarray
    """Summed losses in nats, float64 (sources, checkpoints)."""

    @property
    def n_tokens(self) -> int:
        return int(self.counts.sum())

    @property
    def n_docs(self) -> int:
        """Source documents with at least one member."""
        return int((self.counts > 0).sum())

    @property
    def mean(self) -> np.ndarray:
        """Mean loss over all member tokens, float64 (checkpoints,)."""
        mean: np.ndarray = self.sums.sum(axis=0) / self.n_tokens
        return mean

    @property
    def influence(self) -> np.ndarray:
        """What each source adds to the mean's error: its summed residuals / n; as `sums`."""
        residuals: np.ndarray = self.sums - self.counts[:, None] * self.mean
        return residuals / self.n_tokens


@dataclass(frozen=True)
class Band:
    """An estimate and its 95 % interval, float64 (checkpoints,); NaN where there is no band."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


def sum_group(matrix: LossMatrix, members: np.ndarray, source_of_row: np.ndarray) -> GroupSums:
    """Sum the members' losses by source document.

    `members` int64 (n,) increasing rows; `source_of_row` int64 (tokens,), counting from 0.
    """
    n_sources = int(source_of_row.max()) + 1
    sums = np.zeros((n_sources, len(matrix.checkpoints)))
    for start in range(0, len(members), _CHUNK):
        rows = members[start : start + _CHUNK]
        sources = source_of_row[rows]
        runs = np.flatnonzero(np.diff(sources, prepend=-1))
        at = 0
        for block in matrix.blocks:
            width = block.shape[1]
            of_runs = np.add.reduceat(block[rows], runs, axis=0, dtype=np.float64)
            np.add.at(sums[:, at : at + width], sources[runs], of_runs)
            at += width
    counts = np.bincount(source_of_row[members], minlength=n_sources)
    return GroupSums(counts, sums)


def mean_band(group: GroupSums) -> Band:
    """A group's mean loss; Var = S/(S-1) * sum over sources of (summed residuals / n)^2."""
    return _band(group.mean, group.influence, group.counts > 0)


def difference_band(first: GroupSums, second: GroupSums) -> Band:
    """First mean minus second, paired by source: the two influences subtract before squaring."""
    estimate = first.mean - second.mean
    influence = first.influence - second.influence
    return _band(estimate, influence, (first.counts > 0) | (second.counts > 0))


def _band(estimate: np.ndarray, influence: np.ndarray, present: np.ndarray) -> Band:
    n_sources = int(present.sum())
    if n_sources < 2:
        nothing = np.full_like(estimate, np.nan)
        return Band(estimate, nothing, nothing)
    variance = n_sources / (n_sources - 1) * (influence**2).sum(axis=0)
    reach = stats.t.ppf((1 + LEVEL) / 2, n_sources - 1) * np.sqrt(variance)
    return Band(estimate, estimate - reach, estimate + reach)

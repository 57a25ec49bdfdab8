"""Means over token groups with bands that treat source documents as the sampled unit.

Tokens of one document are not independent, so the standard error is cluster-robust (Liang and
Zeger 1986, Biometrika 73:13; for a mean, Cameron and Miller 2015, J. Human Resources 50:317,
section II), with the factor S / (S - 1) and a t quantile with S - 1 degrees of freedom. Functions
of means have the influences that the delta method gives (van der Vaart 1998, Asymptotic Statistics,
chapter 3; for ratios Cochran 1977, Sampling Techniques, chapter 6).

Such bands cover the truth in about 94 % of simulated stores; in 90 to 93 % if a few documents hold
most of the group's tokens (tests/queries/stats/test_coverage.py).
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from queries.engine.sums import GroupSums

LEVEL = 0.95


@dataclass(frozen=True)
class Band:
    """An estimate and its 95 % interval, float64 (checkpoints,); NaN if there is no band."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def frame(self, checkpoints: np.ndarray, name: str) -> pd.DataFrame:
        """Columns checkpoint, `name` (the estimate), low, high."""
        columns = {name: self.estimate, "low": self.low, "high": self.high}
        return pd.DataFrame({"checkpoint": checkpoints, **columns})


def mean_band(group: GroupSums) -> Band:
    """A group's mean loss; Var = S/(S-1) * sum over sources of (summed residuals / n)^2."""
    return band(group.mean, group.influence, group.n_docs)


def difference_band(first: GroupSums, second: GroupSums) -> Band:
    """First mean minus second, paired by source: the two influences subtract before squaring.

    No band if either group is in a single source: its mean would count as known exactly.
    """
    influence = first.influence - second.influence
    return band(first.mean - second.mean, influence, _n_paired(first, second))


def ratio_band(first: GroupSums, second: GroupSums) -> Band:
    """First mean over second, paired by source; d(a / b) = (da - (a / b) db) / b.

    No band if either group is in a single source; NaN if the second mean is 0.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        over = np.where(second.mean == 0, np.nan, 1 / second.mean)
        ratio = first.mean * over
        influence = (first.influence - ratio * second.influence) * over
    return band(ratio, influence, _n_paired(first, second))


def change_band(group: GroupSums, since: int) -> Band:
    """A group's mean minus its mean at the checkpoint in column `since`, token by token."""
    mean, influence = group.mean, group.influence
    change = mean - mean[since]
    return band(change, influence - influence[:, [since]], group.n_docs)


def _n_paired(first: GroupSums, second: GroupSums) -> int:
    """Sources with a token in either group; 0, for no band, if a group is in a single source."""
    if min(first.n_docs, second.n_docs) < 2:
        return 0
    return int(((first.counts > 0) | (second.counts > 0)).sum())


def band(estimate: np.ndarray, influence: np.ndarray, n_sources: int) -> Band:
    """The band of an estimate with `influence` of each source, float64 (sources, checkpoints)."""
    if n_sources < 2:
        nothing = np.full_like(estimate, np.nan)
        return Band(estimate, nothing, nothing)
    variance = n_sources / (n_sources - 1) * (influence**2).sum(axis=0)
    reach = stats.t.ppf((1 + LEVEL) / 2, n_sources - 1) * np.sqrt(variance)
    return Band(estimate, estimate - reach, estimate + reach)

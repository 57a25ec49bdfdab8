"""Means over token groups with bands that treat source documents as the sampled unit.

Tokens of one document are not independent, so the standard error is cluster-robust (Liang and
Zeger 1986, Biometrika 73:13; for a mean, Cameron and Miller 2015, J. Human Resources 50:317,
section II), with the factor S / (S - 1) and a t quantile with S - 1 degrees of freedom.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from queries.sums import GroupSums

LEVEL = 0.95


@dataclass(frozen=True)
class Band:
    """An estimate and its 95 % interval, float64 (checkpoints,); NaN where there is no band."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray


def mean_band(group: GroupSums) -> Band:
    """A group's mean loss; Var = S/(S-1) * sum over sources of (summed residuals / n)^2."""
    return _band(group.mean, group.influence, group.n_docs)


def difference_band(first: GroupSums, second: GroupSums) -> Band:
    """First mean minus second, paired by source: the two influences subtract before squaring.

    No band where either group is in one source: its mean, with nothing to compare it to, would
    count as known exactly.
    """
    estimate = first.mean - second.mean
    influence = first.influence - second.influence
    n_sources = int(((first.counts > 0) | (second.counts > 0)).sum())
    alone = min(first.n_docs, second.n_docs) < 2
    return _band(estimate, influence, 0 if alone else n_sources)


def _band(estimate: np.ndarray, influence: np.ndarray, n_sources: int) -> Band:
    if n_sources < 2:
        nothing = np.full_like(estimate, np.nan)
        return Band(estimate, nothing, nothing)
    variance = n_sources / (n_sources - 1) * (influence**2).sum(axis=0)
    reach = stats.t.ppf((1 + LEVEL) / 2, n_sources - 1) * np.sqrt(variance)
    return Band(estimate, estimate - reach, estimate + reach)

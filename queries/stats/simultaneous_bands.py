"""Simultaneous bands: of a difference, valid at all checkpoints together.

A 95 % band for each step misses somewhere in most runs of a hundred steps. Here the interval is
widened until, for 95 of 100 texts, the whole true trajectory lies in it: its half-width is c times
the standard error, where c is the 95 % quantile of the largest |t| of any checkpoint (a sup-t band:
Montiel Olea and Plagborg-Møller 2019, J. Applied Econometrics 34:1). That largest |t| is simulated
by changing the signs of whole source documents' residuals and estimating the mean and its standard
error again each time (wild cluster bootstrap-t with Rademacher weights: Cameron, Gelbach and Miller
2008, Review of Economics and Statistics 90:414). The standard error is that of the jackknife, which
leaves out one document at a time (CV3: MacKinnon, Nielsen and Webb 2023, J. Applied Econometrics
38:671), since a document that holds most of a group's tokens pulls the mean towards itself, so that
its residual is small.
"""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from queries.engine.sums import GroupSums
from queries.stats.bands import LEVEL, Band

FEWEST_DOCS = 6
"""Minimum number of documents: five have 16 sign changes, too few for a 95 % quantile."""
DRAWS = 1_999


def simultaneous_band(first: GroupSums, second: GroupSums, seed: int = 0) -> Band:
    """First mean minus second (nats), with a 95 % band for all checkpoints together.

    Paired by source document, as `bands.difference_band`. NaN, for no band, if either group is in
    fewer than 6 documents.
    """
    estimate = first.mean - second.mean
    if min(first.n_docs, second.n_docs) < FEWEST_DOCS:
        nothing = np.full_like(estimate, np.nan)
        return Band(estimate, nothing, nothing)
    either = (first.counts > 0) | (second.counts > 0)
    one, two = _of(first, either), _of(second, either)
    error = np.sqrt(_variance(one.left_out - two.left_out))
    reach = _critical(one, two, seed) * error
    return Band(estimate, estimate - reach, estimate + reach)


@dataclass(frozen=True)
class _Side:
    """One group in the documents that either group is in."""

    influence: np.ndarray
    """Summed residuals / tokens, float64 (sources, checkpoints)."""
    share: np.ndarray
    """Of the group's tokens, float64 (sources, 1)."""

    @property
    def left_out(self) -> np.ndarray:
        """The fall of the mean without each source, float64 (sources, checkpoints)."""
        left: np.ndarray = self.influence / (1 - self.share)
        return left


def _of(group: GroupSums, kept: np.ndarray) -> _Side:
    return _Side(group.influence[kept], group.counts[kept, None] / group.n_tokens)


def _variance(left_out: np.ndarray) -> np.ndarray:
    n = len(left_out)
    variance: np.ndarray = (n - 1) / n * (left_out**2).sum(axis=0)
    return variance


def _critical(one: _Side, two: _Side, seed: int) -> float:
    """The 95 % quantile over draws of the largest deviation of any checkpoint, in standard errors.

    Never below the t quantile of a single checkpoint.
    """
    n = len(one.share)
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), (DRAWS, n))
    a, b = signs @ one.left_out, signs @ two.left_out  # the drawn means
    h, k = one.share / (1 - one.share), two.share / (1 - two.share)
    stretched = one.left_out / (1 - one.share) - two.left_out / (1 - two.share)
    squares = (
        (stretched**2).sum(axis=0)
        + a**2 * (h**2).sum()
        + b**2 * (k**2).sum()
        - 2 * a * (signs @ (stretched * h))
        + 2 * b * (signs @ (stretched * k))
        - 2 * a * b * (h * k).sum()
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.abs(a - b) / np.sqrt((n - 1) / n * np.maximum(squares, 0))
    largest = np.nan_to_num(ratios, nan=0.0).max(axis=1)
    found = float(np.quantile(largest, LEVEL, method="higher"))
    return max(found, float(stats.t.ppf((1 + LEVEL) / 2, n - 1)))

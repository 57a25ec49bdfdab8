"""Matching on a loss without regression to the mean, and the band of a matched difference.

A token's loss at one checkpoint is partly noise. A group with high losses, matched on such a value,
gets controls whose noise is high; at other checkpoints that noise is gone, and a gap appears that
no learning made (regression to the mean: Campbell and Kenny 1999, A Primer on Regression
Artifacts). Two things prevent it here. A checkpoint is never compared by a match that it, or a
checkpoint near to it, is part of: what comes after the window that is matched on is matched by its
first three quarters; the quarters themselves by others, if losses are steady in the window. And
what is matched is not the measured average, but the token's true score as estimated from it, drawn
towards the mean of its own side by the measurement's reliability (Kelley 1947, Fundamentals of
Statistics).

What still differs within a stratum is removed by the controls' regression within strata
(bias-corrected matching: Abadie and Imbens 2011, J. Business & Economic Statistics 29:1).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from queries.engine.sums import GroupSums
from queries.errors import QueryError, too_few
from queries.stats.bands import Band, Side, effective, two_sided

FEWEST_COLUMNS = 4
"""Checkpoints to match on: one in each quarter of the window."""
SHORTEST = 12
"""Checkpoints of the window, if the run has twice as many."""
STEADY = 0.1
"""Standard deviations of the tokens' levels by which a side's mean may change in the window."""
FEWEST_CONTROLS = 5
"""In a stratum: the residuals of fewer are far smaller than their errors."""
_ROUNDING = 1e-9  # of features with standard deviation 1
_SOURCES = ([2, 3], [3], [0], [0, 1], [0, 1, 2])
"""By which quarters of the window each quarter, and all that comes after, is matched."""


@dataclass(frozen=True)
class Scores:
    """Estimates of each token's level of loss, and the columns that they may be compared at."""

    values: np.ndarray
    """Nats, float64 (tokens,)."""
    columns: np.ndarray
    """None of those that `values` were estimated from, int64 (n,)."""
    reliability: tuple[float, float]
    """In the group and in the others: the share of the estimates' variance that is no noise."""


def window(n: int) -> int:
    """How many of the first of n checkpoints make up the initial loss.

    A third, but at least 12 (or half of the run if that is shorter) and at least 4.
    """
    return min(n, max(FEWEST_COLUMNS, min(SHORTEST, n // 2), n // 3))


def quarters(n: int) -> list[np.ndarray]:
    """The four parts of the window of n checkpoints, int64 columns. Raises QueryError."""
    if window(n) < FEWEST_COLUMNS:
        raise QueryError(
            f"{too_few(n, 'checkpoint')} to separate a token's level of loss from its noise: at "
            f"least {FEWEST_COLUMNS} are needed"
        )
    return np.array_split(np.arange(window(n)), 4)


def true_scores(means: np.ndarray, in_group: np.ndarray, n: int) -> list[Scores]:
    """Each token's level over the first checkpoints, to match on at the n checkpoints.

    `means` nats, float64 (tokens, 4): each token's mean loss in each of the `quarters` of n;
    `in_group` bool (tokens,). What comes after the window is matched by its first three quarters.
    Each quarter is matched by those at least a quarter away, if the mean of either side is steady
    over the window; while a model still learns, no quarter is the level of another, and the
    window's checkpoints are in no `columns`. The true scores' variance is the mean covariance of
    quarters that far apart, by side, so noise may be autocorrelated if it does not last for a
    quarter of the window. Raises QueryError for fewer than four checkpoints.
    """
    sides = (in_group, ~in_group)
    level = [_level_variance(means[side]) for side in sides]
    after = np.arange(window(n), n)
    within = quarters(n) if _is_steady(means, sides) else [after[:0]] * 4
    return [
        _shrunk(means[:, sources].mean(axis=1), columns, sides, level)
        for columns, sources in zip((*within, after), _SOURCES, strict=True)
        if len(columns)
    ]


def _is_steady(means: np.ndarray, sides: tuple[np.ndarray, ...]) -> bool:
    spread = float(means.mean(axis=1).std())
    return all(float(np.ptp(means[side].mean(axis=0))) <= STEADY * spread for side in sides)


def _level_variance(means: np.ndarray) -> float:
    apart = ((0, 2), (0, 3), (1, 3))
    return float(np.mean([_covariance(means[:, a], means[:, b]) for a, b in apart]))


def _covariance(one: np.ndarray, two: np.ndarray) -> float:
    return float(((one - one.mean()) * (two - two.mean())).mean())


def _shrunk(
    measured: np.ndarray, columns: np.ndarray, sides: tuple[np.ndarray, ...], level: list[float]
) -> Scores:
    values, found = np.empty_like(measured), []
    for side, own_level in zip(sides, level, strict=True):
        own = measured[side]
        variance = float(own.var())
        reliability = min(max(own_level / variance, 0.0), 1.0) if variance > 0 else 1.0
        values[side] = own.mean() + reliability * (own - own.mean())
        found.append(reliability)
    return Scores(values, columns, (found[0], found[1]))


@dataclass(frozen=True)
class Strata:
    """Matched tokens and controls of n strata, numbered from 0; each has some of both."""

    n: int
    rows: np.ndarray
    """Of the group's tokens, int64 (tokens,)."""
    of_row: np.ndarray
    """Their strata."""
    controls: np.ndarray
    """Rows, int64 (controls,)."""
    of_control: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """Of the group's tokens in each stratum, float64 (n,); they sum to 1."""
        shares: np.ndarray = np.bincount(self.of_row, minlength=self.n) / len(self.of_row)
        return shares

    @property
    def weights(self) -> np.ndarray:
        """Of each control, float64 (controls,); they sum to 1."""
        counts = np.bincount(self.of_control, minlength=self.n)
        weights: np.ndarray = (self.shares / counts)[self.of_control]
        return weights


def adjusted_weights(strata: Strata, features: np.ndarray) -> np.ndarray:
    """Weights of the controls by which their means of `features` become the group's.

    `features` float64 (tokens, features), of all tokens; NaN counts as the stratum's mean. To each
    stratum's equal weights is added what regression of the controls' losses on the features,
    within strata, takes away from the difference. The weights sum to 1; some may be negative.
    Float64 (controls,).
    """
    weights, counts = strata.weights, np.bincount(strata.of_control, minlength=strata.n)
    missing = np.zeros(features.shape[1])
    within = np.empty((len(strata.controls), features.shape[1]))
    for column in range(features.shape[1]):
        scale = np.nanstd(features[strata.controls, column]) or 1.0
        own = features[strata.rows, column] / scale
        others = features[strata.controls, column] / scale
        known = np.isfinite(others)
        n_known = np.maximum(np.bincount(strata.of_control, known, strata.n), 1)
        means = np.bincount(strata.of_control, np.where(known, others, 0), strata.n) / n_known
        missing[column] = np.nan_to_num(own - means[strata.of_row]).mean()
        within[:, column] = np.nan_to_num(others - means[strata.of_control])
    within -= _means(within, strata, counts)[strata.of_control]
    within[:, np.abs(within).max(axis=0) < _ROUNDING] = 0  # equal within all strata
    slopes = np.linalg.pinv(within.T @ within, hermitian=True) @ missing
    adjusted: np.ndarray = weights + within @ slopes
    return adjusted


def _means(values: np.ndarray, strata: Strata, counts: np.ndarray) -> np.ndarray:
    sums = [np.bincount(strata.of_control, column, strata.n) for column in values.T]
    means: np.ndarray = np.stack(sums, axis=1) / counts[:, None]
    return means


@dataclass(frozen=True)
class ControlSums:
    """The controls' losses, summed in the two ways that their mean and its error need."""

    by_stratum: np.ndarray
    """float64 (strata, checkpoints)"""
    by_source: np.ndarray
    """Weighted, float64 (sources, checkpoints)."""


def matched_bands(
    strata: Strata, weights: np.ndarray, source: np.ndarray, group: GroupSums, control: ControlSums
) -> tuple[Band, Band]:
    """The difference of group and controls, and the controls' weighted mean, with their bands.

    `weights` float64 (controls,); `source` int64 (tokens,), of all tokens; `group` sums over
    `strata.rows`. Bands are paired by source document. A group token of stratum s has the influence
    (loss - y_s - D) / n on the difference D, where y_s is the controls' mean there; a control that
    of its weight times (loss - y_s).
    """
    n, n_sources = len(strata.rows), len(group.counts)
    means = control.by_stratum / np.bincount(strata.of_control, minlength=strata.n)[:, None]
    curve, share = control.by_source.sum(axis=0), group.counts / n
    in_rows = _by(source[strata.rows], strata.of_row, np.full(n, 1 / n), n_sources, strata.n)
    of_controls = _by(source[strata.controls], strata.of_control, weights, n_sources, strata.n)
    expected, own = in_rows @ means, control.by_source - of_controls @ means
    difference = group.mean - curve
    absolute = np.bincount(source[strata.controls], np.abs(weights), n_sources)
    one = Side.weighted(
        difference, group.sums / n - expected - share[:, None] * difference, share, n
    )
    two = Side.weighted(np.zeros_like(curve), own, absolute / absolute.sum(), effective(weights))
    composition = Side.weighted(curve, expected - share[:, None] * curve, share, n)
    return two_sided(one, two), two_sided(composition, replace(two, left_out=-two.left_out))


def _by(
    line: np.ndarray, column: np.ndarray, values: np.ndarray, n_lines: int, n_columns: int
) -> sparse.csr_array:
    return sparse.csr_array((values, (line, column)), shape=(n_lines, n_columns))


def binned(values: np.ndarray, rows: np.ndarray, bins: int) -> np.ndarray:
    """Bins of numbers, float64 (tokens,): the group's own values if at most `bins`, or quantiles.

    Returns int64 (tokens,); -1 for values outside the range of the group, whose tokens `rows` are.
    Missing values (NaN) are a bin of their own.
    """
    missing = np.isnan(values)
    known = values[rows][~missing[rows]]
    own = np.unique(known)
    if len(own) <= bins:
        place = np.searchsorted(own, values).clip(0, max(len(own) - 1, 0))
        inside = own[place] == values if len(own) else np.zeros(len(values), dtype=bool)
    else:
        inner = np.unique(np.quantile(known, np.arange(1, bins) / bins))
        place = np.searchsorted(inner, values, side="right")
        inside = (values >= own[0]) & (values <= own[-1])
    return np.where(missing, bins + 1, np.where(inside, place, -1))


def stratified(bins: list[np.ndarray], rows: np.ndarray, others: np.ndarray) -> Strata:
    """Tokens with equal bins of all features, int64 (tokens,) each.

    Strata have a token of the group and at least 5 controls; there may be none.
    """
    code = np.zeros(len(bins[0]), dtype=np.int64)
    usable = np.ones(len(code), dtype=bool)
    for place in bins:
        _, code = np.unique(code * (place.max() + 2) + place + 1, return_inverse=True)
        usable &= place >= 0
    rows, others = rows[usable[rows]], others[usable[others]]
    controlled, counts = np.unique(code[others], return_counts=True)
    both = np.intersect1d(code[rows], controlled[counts >= FEWEST_CONTROLS])
    rows, others = rows[np.isin(code[rows], both)], others[np.isin(code[others], both)]
    of_row, of_control = np.searchsorted(both, code[rows]), np.searchsorted(both, code[others])
    return Strata(len(both), rows, of_row, others, of_control)

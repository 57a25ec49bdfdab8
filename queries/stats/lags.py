"""Lags: which of two curves changes first, in log step, and how much noise affects the answer.

The answer is about one run: an interval says how much noise affects it, not whether another run
would give the same. Two curves that each change once always have some lag.
"""

from dataclasses import dataclass

import numpy as np
from scipy import signal

from queries.errors import QueryError

FEWEST = 20
"""Checkpoints needed to separate noise from learning."""
DRAWS = 499
LEVEL = 0.95
DEGREE = 2
WINDOW = 7
"""Checkpoints of the local polynomial that smooths a curve (Savitzky and Golay 1964)."""
WIDE = 15
"""The same, to estimate noise: the residuals of a narrow window contain no slow noise."""
FURTHEST = 0.25
"""The largest lag that is tried, as a share of the curves' length in log step."""
FINEST = 200
"""Maximum number of steps of the even grid on which increments are taken."""


@dataclass(frozen=True)
class Lag:
    """How far curve two is behind curve one, in log10(1 + step); negative: it is ahead.

    `lead` compares the half-way places; `lag` is where the increments correlate best, with that
    `correlation`. NaN if a curve is constant. Each has a 95 % interval.
    """

    half_way_one: float
    half_way_two: float
    lead: float
    lead_low: float
    lead_high: float
    lag: float
    lag_low: float
    lag_high: float
    correlation: float


def lag(steps: np.ndarray, one: np.ndarray, two: np.ndarray, seed: int = 0) -> Lag:
    """The lag of curve `two` behind curve `one`, float64 (checkpoints,) at int64 `steps`.

    half_way_one and half_way_two are steps: where the smoothed curve first crosses half-way from
    its start to the value farthest from it, linear in log10(1 + step). The cross-correlation is
    sum dx(t) dy(t + k) / sqrt(sum dx^2 sum dy^2) (Box and Jenkins 1976, Time Series Analysis,
    11.1) of the increments minus their means, on an even grid in log10(1 + step), signed such that
    each curve rises towards its farthest value; the lag is a multiple of the grid's distance, the
    checkpoints' median one, but at least a 200th of all. The intervals are percentiles of 499
    draws: the smoothed curves plus residuals in blocks of n^(1/3) neighbouring checkpoints (Kuensch
    1989, Ann. Statist. 17:1217), for both curves the same blocks, since both were measured on the
    same weights, and from nearby, since noise changes (Paparoditis and Politis 2002, C. R. Math.
    335:959). Raises QueryError for under 20 checkpoints.
    """
    if len(steps) < FEWEST:
        raise QueryError(
            f"{len(steps)} checkpoints with probes are too few to say which curve changes first: "
            f"expected at least {FEWEST}"
        )
    place = np.log10(1.0 + steps)
    curves = np.stack([one, two]).astype(np.float64)
    found = _measure(place, _smooth(curves)[:, None])
    draws = _measure(place, _smooth(_draws(curves, seed)))
    half_one, half_two = found.half_way[:, 0].tolist()
    lead = half_two - half_one
    between = draws.half_way[1] - draws.half_way[0]
    return Lag(
        10**half_one - 1,
        10**half_two - 1,
        lead,
        *_interval(between, lead),
        float(found.lag[0]),
        *_interval(draws.lag, float(found.lag[0])),
        float(found.correlation[0]),
    )


@dataclass(frozen=True)
class _Measured:
    half_way: np.ndarray
    """float64 (2, draws), in log10(1 + step)."""
    lag: np.ndarray
    correlation: np.ndarray


def half_way(place: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Where each of `values` (…, n) is first half-way from its start to its farthest value."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (values - values[..., :1]) / _farthest(values)[..., None]
        past = share >= 0.5
        at = np.maximum(past.argmax(axis=-1), 1)[..., None]
        before = np.take_along_axis(share, at - 1, axis=-1)
        after = np.take_along_axis(share, at, axis=-1)
        between = place[at - 1] + (0.5 - before) / (after - before) * (place[at] - place[at - 1])
    return np.where(past.any(axis=-1), between[..., 0], np.nan)


def _measure(place: np.ndarray, curves: np.ndarray) -> _Measured:
    """Of smoothed pairs of curves, float64 (2, draws, checkpoints)."""
    # An even grid about as fine as the checkpoints: a finer one would only add straight lines.
    spacing = max(float(np.median(np.diff(place))), (place[-1] - place[0]) / FINEST)
    n = max(int((place[-1] - place[0]) / spacing), 2)
    grid = np.linspace(place[0], place[-1], n + 1)
    upward = np.sign(_farthest(curves))[..., None]
    even = np.apply_along_axis(lambda curve: np.interp(grid, place, curve), -1, upward * curves)
    increments = np.diff(even, axis=-1)
    increments -= increments.mean(axis=-1, keepdims=True)
    best, correlation = _best_lag(increments[0], increments[1], max(int(FURTHEST * n), 1))
    return _Measured(half_way(place, curves), best * (grid[1] - grid[0]), correlation)


def _best_lag(dx: np.ndarray, dy: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The lag in grid steps, of -most … most, at which dx (t) and dy (t + lag) correlate best."""
    n = dx.shape[-1]
    scale = np.sqrt((dx**2).sum(axis=-1) * (dy**2).sum(axis=-1))
    lags = np.arange(-most, most + 1)
    products = [
        (dx[:, max(0, -k) : n - max(0, k)] * dy[:, max(0, k) : n + min(0, k)]).sum(axis=-1)
        for k in lags.tolist()
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations = np.stack(products) / scale
    best = np.where(scale > 0, lags[correlations.argmax(axis=0)], np.nan)
    return best, correlations.max(axis=0)


def _farthest(values: np.ndarray) -> np.ndarray:
    """How far each curve goes from its start; 0 if that is only rounding."""
    away: np.ndarray = values - values[..., :1]
    at = np.abs(away).argmax(axis=-1)[..., None]
    ahead = np.take_along_axis(away, at, axis=-1)[..., 0]
    return np.where(np.abs(ahead) > 1e-12 * np.abs(values).max(axis=-1), ahead, 0)


def _smooth(curves: np.ndarray, window: int = WINDOW) -> np.ndarray:
    result: np.ndarray = signal.savgol_filter(curves, window, DEGREE, axis=-1)
    return result


def _draws(curves: np.ndarray, seed: int) -> np.ndarray:
    """Smoothed curves plus blocks of residuals, float64 (2, draws, checkpoints)."""
    # The residuals of white noise are smaller than it: 1 minus the weight of the middle.
    kept = 1 - signal.savgol_coeffs(WIDE, DEGREE)[WIDE // 2]
    residuals = (curves - _smooth(curves, WIDE)) / np.sqrt(kept)
    places = _blocks(curves.shape[-1], np.random.default_rng(seed))
    result: np.ndarray = _smooth(curves)[:, None] + residuals[:, places]
    return result


def _blocks(n: int, rng: np.random.Generator) -> np.ndarray:
    """Places of the residuals in each draw, int64 (draws, n): blocks from at most n/8 away."""
    size = int(np.ceil(n ** (1 / 3)))
    starts = np.arange(0, n, size)
    reach = max(size, n // 8)
    low, high = np.maximum(starts - reach, 0), np.minimum(starts + reach, n - size)
    begin = rng.integers(np.minimum(low, high), high + 1, (DRAWS, len(starts)))
    places = (begin[..., None] + np.arange(size)).reshape(DRAWS, -1)
    return places[:, :n]


def _interval(draws: np.ndarray, estimate: float) -> tuple[float, float]:
    """Percentiles; NaN if there is no estimate, or none in more than one draw in twenty."""
    if np.isnan(estimate) or np.isnan(draws).mean() > 1 - LEVEL:
        return np.nan, np.nan
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)

"""The noise of a trajectory, and how far noise alone goes, whatever its persistence.

How persistent the noise of a training run is cannot be estimated well from one curve: a trend
hides slow noise, and slow noise looks like a trend. So a test never relies on one estimated model.
Its statistic is a change over the curve's own noise at the same lag, and its p-value is the largest
over a family of noise models, from white noise to a random walk, with normal and with heavy tails
(a maximized Monte Carlo test, after Dufour 2006, Journal of Econometrics 133:443, not checked).
Only models that the curve's autocorrelation clearly contradicts are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage, signal

from queries.stats.time_series.smooth_null import smooth

DRAWS = 199
"""Simulated curves per model: no p-value is below 1 / (DRAWS + 1)."""
FINEST = 1 / (DRAWS + 1)
GROWTH = 1.3
"""From each lag to the next at which changes are looked at."""
LONGEST = 4
"""Checkpoints: the longest lag at which noise is measured. Beyond, it may grow as a random walk."""
OUTLYING = 4.0
"""Medians that a distance counts as, at most, in the noise."""
EXCLUDED = 0.4
"""Share of a curve that may be left out of its noise, as part of its largest change."""
NEARBY = 0.4
"""Share of a curve, before and after its largest change, in which noise is measured."""
BLOCK = 20
"""Checkpoints in which autocorrelation is measured."""
TOLERANCE = 1.4
"""Times that noise may vary along a curve before it is allowed for."""


@dataclass(frozen=True)
class Model:
    """A noise process: AR(1) with unit innovations plus white noise."""

    coefficient: float
    """Of the AR(1) part, 0 to 1; 1 is a random walk."""
    white: float
    """Standard deviation of the added white noise, in units of the innovations'."""
    heavy: bool
    """Student's t with 3 degrees of freedom instead of normal."""


FAMILY = (
    *(Model(coefficient, 0.0, False) for coefficient in (0.0, 0.4, 0.7, 0.9, 0.97, 1.0)),
    *(Model(1.0, white, False) for white in (1.0, 2.0, 5.0)),
    *(Model(coefficient, 0.0, True) for coefficient in (0.0, 0.4, 0.7)),
)
"""Normal noise of any persistence, heavy-tailed noise up to a coefficient of 0.7."""


@dataclass(frozen=True)
class Spread:
    """How much the noise of curves varies, without the columns around each one's largest change."""

    scales: np.ndarray
    """At each of `lags(n)`, in nats, float64 (curves, lags)."""
    local: np.ndarray
    """Factor by which noise exceeds the usual at a checkpoint, float64 (curves, n), at least 1."""
    memory: np.ndarray
    """Autocorrelation from one checkpoint to the next, float64 (curves,): see `memory`."""

    def noise(self, lag_index: int, first: np.ndarray | int, last: np.ndarray | int) -> np.ndarray:
        """Of one curve, the scale of changes between columns at the lag with that index, nats."""
        local = np.maximum(self.local[0, first], self.local[0, last])
        result: np.ndarray = self.scales[0, lag_index] * local
        return result

    def over_noise(self, filtered: list[np.ndarray]) -> list[np.ndarray]:
        """Changes of curves over their noise, for each lag (curves, n - lag); see `by_lag`."""
        pairs = zip(lags(self.local.shape[1]), filtered, strict=True)
        return [
            (curve[:, lag:] - curve[:, :-lag])
            / (self.scales[:, [i]] * np.maximum(self.local[:, lag:], self.local[:, :-lag]))
            for i, (lag, curve) in enumerate(pairs)
        ]


@dataclass(frozen=True)
class Curve:
    """A trajectory, its residuals from the smooth null and the noise in them."""

    place: np.ndarray
    """log10(1 + step), float64 (n,)."""
    values: np.ndarray
    residuals: np.ndarray
    beside_rise: Spread
    """The noise outside of the largest rise."""
    beside_change: Spread
    """The noise outside of the largest rise or fall of the residuals."""

    @property
    def rises(self) -> bool:
        """Is the last value above the first?"""
        return bool(self.values[-1] > self.values[0])


@dataclass(frozen=True)
class Null:
    """What simulated curves of one model do."""

    largest: np.ndarray
    """The largest change over noise at each lag, float64 (draws, lags)."""
    memory: np.ndarray
    """As of `Spread`, float64 (draws,)."""


def simulate(model: Model, n: int, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Curves of nothing but noise, float64 (draws, n)."""
    shocks = _shocks(model, (draws, n), rng)
    if model.coefficient < 1:
        shocks[:, 0] /= np.sqrt(1 - model.coefficient**2)
    paths: np.ndarray = signal.lfilter([1.0], [1.0, -model.coefficient], shocks, axis=1)
    if model.white:
        paths += model.white * _shocks(model, (draws, n), rng)
    return paths


def _shocks(model: Model, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    if model.heavy:
        return np.asarray(rng.standard_t(3, shape) / np.sqrt(3))
    return rng.normal(0, 1, shape)


def lags(n: int) -> tuple[int, ...]:
    """Lags in checkpoints at which changes are looked at: 1 to half of the curve."""
    grid = np.unique(np.round(GROWTH ** np.arange(0, np.log(n / 2) / np.log(GROWTH))).astype(int))
    return tuple(grid.tolist())


def width(lag: int) -> int:
    """Checkpoints of the running median applied before taking changes at a lag.

    A single outlier is no change that lasts: at lags of 3 or more it drops out.
    """
    return 1 if lag < 3 else 3 if lag < 6 else 5


def running_median(values: np.ndarray, width: int) -> np.ndarray:
    """Running medians of curves, float64 (..., n)."""
    if width == 1:
        return values
    size = (1,) * (values.ndim - 1) + (width,)
    result: np.ndarray = ndimage.median_filter(values, size, mode="nearest")
    return result


def spread(residuals: np.ndarray) -> Spread:
    """The noise in residuals (curves, n), all of them."""
    return _spread(residuals, _all_distances(residuals), np.zeros(residuals.shape, dtype=bool))


def largest_change(filtered: list[np.ndarray], scales: np.ndarray, only_rises: bool) -> np.ndarray:
    """The columns of the largest rise, or change, over noise, bool (curves, n): up to 4 in 10.

    From a little before a rise to where the curve is down again, or from where it went up to a
    little after a fall. `filtered` curves as of `by_lag`.
    """
    return _columns(filtered[-1], *_largest(filtered, scales, only_rises))


def _columns(
    calm: np.ndarray, start: np.ndarray, length: np.ndarray, rises: np.ndarray
) -> np.ndarray:
    curves, n = calm.shape
    column, row = np.arange(n), np.arange(curves)
    low = calm[row, np.where(rises, start, start + length)]
    high = calm[row, np.where(rises, start + length, start)]
    down = calm <= (0.9 * low + 0.1 * high)[:, None]
    after = down & (column > (start + length)[:, None])
    before = down & (column < start[:, None])
    back = np.where(after.any(axis=1), after.argmax(axis=1), n - 1)
    up = np.where(before.any(axis=1), n - 1 - before[:, ::-1].argmax(axis=1), 0)
    cap = int(EXCLUDED * n)
    # A margin, since a change does not begin or end sharply.
    margin = np.minimum(length, n // 20)
    first = np.where(rises, start - length, np.maximum(up, start + length - cap) - margin)
    last = np.where(rises, np.minimum(back, start + cap) + margin, start + 2 * length)
    inside: np.ndarray = (column >= first[:, None]) & (column <= last[:, None])
    return inside


def _largest(
    filtered: list[np.ndarray], scales: np.ndarray, only_rises: bool
) -> tuple[np.ndarray, ...]:
    """Start and length of the largest change of each curve, and whether it is a rise."""
    curves, n = filtered[0].shape
    best, start, length = np.zeros(curves), np.zeros(curves, int), np.ones(curves, int)
    rises, row = np.zeros(curves, dtype=bool), np.arange(curves)
    for i, (lag, curve) in enumerate(zip(lags(n), filtered, strict=True)):
        change = curve[:, lag:] - curve[:, :-lag]
        at = (change if only_rises else np.abs(change)).argmax(axis=1)
        # At short lags a single outlier is large, but no event.
        ratio = np.abs(change[row, at]) / scales[:, i] / (1 + 2 / lag)
        better = (ratio > best) & (lag <= EXCLUDED / 2 * n)
        best, start = np.where(better, ratio, best), np.where(better, at, start)
        length, rises = np.where(better, lag, length), np.where(better, change[row, at] > 0, rises)
    return start, length, rises


def _spread(residuals: np.ndarray, distances: list[_Distances], excluded: np.ndarray) -> Spread:
    elsewhere = _far(excluded) | excluded
    local = _local(residuals, excluded, _mean(distances[0], elsewhere))
    return Spread(_scales(distances, elsewhere), local, memory(residuals, excluded))


def _far(excluded: np.ndarray) -> np.ndarray:
    """Columns farther than `NEARBY` from the excluded ones, bool (curves, n)."""
    reach = int(NEARBY * excluded.shape[1])
    near = ndimage.maximum_filter1d(
        excluded.astype(np.uint8), 2 * reach + 1, axis=1, mode="constant"
    )
    far: np.ndarray = (near == 0) & excluded.any(axis=1, keepdims=True)
    return far


def _local(residuals: np.ndarray, excluded: np.ndarray, overall: np.ndarray) -> np.ndarray:
    """Mean distance at lag 1 in a quarter of the curve, over that of all; at least 1."""
    a, b, c, d, e = (residuals[:, tap] for tap in _taps(residuals.shape[1], 1))
    distance = np.pad(np.abs(c - (4 * (b + d) - (a + e)) / 6), ((0, 0), (2, 2)), mode="reflect")
    # A distance counts if none of its five values is excluded.
    used = (~ndimage.maximum_filter1d(excluded, 5, axis=1)).astype(np.float64)
    width = max(2 * (residuals.shape[1] // 8) + 1, 15)
    share = ndimage.uniform_filter1d(used, width, axis=1, mode="reflect")
    mean = ndimage.uniform_filter1d(distance * used, width, axis=1, mode="reflect")
    local = np.maximum(mean / np.maximum(share, 1e-9) / overall[:, None] / TOLERANCE, 1.0)
    return _from_both_sides(local, share > 0.2)


def _from_both_sides(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Where values (curves, n) are not known, the larger of the nearest known ones."""
    n = values.shape[1]
    column = np.arange(n)
    left = np.maximum.accumulate(np.where(known, column, -1), axis=1)
    right = np.minimum.accumulate(np.where(known, column, n)[:, ::-1], axis=1)[:, ::-1]
    padded = np.pad(np.where(known, values, 0), ((0, 0), (1, 1)), constant_values=1.0)
    row = np.arange(len(values))[:, None]
    result: np.ndarray = np.maximum(padded[row, left + 1], padded[row, right + 1])
    return result


def memory(residuals: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """Lag-1 autocorrelation of curves (curves, n) between columns not excluded, float64 (curves,).

    The mean over blocks of 20 checkpoints, of each of which a line is taken out: a trend that the
    smooth null missed then spoils few blocks.
    """
    curves, n = residuals.shape
    count = max(n // BLOCK, 2)
    length = n // count
    shape = (curves, count, length)
    values = residuals[:, -count * length :].reshape(shape)
    used = (~excluded[:, -count * length :]).reshape(shape).astype(np.float64)
    rest = _off_line(values, used)
    both = used[..., 1:] * used[..., :-1]
    product = (rest[..., 1:] * rest[..., :-1] * both).sum(axis=2) / np.maximum(both.sum(axis=2), 1)
    variance = (rest**2 * used).sum(axis=2) / np.maximum(used.sum(axis=2), 1)
    weight = used.sum(axis=2) >= 0.6 * length
    weight = np.where(weight.any(axis=1, keepdims=True), weight, True)
    ratio = product / np.maximum(variance, 1e-24)
    result: np.ndarray = (ratio * weight).sum(axis=1) / weight.sum(axis=1)
    return result


def _off_line(values: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Residuals of weighted least-squares lines along the last axis."""
    column = np.arange(values.shape[-1], dtype=np.float64)
    total = np.maximum(used.sum(axis=-1, keepdims=True), 1)
    x = column - (used * column).sum(axis=-1, keepdims=True) / total
    y = values - (used * values).sum(axis=-1, keepdims=True) / total
    spread = np.maximum((used * x * x).sum(axis=-1, keepdims=True), 1e-9)
    result: np.ndarray = y - x * ((used * x * y).sum(axis=-1, keepdims=True) / spread)
    return result


@dataclass(frozen=True)
class _Distances:
    """Of each value from the cubic through its neighbours one and two lags before and after."""

    lag: int
    clipped: np.ndarray
    """At 4 medians of the curve, so that neither events nor trends count much, (curves, n')."""


def _distances(curves: np.ndarray, lag: int) -> _Distances:
    a, b, c, d, e = (curves[:, tap] for tap in _taps(curves.shape[1], lag))
    distance = np.abs(c - (4 * (b + d) - (a + e)) / 6)
    return _Distances(lag, np.minimum(distance, OUTLYING * np.median(distance, axis=1)[:, None]))


def _taps(n: int, lag: int) -> list[slice]:
    return [slice(i * lag, n - (4 - i) * lag) for i in range(5)]


def _scales(distances: list[_Distances], excluded: np.ndarray) -> np.ndarray:
    """A scale of the noise at each lag, float64 (curves, lags).

    The mean distance at lags up to `LONGEST`; the last three of these up to a lag are averaged,
    each carried on in proportion to the square root of the lag, as in a random walk.
    """
    n = excluded.shape[1]
    rates = [_mean(part, excluded) / np.sqrt(part.lag) for part in distances]
    known = [min(lag, LONGEST) for lag in lags(n)]
    means = [np.mean(rates[max(0, last - 3) : last], axis=0) for last in known]
    result: np.ndarray = np.stack(means, axis=-1) * np.sqrt(lags(n))
    return result


def _mean(distances: _Distances, excluded: np.ndarray) -> np.ndarray:
    taps = _taps(excluded.shape[1], distances.lag)
    counted = ~np.logical_or.reduce([excluded[:, tap] for tap in taps])
    # Where nothing is left, in short curves, all columns count.
    counted |= ~counted.any(axis=1, keepdims=True)
    mean = (distances.clipped * counted).sum(axis=1) / counted.sum(axis=1)
    result: np.ndarray = np.maximum(mean, 1e-12)
    return result


def by_lag(values: np.ndarray) -> list[np.ndarray]:
    """Filtered curves for each lag; each filter runs once."""
    chosen = [width(lag) for lag in lags(values.shape[-1])]
    done = {size: running_median(values, size) for size in set(chosen)}
    return [done[size] for size in chosen]


@dataclass(frozen=True)
class Nulls:
    """What simulated curves do, for each model of the family."""

    rises: tuple[Null, ...]
    changes: tuple[Null, ...]
    """Rises and falls."""


@lru_cache(maxsize=16)
def nulls(n: int) -> Nulls:
    """Of curves of n checkpoints."""
    rng = np.random.default_rng(20240229)
    pairs = [_nulls(simulate(model, n, DRAWS, rng)) for model in FAMILY]
    return Nulls(tuple(rise for rise, _ in pairs), tuple(change for _, change in pairs))


def _nulls(paths: np.ndarray) -> tuple[Null, Null]:
    """Of rises and of changes. Noise is measured as in a real curve: outside of the largest one."""
    distances, filtered = _all_distances(paths), by_lag(paths)
    scales = _scales(distances, np.zeros(paths.shape, dtype=bool))
    found = []
    for only_rises in (True, False):
        excluded = largest_change(filtered, scales, only_rises)
        noise = _spread(paths, distances, excluded)
        changes = noise.over_noise(filtered)
        most = [(c if only_rises else np.abs(c)).max(axis=1) for c in changes]
        found.append(Null(np.stack(most, axis=1), noise.memory))
    return found[0], found[1]


def _all_distances(curves: np.ndarray) -> list[_Distances]:
    return [_distances(curves, lag) for lag in range(1, LONGEST + 1)]


def prepare(steps: np.ndarray, values: np.ndarray) -> Curve:
    """The curve with its noise; a made-up one without noise counts as having next to none."""
    first = (values - smooth(steps, values, np.zeros(len(values), dtype=bool)))[None]
    curves = by_lag(first)
    everything = np.zeros(first.shape, dtype=bool)
    around = largest_change(curves, _scales(_all_distances(first), everything), False)
    scales = np.maximum(_spread_of(first, around).scales, _rounding(values))
    rise = _rise(steps, values, scales)
    change = largest_change(curves, scales, False)
    residuals = values - smooth(steps, values, change[0])
    beside_rise = _beside(values, values - smooth(steps, values, rise[0]), rise)
    beside_change = _beside(values, residuals, change)
    place = np.log10(1.0 + np.asarray(steps, dtype=np.float64))
    return Curve(place, values, residuals, beside_rise, beside_change)


def _rise(steps: np.ndarray, values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The columns of the largest rise, bool (1, n); of the largest fall if the curve rises.

    Where it begins is read from the curve, where it ends from its residuals from a smooth fit to
    the rest.
    """
    backwards = -1 if values[-1] > values[0] else 1
    curve = by_lag(values[None, ::backwards])
    largest = _largest(curve, scales, True)
    columns = _columns(curve[-1], *largest)[:, ::backwards]
    for _ in range(2):
        residuals = values - smooth(steps, values, columns[0])
        calm = running_median(residuals[None, ::backwards], 5)
        columns = _columns(calm, *largest)[:, ::backwards]
    return columns


def _beside(values: np.ndarray, residuals: np.ndarray, excluded: np.ndarray) -> Spread:
    found = _spread_of(residuals[None], excluded)
    return Spread(np.maximum(found.scales, _rounding(values)), found.local, found.memory)


def _spread_of(residuals: np.ndarray, excluded: np.ndarray) -> Spread:
    return _spread(residuals, _all_distances(residuals), excluded)


def _rounding(values: np.ndarray) -> float:
    """Less than any noise: it separates a made-up curve without noise from one with hardly any."""
    return 1e-6 * max(float(np.ptp(values)), 1e-3)

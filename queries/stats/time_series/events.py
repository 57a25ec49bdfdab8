"""What happened in a trajectory beyond its noise: spikes, humps and sharp jumps."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import signal

from queries.errors import QueryError, too_few
from queries.stats.time_series import noise as noises
from queries.stats.time_series.change_points import Jump, jumps
from queries.stats.time_series.noise import Curve

FEWEST = 20
"""Checkpoints needed to separate noise from events."""
LEVEL = 0.05
RISES, CHANGES = 0.5, 1.5
"""What p-values of rises and of jumps are multiplied by.

Each test holds for the noise model that is worst for it, and a rise must also be followed by a fall
beyond the usual noise, which makes it conservative. docs/calibration.md has how often both tests
together claim something false.
"""
EXCLUDED = noises.FINEST
"""Probability of leaving out the right noise model, which is added to p-values."""
RARE = 2.6
"""Standard deviations below the mean of which a normal distribution has 1 in 200."""
SHORT = 6
"""Checkpoints."""
OTHER_SIDE = 0.2
"""Largest p-value of the side of a peak that goes along with the curve as a whole."""
NARROW = 0.3
"""Decades of steps: a rise and fall that is wider at half its height is a hump, no spike."""
WINDOW = 0.1
"""Decades of steps over which a fall is measured in descriptions."""
MOVING = 3, 8.0
"""Checkpoints before and after one between which a curve moves for sure, if by so many scales."""
FLAT = 0.1
"""A plateau's slope is at most this share of the whole curve's."""
EVENT = "event"
DESCRIPTION = "description"
CANNOT_TELL = (
    "cannot tell: the noise is as persistent as a random walk, which makes such changes by chance"
)


@dataclass(frozen=True)
class Event:
    """One row of `find_events`; first, peak and last are columns."""

    kind: str
    first: int
    peak: int
    last: int
    size: float
    noise_ratio: float
    p_value: float
    verdict: str


@dataclass(frozen=True)
class Reference:
    """What noise does at most, over the family of noise models."""

    lags: tuple[int, ...]
    weights: np.ndarray
    """Ratio that the worst model exceeds at a lag in one curve of forty, float64 (lags,)."""
    largest: np.ndarray
    """The largest ratio over weight of each simulated curve, float64 (models, draws)."""
    least_memory: np.ndarray
    """Autocorrelation that one of 200 of them is below, float64 (models,)."""
    factor: float
    """For the number of tests."""

    def p_value(self, weighted: float, memory: float) -> float:
        """The largest share of curves with as much, over all models but those that are ruled out.

        Ruled out is a model if all but 1 in 200 of its curves have a higher autocorrelation (a
        confidence set for the nuisance parameters, after Berger and Boos 1994, JASA 89:1012, not
        checked).
        """
        above = (self._possible(memory) >= weighted).sum(axis=1).max(initial=0)
        share = (1 + above) / (1 + self.largest.shape[1])
        return round(float(min(1.0, self.factor * (share + EXCLUDED))), 6)

    def critical(self, memory: float) -> float:
        """The ratio over weight beyond which the p-value is under 0.05."""
        draws = self.largest.shape[1]
        above = int(np.ceil((LEVEL / self.factor - EXCLUDED) * (1 + draws) - 1)) - 1
        return float(np.sort(self._possible(memory), axis=1)[:, draws - 1 - above].max())

    def _possible(self, memory: float) -> np.ndarray:
        """`largest` of the models that are not ruled out."""
        kept = self.least_memory <= max(memory, float(self.least_memory.min()))
        result: np.ndarray = self.largest[kept]
        return result


def find_events(steps: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """The events of a trajectory, `values` float64 (checkpoints,) in nats at int64 `steps`.

    Returns kind, first, peak, last (steps), size (nats), noise_ratio, p_value, verdict; in order of
    first. Events have verdict "event" and a p_value under 0.05, for the whole trajectory:

    - spike: a rise and fall. Size is its prominence, the height of the peak over the higher of the
      lowest points on either side before a higher peak; first and last are where the loss is at
      that level. hump: the same, wider than 0.3 decades of steps at half its height. The null
      hypothesis is that the curve only falls, or only rises, apart from noise, in whatever shape.
    - change_point: a change by `size` between first and last, at most 0.15 decades (a factor of 1.4
      of steps) apart, more than twice as steep as the curve on both sides. Bends are none. The
      null hypothesis is a curve that is smooth on that scale, plus noise: `change_points.jumps`.

    p_values are the largest over a family of noise models from white noise to random walks, normal
    and heavy-tailed (`queries.stats.time_series.noise`). They come from 199 simulated curves per
    model, so none is below 0.005 (spike, hump) or 0.015 (change_point). noise_ratio is the change
    over the mean noise at the same lag.

    Descriptions have no p_value (NaN) and claim no cause:

    - fastest_fall: where the loss falls most steeply in log10(1 + step), over windows of 0.1
      decades and neighbours at least half as steep, if it falls beyond the noise at all.
    - plateau: where it falls at most a tenth as fast as in the mean of the run, for so long that
      the missing fall, `size`, is beyond the noise.

    If the noise looks like a random walk and there is no event, the only rows are largest_rise and
    fastest_fall, with a verdict that begins with "cannot tell". Raises QueryError for under 20
    checkpoints and for values that are not finite.
    """
    steps, values = np.asarray(steps), np.asarray(values, dtype=np.float64)
    _check(steps, values)
    curve = noises.prepare(steps, values)
    found = _significant(curve)
    if not found and _walks(curve):
        found = [_largest_rise(curve), *_fastest_fall(curve, CANNOT_TELL)]
    else:
        found += [*_fastest_fall(curve, DESCRIPTION), *_plateaus(curve)]
    frame = pd.DataFrame([astuple(e) for e in found], columns=[f.name for f in fields(Event)])
    for column in ("first", "peak", "last"):
        frame[column] = steps[frame[column].to_numpy(np.int64)]
    return frame.sort_values(["first", "kind"], ignore_index=True)


def smallest_rise(steps: np.ndarray, values: np.ndarray, n_checkpoints: int) -> float:
    """By how much (nats) a loss must rise within so many checkpoints to be called a spike.

    `steps` and `values` as of `find_events`, at the median checkpoint, for a rise whose top lasts
    for five checkpoints. Noise hides more than half of the spikes of this size.
    """
    steps, values = np.asarray(steps), np.asarray(values, dtype=np.float64)
    _check(steps, values)
    curve = noises.prepare(steps, values)
    null = rises_null(len(values))
    reach = null.critical(float(curve.beside_rise.memory[0])) * null.weights
    usual = curve.beside_rise.scales[0] * float(np.median(curve.beside_rise.local))
    return float(np.interp(n_checkpoints, null.lags, reach * usual))


def p_text(p_value: float) -> str:
    """A p-value as people read it: "p ≤ 0.005" where simulation cannot say how much less."""
    finest = [factor * (noises.FINEST + EXCLUDED) for factor in (RISES, CHANGES)]
    if np.isnan(p_value):
        return ""
    sign = "≤" if np.isclose(p_value, finest).any() else "="
    return f"p {sign} {p_value:.2g}"


@lru_cache(maxsize=32)
def rises_null(n: int) -> Reference:
    """Of rises in curves of n checkpoints."""
    return _reference(n, noises.nulls(n).rises, RISES)


@lru_cache(maxsize=32)
def changes_null(n: int) -> Reference:
    """Of changes in either direction."""
    return _reference(n, noises.nulls(n).changes, CHANGES)


@lru_cache(maxsize=32)
def walk_memory(n: int) -> float:
    """Autocorrelation that a random walk exceeds in nine cases of ten."""
    walk = noises.FAMILY.index(noises.Model(1.0, 0.0, False))
    return float(np.quantile(noises.nulls(n).rises[walk].memory, 0.1))


def _walks(curve: Curve) -> bool:
    """Does the noise look like a random walk, also where the curve does not move?

    Where it moves, a smooth null that fits badly leaves residuals that look persistent.
    """
    reach, scales = MOVING
    ends = np.pad(curve.values, reach, mode="edge")
    moving = (
        np.abs(ends[2 * reach :] - ends[: -2 * reach]) > scales * curve.beside_change.scales[0, 0]
    )
    still = float(noises.memory(curve.values[None], moving[None])[0])
    return min(still, float(curve.beside_rise.memory[0])) > walk_memory(len(curve.values))


def _reference(n: int, nulls: tuple[noises.Null, ...], factor: float) -> Reference:
    largest = np.stack([null.largest for null in nulls])
    # Short lags get less of the error: there, a change looks like an outlier of a heavy tail.
    short = np.array(noises.lags(n)) < SHORT
    often, seldom = (np.quantile(largest, 1 - p, axis=1).max(axis=0) for p in (0.025, 0.01))
    weights = np.where(short, seldom, often)
    memory = np.array([null.memory.mean() - RARE * null.memory.std() for null in nulls])
    return Reference(noises.lags(n), weights, (largest / weights).max(axis=2), memory, factor)


def _check(steps: np.ndarray, values: np.ndarray) -> None:
    if len(steps) < FEWEST:
        raise QueryError(
            f"{too_few(len(steps), 'checkpoint')} to separate events from noise: score at "
            f"least {FEWEST}"
        )
    if not np.isfinite(values).all():
        raise QueryError("the trajectory has values that are not finite: expected a number each")


def _significant(curve: Curve) -> list[Event]:
    peaks = [event for event in _peaks(curve) if event.p_value < LEVEL]
    null = changes_null(len(curve.values))
    found = jumps(curve, null.weights, _inside(curve, peaks))
    changes = (_change(curve, jump, null) for jump in found)
    return [*peaks, *(event for event in changes if event.p_value < LEVEL)]


def _peaks(curve: Curve) -> Iterator[Event]:
    """Each local peak, tested on the side that goes against the curve as a whole.

    The rise, if the loss falls from its first to its last value: that a falling curve falls after
    the peak is no surprise. The other side must be more than the usual noise, too.
    """
    null = rises_null(len(curve.values))
    peaks, facts = signal.find_peaks(curve.values, prominence=0)
    sides = zip(peaks, facts["left_bases"], facts["right_bases"], strict=True)
    by_lag = noises.by_lag(curve.values[None])
    changes = curve.beside_rise.over_noise(by_lag)
    against, memory = int(curve.rises), float(curve.beside_rise.memory[0])
    for peak, left, right in sides:
        top = _top(curve.values, int(peak))
        found = _rise_to(changes, null, int(left), top), _fall_from(changes, null, top, int(right))
        if null.p_value(found[1 - against][0], memory) <= OTHER_SIDE:
            weighted, ratio = found[against]
            yield _peak(curve, int(peak), ratio, null.p_value(weighted, memory))


def _top(values: np.ndarray, peak: int) -> tuple[int, int]:
    """First and last column of the upper half of a peak."""
    size = float(signal.peak_prominences(values, [peak])[0][0])
    first, last = _around(values, peak, size / 2)
    return first + 1, last - 1


def _rise_to(
    changes: list[np.ndarray], null: Reference, base: int, top: tuple[int, int]
) -> tuple[float, float]:
    """The largest rise from a base or later to the top: over noise and weight, and over noise."""
    best = (0.0, 0.0)
    for lag, change, weight in zip(null.lags, changes, null.weights, strict=True):
        starts = change[0, max(base, top[0] - lag) : max(top[1] - lag + 1, 0)]
        ratio = float(starts.max(initial=0.0))
        best = max(best, (ratio / float(weight), ratio))
    return best


def _fall_from(
    changes: list[np.ndarray], null: Reference, top: tuple[int, int], base: int
) -> tuple[float, float]:
    """The largest fall from the top to a base or earlier, in the same way."""
    best = (0.0, 0.0)
    for lag, change, weight in zip(null.lags, changes, null.weights, strict=True):
        starts = change[0, top[0] : max(min(top[1], base - lag) + 1, 0)]
        ratio = float((-starts).max(initial=0.0))
        best = max(best, (ratio / float(weight), ratio))
    return best


def _peak(curve: Curve, peak: int, ratio: float, p_value: float) -> Event:
    size = float(signal.peak_prominences(curve.values, [peak])[0][0])
    first, last = _around(curve.values, peak, size)
    half = _around(curve.values, peak, size / 2)
    narrow = curve.place[half[1]] - curve.place[half[0]] <= NARROW
    kind = "spike" if narrow else "hump"
    return Event(kind, first, peak, last, size, ratio, p_value, EVENT)


def _around(values: np.ndarray, peak: int, depth: float) -> tuple[int, int]:
    """The nearest columns on both sides of a peak that are `depth` below it."""
    low = np.flatnonzero(values <= values[peak] - depth * (1 - 1e-12))
    return int(low[low < peak].max()), int(low[low > peak].min())


def _inside(curve: Curve, events: list[Event]) -> np.ndarray:
    """Is a column inside a spike or hump? bool (n,)"""
    inside = np.zeros(len(curve.values), dtype=bool)
    for event in events:
        inside[event.first : event.last + 1] = True
    return inside


def _change(curve: Curve, jump: Jump, null: Reference) -> Event:
    size = abs(float(curve.values[jump.last] - curve.values[jump.first]))
    p_value = null.p_value(jump.weighted, float(curve.beside_change.memory[0]))
    return Event(
        "change_point", jump.first, jump.middle, jump.last, size, jump.ratio, p_value, EVENT
    )


@dataclass(frozen=True)
class _Windows:
    """Windows of about 0.1 decades, one from each column that has one."""

    first: np.ndarray
    last: np.ndarray
    change: np.ndarray
    slope: np.ndarray
    ratio: np.ndarray
    """Change over noise, over what noise alone reaches: beyond 1 is more than noise."""


def _windows(curve: Curve) -> _Windows:
    n = len(curve.values)
    last = np.searchsorted(curve.place, curve.place + WINDOW - 1e-12)
    last = np.maximum(last, np.arange(n) + 4)
    first = np.flatnonzero(last < n)
    last = last[first]
    # A running median keeps single outliers out; where checkpoints are sparse it would flatten.
    calm = noises.running_median(curve.values, 3)
    change = calm[last] - calm[first]
    slope = change / (curve.place[last] - curve.place[first])
    return _Windows(first, last, change, slope, change / _reach(curve, last - first))


def _reach(curve: Curve, lag: np.ndarray) -> np.ndarray:
    """How far noise alone goes at lags in checkpoints, nats."""
    reach = curve.beside_change.scales[0] * changes_null(len(curve.values)).weights
    result: np.ndarray = np.interp(lag, noises.lags(len(curve.values)), reach)
    return result


def _fastest_fall(curve: Curve, verdict: str) -> Iterator[Event]:
    windows = _windows(curve)
    fell = windows.ratio < (-1 if verdict == DESCRIPTION else 0)
    if not fell.any():
        return
    at = int(np.where(fell, windows.slope, np.inf).argmin())
    start, end = _run(windows.slope <= windows.slope[at] / 2, at)
    first, last = int(windows.first[start]), int(windows.last[end])
    middle = _middle(curve.place, int(windows.first[at]), int(windows.last[at]))
    size = float(curve.values[first] - curve.values[last])
    ratio = size / float(_noise_at(curve, last - first))
    yield Event("fastest_fall", first, middle, last, size, ratio, np.nan, verdict)


def _largest_rise(curve: Curve) -> Event:
    lowest = np.minimum.accumulate(curve.values)
    last = int((curve.values - lowest).argmax())
    first = int(curve.values[: last + 1].argmin())
    size = float(curve.values[last] - curve.values[first])
    ratio = size / float(_noise_at(curve, max(last - first, 1)))
    return Event("largest_rise", first, last, last, size, ratio, np.nan, CANNOT_TELL)


def _plateaus(curve: Curve) -> Iterator[Event]:
    windows = _windows(curve)
    span = curve.place[-1] - curve.place[0]
    calm = noises.running_median(curve.values, 3)
    slope = float(calm[0] - calm[-1]) / span
    noise = _noise_at(curve, windows.last - windows.first)
    width = curve.place[windows.last] - curve.place[windows.first]
    flat = np.abs(windows.change) <= FLAT * abs(slope) * width + 2 * noise
    starts = np.flatnonzero(flat & ~np.r_[False, flat[:-1]])
    for start, end in (_run(flat, int(i)) for i in starts):
        first, last = int(windows.first[start]), int(windows.last[end])
        missing = abs(slope) * float(curve.place[last] - curve.place[first])
        change = abs(float(calm[last] - calm[first]))
        if (
            missing > _reach(curve, np.array(last - first))
            and change < missing / 2
            and not flat.all()
        ):
            ratio = missing / float(_noise_at(curve, last - first))
            middle = _middle(curve.place, first, last)
            yield Event("plateau", first, middle, last, missing, ratio, np.nan, DESCRIPTION)


def _noise_at(curve: Curve, lag: np.ndarray | int) -> np.ndarray:
    result: np.ndarray = np.interp(
        lag, noises.lags(len(curve.values)), curve.beside_change.scales[0]
    )
    return result


def _run(flags: np.ndarray, at: int) -> tuple[int, int]:
    """First and last of the neighbouring true flags around `at`."""
    first, last = at, at
    while first > 0 and flags[first - 1]:
        first -= 1
    while last + 1 < len(flags) and flags[last + 1]:
        last += 1
    return first, last


def _middle(place: np.ndarray, first: int, last: int) -> int:
    middle = (place[first] + place[last]) / 2
    return first + int(np.abs(place[first : last + 1] - middle).argmin())

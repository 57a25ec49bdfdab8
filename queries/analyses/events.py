"""What happened in a trajectory, noise aside: spikes, the fastest fall, plateaus, change points."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import signal, stats

from queries.errors import QueryError
from queries.stats import noise as noises
from queries.stats.change_points import Lines, Segment, cut
from queries.stats.noise import Noise
from queries.store import Store

FEWEST = 20
"""Checkpoints that can tell noise from events."""
LEVEL = 0.025
"""Of each of two families, rises and what segments tell, so 0.05 for all."""
SIMULATIONS = 199
NARROW = 0.3
"""Decades of steps: a rise and fall that is wider at half its height is a hump, no spike."""
FLAT = 0.1
"""A plateau's slope is at most this share of the run's, give or take two standard errors."""


@dataclass(frozen=True)
class Event:
    """One line of `events`; first, peak, last are columns."""

    kind: str
    first: int
    peak: int
    last: int
    size: float
    noise_ratio: float
    p_value: float


def events(store: Store, group: str = "true", baseline: str | None = None) -> pd.DataFrame:
    """What happened in a group's mean loss, or in its difference to the group `baseline`.

    As `find_events`. Raises GroupError, and QueryError for a store of under 20 checkpoints.
    """
    return find_events(np.array(store.steps), trajectory(store, group, baseline))


def trajectory(store: Store, group: str, baseline: str | None = None) -> np.ndarray:
    """What `events` looks at, float64 (checkpoints,) in nats."""
    if baseline is None:
        return store.trajectories({"": group})["mean_loss"].to_numpy()
    return store.difference(group, baseline)["difference"].to_numpy()


def find_events(steps: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """The events of a trajectory, `values` float64 (checkpoints,) in nats at int64 `steps`.

    Returns kind, first, peak, last (steps), size (nats), noise_ratio, p_value; in order of first.
    Slopes are in log10(1 + step). Listed is what noise gives with a probability under 0.025 for the
    whole trajectory, among rises and among the other kinds:

    - spike: a rise and fall. Size is its prominence, the height of the peak over the higher of the
      lowest points on either side before a higher peak; first and last are where the loss is at
      that level. hump: the same, wider than 0.3 decades at half its height. Noise_ratio is size
      over the noise's standard deviation at the peak; p_value the share of 199 simulated
      trajectories of that noise with as high a ratio anywhere.
    - fastest_fall: the steepest straight segment, and its neighbours at least half as steep; peak
      is the steepest one's middle. Size is the fall; noise_ratio the slope over its standard error.
    - plateau: segments whose slope is at most a tenth of the mean slope of the run (give or take
      two standard errors), with a cut on some side. Size is what the loss would have fallen at that
      mean slope; peak is the middle. Noise_ratio is of the slope's difference from the mean slope.
    - change_point: where one segment ends (first) and the next begins (peak and last). Size is how
      far the line before, carried on to the end of the next segment, is off there; noise_ratio the
      square root of what the cut takes off the misfit, which is chi-square distributed (2) where
      there is none. Segments: `change_points.cut`, without the checkpoints in spikes. These and
      the two above have p_values times the number of checkpoints (Bonferroni).

    The noise is estimated by `stats.noise`: what goes up and down from one checkpoint to the next,
    with an AR(1) memory. Slower waves count as events; with a memory of 0.4, of trajectories of 100
    checkpoints, 6 % have a false one. Raises QueryError for under 20 checkpoints.
    """
    if len(steps) < FEWEST:
        raise QueryError(
            f"{len(steps)} checkpoints cannot tell events from noise: score at least {FEWEST}"
        )
    place = np.log10(1.0 + steps)
    noise = noises.estimate(place, values)
    rises = list(_rises(place, values, noise))
    kept = np.flatnonzero(~_within(rises, len(steps)))
    lines = Lines(place[kept], values[kept], _no_zeros(noise.lasting[kept]))
    found = [*rises, *(_moved(e, kept) for e in _of_segments(place[kept], lines))]
    frame = pd.DataFrame([astuple(e) for e in found], columns=[f.name for f in fields(Event)])
    for column in ("first", "peak", "last"):
        frame[column] = steps[frame[column].to_numpy(np.int64)]
    return frame.sort_values(["first", "kind"], ignore_index=True)


def _rises(place: np.ndarray, values: np.ndarray, noise: Noise) -> Iterator[Event]:
    peaks, ratios = _peaks(values, noise.scale)
    draws = noises.simulate(noise, SIMULATIONS)
    null = noises.estimate(place, draws)
    highest = [_peaks(d, s)[1].max(initial=0) for d, s in zip(draws, null.scale, strict=True)]
    for peak, ratio in zip(peaks.tolist(), ratios.tolist(), strict=True):
        p_value = (1 + np.sum(np.array(highest) >= ratio)) / (1 + SIMULATIONS)
        if p_value < LEVEL:
            yield _rise(place, values, peak, ratio, float(p_value))


def _peaks(values: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of local peaks, and their prominence over the noise there."""
    peaks, facts = signal.find_peaks(values, prominence=0)
    return peaks, facts["prominences"] / _no_zeros(scale)[peaks]


def _rise(place: np.ndarray, values: np.ndarray, peak: int, ratio: float, p_value: float) -> Event:
    size = float(signal.peak_prominences(values, [peak])[0][0])
    first, last = _around(values, peak, size)
    narrow = np.diff(place[list(_around(values, peak, size / 2))])[0] <= NARROW
    return Event("spike" if narrow else "hump", first, peak, last, size, ratio, p_value)


def _around(values: np.ndarray, peak: int, depth: float) -> tuple[int, int]:
    """The nearest columns on both sides of a peak that are `depth` below it."""
    low = np.flatnonzero(values <= values[peak] - depth * (1 - 1e-12))
    return int(low[low < peak].max()), int(low[low > peak].min())


def _within(rises: list[Event], n: int) -> np.ndarray:
    """Is a column inside of a spike? bool (n,)"""
    inside = np.zeros(n, dtype=bool)
    for event in rises:
        if event.kind == "spike":
            inside[event.first + 1 : event.last] = True
    return inside


def _of_segments(place: np.ndarray, lines: Lines) -> list[Event]:
    segments = cut(lines)
    changes = (_change(place, lines, one, two) for one, two in pairwise(segments))
    found = [*_fastest(place, segments), *_plateaus(place, segments), *changes]
    return [event for event in found if event.p_value < LEVEL]


def _fastest(place: np.ndarray, segments: list[Segment]) -> Iterator[Event]:
    at = min(range(len(segments)), key=lambda i: segments[i].slope)
    steepest = segments[at]
    if steepest.slope >= 0:
        return
    alike = [s.slope <= steepest.slope / 2 for s in segments]
    start, end = _run(alike, at)
    one, two = segments[start], segments[end]
    size = one.at(place[one.first]) - two.at(place[two.last])
    ratio = -steepest.slope / steepest.slope_error
    middle = _middle(place, steepest.first, steepest.last)
    p_value = _bonferroni(float(stats.norm.sf(ratio)), len(place))
    yield Event("fastest_fall", one.first, middle, two.last, size, ratio, p_value)


def _plateaus(place: np.ndarray, segments: list[Segment]) -> Iterator[Event]:
    fall = segments[0].at(place[0]) - segments[-1].at(place[-1])
    slope = -fall / (place[-1] - place[0])
    flat = [abs(s.slope) <= FLAT * abs(slope) + 2 * s.slope_error for s in segments]
    starts = [i for i, f in enumerate(flat) if f and not (i and flat[i - 1])]
    for start, end in (_run(flat, i) for i in starts):
        one, two = segments[start], segments[end]
        if end - start + 1 == len(segments):
            return
        inside = segments[start : end + 1]
        ratio = max(abs(s.slope - slope) / s.slope_error for s in inside)
        size = abs(slope) * (place[two.last] - place[one.first])
        p_value = _bonferroni(2 * float(stats.norm.sf(ratio)), len(place))
        middle = _middle(place, one.first, two.last)
        yield Event("plateau", one.first, middle, two.last, float(size), ratio, p_value)


def _change(place: np.ndarray, lines: Lines, one: Segment, two: Segment) -> Event:
    gain = lines.gain(one, two)
    end = place[two.last]
    p_value = _bonferroni(float(stats.chi2.sf(gain, 2)), len(place))
    return Event(
        "change_point",
        one.last,
        two.first,
        two.first,
        abs(two.at(end) - one.at(end)),
        gain**0.5,
        p_value,
    )


def _run(flags: list[bool], at: int) -> tuple[int, int]:
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


def _moved(event: Event, columns: np.ndarray) -> Event:
    """The event in columns of the whole trajectory."""
    first, peak, last = (int(columns[c]) for c in (event.first, event.peak, event.last))
    return Event(event.kind, first, peak, last, event.size, event.noise_ratio, event.p_value)


def _bonferroni(p_value: float, n: int) -> float:
    return min(1.0, p_value * n)


def _no_zeros(scale: np.ndarray) -> np.ndarray:
    """A trajectory without any noise, as a made-up one, is told from one with hardly any."""
    result: np.ndarray = np.maximum(scale, 1e-9)
    return result

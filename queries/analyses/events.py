"""Events of a trajectory: spikes, humps, the fastest fall, plateaus and change points."""

from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from itertools import pairwise
from typing import Annotated

import numpy as np
import pandas as pd
from scipy import signal, stats

from queries.analyses.base import Chart, Group, WithScript, python_script
from queries.errors import QueryError
from queries.stats import noise as noises
from queries.stats.change_points import Lines, Segment, cut
from queries.stats.noise import Noise
from queries.store import Store

FEWEST = 20
"""Checkpoints needed to separate noise from events."""
LEVEL = 0.025
"""Significance level of each of two families (rises; segments), so 0.05 in total."""
SIMULATIONS = 199
NARROW = 0.3
"""In log10 steps: a rise and fall that is wider at half its height is a hump, not a spike."""
FLAT = 0.1
"""A plateau's slope is at most this share of the run's slope, within two standard errors."""


@dataclass(frozen=True)
class Events(WithScript):
    """The events of one trajectory."""

    frame: pd.DataFrame
    """kind, first, peak, last (steps), size (nats), noise_ratio, p_value; see `find_events`."""
    trajectory: pd.DataFrame
    """checkpoint, value (nats): the trajectory that was searched."""
    is_difference: bool
    """Is `value` a difference of two groups?"""

    def chart(self) -> Chart:
        from queries.charts import analyses

        title = "first minus second (nats)" if self.is_difference else "mean loss (nats)"
        steps, values = (self.trajectory[name].to_numpy() for name in ("checkpoint", "value"))
        return analyses.events(self.frame, steps, values, title)


def events(
    store: Store,
    group: Annotated[str, Group("group to analyse")] = "true",
    baseline: Annotated[str | None, Group("group to subtract")] = None,
) -> Events:
    """The events of a group's mean loss, or of its difference from the group `baseline`.

    `find_events` defines them. Raises GroupError, and QueryError for a store with fewer than 20
    checkpoints.
    """
    steps, values = np.array(store.steps), _values(store, group, baseline)
    return Events(
        find_events(steps, values),
        pd.DataFrame({"checkpoint": steps, "value": values}),
        baseline is not None,
        code=python_script(store, events, group=group, baseline=baseline),
    )


def _values(store: Store, group: str, baseline: str | None) -> np.ndarray:
    """float64 (checkpoints,) in nats."""
    if baseline is None:
        return store.trajectories({"": group})["mean_loss"].to_numpy()
    return store.difference(group, baseline)["difference"].to_numpy()


@dataclass(frozen=True)
class Event:
    """One row of `find_events`; first, peak and last are columns of the trajectory."""

    kind: str
    first: int
    peak: int
    last: int
    size: float
    noise_ratio: float
    p_value: float


def find_events(steps: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    """The events of a trajectory, `values` float64 (checkpoints,) in nats at int64 `steps`.

    Returns kind, first, peak, last (steps), size (nats), noise_ratio, p_value; in order of first.
    Slopes are in log10(1 + step). An event is listed if noise alone gives one with a probability
    below 0.025 anywhere in the trajectory; this holds for the rises and for the other kinds.

    - spike: a rise and fall. Its size is its prominence: the height of the peak above the higher of
      the two lowest points between it and a higher peak on either side. first and last are where
      the loss is at that level. hump: the same, wider than 0.3 log10 steps at half its height.
      noise_ratio is size over the noise's standard deviation at the peak; p_value is the share of
      199 simulated trajectories of such noise with at least that ratio anywhere.
    - fastest_fall: the steepest straight segment and its neighbours that are at least half as
      steep; peak is the middle of the steepest one. size is the fall; noise_ratio is the slope over
      its standard error.
    - plateau: segments whose slope is at most a tenth of the mean slope of the run (within two
      standard errors), next to at least one change point. size is the fall that the mean slope
      would have given; peak is the middle. noise_ratio is that of the slope's difference from the
      mean slope.
    - change_point: where one segment ends (first) and the next one begins (peak and last). size is
      the distance between the two segments' lines at the end of the second. noise_ratio is the
      square root of the reduction of the misfit by the cut, which is chi-square distributed (2
      degrees of freedom) if there is no change. `change_points.cut` finds the segments, without the
      checkpoints inside spikes. p_values of these and the two kinds above are multiplied by the
      number of checkpoints (Bonferroni).

    `stats.noise` estimates the noise: the variation from one checkpoint to the next, with an AR(1)
    memory. Slower waves count as events: at a memory of 0.4, 6 % of trajectories with 100
    checkpoints have a false one. Raises QueryError for fewer than 20 checkpoints.
    """
    if len(steps) < FEWEST:
        raise QueryError(
            f"{len(steps)} checkpoints are too few to separate events from noise: score at least "
            f"{FEWEST}"
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
    """The nearest columns on both sides of a peak that are at least `depth` below it."""
    low = np.flatnonzero(values <= values[peak] - depth * (1 - 1e-12))
    return int(low[low < peak].max()), int(low[low > peak].min())


def _within(rises: list[Event], n: int) -> np.ndarray:
    """Which columns are inside a spike, bool (n,)."""
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
    steep = [s.slope <= steepest.slope / 2 for s in segments]
    start, end = _run(steep, at)
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
    """First and last place of the run of true flags around `at`."""
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
    """The event, its places given in columns of the whole trajectory."""
    first, peak, last = (int(columns[c]) for c in (event.first, event.peak, event.last))
    return Event(event.kind, first, peak, last, event.size, event.noise_ratio, event.p_value)


def _bonferroni(p_value: float, n: int) -> float:
    return min(1.0, p_value * n)


def _no_zeros(scale: np.ndarray) -> np.ndarray:
    """At least 1e-9 nats, so that simulated trajectories without noise cause no division by 0."""
    result: np.ndarray = np.maximum(scale, 1e-9)
    return result

"""Sharp jumps of a trajectory: much steeper than the curve on both sides."""

from dataclasses import dataclass

import numpy as np

from queries.stats.time_series import noise as noises

SHARP = 0.15
"""Decades of steps: a wider change is a smooth one."""
STEEPER = 2.0
"""Times that a jump is steeper than the curve on both sides.

The slope of a power law, or of a logistic step wider than SHARP, changes less over such a width."""
SPARSE = 0.3
"""Decades of steps: a side whose checkpoints are farther apart says nothing about a jump."""


@dataclass(frozen=True)
class Jump:
    """A change between the columns `first` and `last`."""

    first: int
    middle: int
    """The column whose change from the one before is largest."""
    last: int
    ratio: float
    """What exceeds twice the slope of the steeper side, over the noise at that lag."""
    weighted: float
    """The same over what noise reaches at that lag."""


@dataclass(frozen=True)
class _Windows:
    """Windows of one lag with a side on both sides that is at least as wide."""

    before: np.ndarray
    first: np.ndarray
    last: np.ndarray
    after: np.ndarray


def jumps(curve: noises.Curve, weights: np.ndarray, excluded: np.ndarray) -> list[Jump]:
    """Jumps in residuals from a smooth curve, the largest first; they do not overlap.

    `weights` what noise reaches at each of `noise.lags`; `excluded` bool (n,), columns of other
    events.
    """
    candidates = []
    for i, values in enumerate(noises.by_lag(curve.residuals)):
        windows = _windows(curve.place, noises.lags(len(values))[i], excluded)
        excess = _excess(curve.place, values, windows)
        ratios = excess / curve.beside_change.noise(i, windows.first, windows.last)
        for at in np.flatnonzero(ratios > weights[i] / 2).tolist():
            first, last = int(windows.first[at]), int(windows.last[at])
            steps = np.abs(np.diff(curve.residuals[first : last + 1]))
            ratio = float(ratios[at])
            found = Jump(first, first + 1 + int(steps.argmax()), last, ratio, ratio / weights[i])
            candidates.append(found)
    return _apart(curve.place, sorted(candidates, key=lambda jump: -jump.weighted))


def _windows(place: np.ndarray, lag: int, excluded: np.ndarray) -> _Windows:
    first = np.arange(len(place) - lag)
    last = first + lag
    width = place[last] - place[first]
    before = np.searchsorted(place, place[first] - width + 1e-12, "right") - 1
    after = np.searchsorted(place, place[last] + width - 1e-12)
    inside = (before >= 0) & (after < len(place)) & (width <= SHARP)
    before, first, last, after = (part[inside] for part in (before, first, last, after))
    near = (place[first] - place[before] <= SPARSE) & (place[after] - place[last] <= SPARSE)
    counts = np.r_[0, np.cumsum(excluded)]
    kept = near & (counts[last + 1] == counts[first])
    return _Windows(*(part[kept] for part in (before, first, last, after)))


def _excess(place: np.ndarray, curve: np.ndarray, windows: _Windows) -> np.ndarray:
    """How far a change exceeds twice what the steeper side would have given, nats."""
    change = np.abs(curve[windows.last] - curve[windows.first])
    width = place[windows.last] - place[windows.first]
    left = np.abs(_slope(place, curve, windows.before, windows.first))
    right = np.abs(_slope(place, curve, windows.last, windows.after))
    result: np.ndarray = change - STEEPER * np.maximum(left, right) * width
    return result


def _slope(place: np.ndarray, curve: np.ndarray, first: np.ndarray, last: np.ndarray) -> np.ndarray:
    result: np.ndarray = (curve[last] - curve[first]) / (place[last] - place[first])
    return result


def _apart(place: np.ndarray, candidates: list[Jump]) -> list[Jump]:
    kept: list[Jump] = []
    for jump in candidates:
        low, high = place[jump.first] - SHARP / 2, place[jump.last] + SHARP / 2
        if all(place[other.last] < low or place[other.first] > high for other in kept):
            kept.append(jump)
    return kept

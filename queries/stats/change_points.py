"""Change points: cut a trajectory into straight lines in log step."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

SHORTEST = 4
"""Minimum number of checkpoints per line."""
ALARMS = 0.001
"""Probability that the penalty cuts a straight line, if the noise were known exactly.

Since the noise is estimated, it is several times larger (tests/queries/analyses/test_events.py).
"""


@dataclass(frozen=True)
class Segment:
    """A weighted least-squares line through the checkpoints in columns `first` to `last`."""

    first: int
    last: int
    level: float
    """Nats at place 0."""
    slope: float
    """Nats per unit of place (log10 step)."""
    slope_error: float
    """Standard error of the slope."""

    def at(self, place: float) -> float:
        return self.level + self.slope * place


class Lines:
    """Cumulative sums, from which the line and misfit of any segment follow.

    `place` and `values` float64 (checkpoints,); `scale` is the noise's standard deviation at each.
    """

    def __init__(self, place: np.ndarray, values: np.ndarray, scale: np.ndarray) -> None:
        self._centre = np.array([place.mean(), values.mean()])
        x, y, w = place - self._centre[0], values - self._centre[1], scale**-2.0
        parts = np.array([w, w * x, w * y, w * x * x, w * x * y, w * y * y])
        self._sums = np.concatenate([np.zeros((6, 1)), parts.cumsum(axis=1)], axis=1)
        self.n = len(place)

    def misfits(self, first: np.ndarray, last: int) -> np.ndarray:
        """Squared residuals over the noise's variance, summed, of the segments first … last."""
        xx, xy, yy = self._moments(first, last)[3:]
        slope = np.divide(xy, xx, out=np.zeros_like(xy), where=xx > 0)
        result: np.ndarray = np.maximum(yy - slope * xy, 0)
        return result

    def segment(self, first: int, last: int) -> Segment:
        """The line through first … last."""
        w, x, y, xx, xy, _ = (float(part[0]) for part in self._moments(np.array([first]), last))
        slope = xy / xx
        level = y / w + self._centre[1] - slope * (x / w + self._centre[0])
        return Segment(first, last, level, slope, xx**-0.5)

    def gain(self, one: Segment, two: Segment) -> float:
        """By how much two neighbours' misfit is below that of one line through both."""
        ends = ((one.first, two.last), (one.first, one.last), (two.first, two.last))
        whole, left, right = (float(self.misfits(np.array([a]), b)[0]) for a, b in ends)
        return whole - left - right

    def _moments(self, first: np.ndarray, last: int) -> tuple[np.ndarray, ...]:
        """Each segment's sums of w, wx, wy, then of squares and products about its means."""
        w, x, y, xx, xy, yy = self._sums[:, [last + 1]] - self._sums[:, first]
        return w, x, y, xx - x * x / w, xy - x * y / w, yy - y * y / w


def cut(lines: Lines) -> list[Segment]:
    """The segments, at least one, that minimise the misfit plus a penalty for each cut.

    Optimal partitioning (Jackson et al. 2005, IEEE Signal Processing Letters 12:105). A cut adds
    two parameters at one of n places, so the penalty is the chi-square with 2 degrees of freedom
    that chance exceeds with probability 0.001 / n.
    """
    penalty = float(stats.chi2.isf(ALARMS / lines.n, 2))
    cost = np.full(lines.n + 1, np.inf)
    cost[0] = -penalty
    begin = np.zeros(lines.n + 1, dtype=np.int64)
    for last in range(SHORTEST - 1, lines.n):
        first = np.arange(last - SHORTEST + 2)
        total = cost[first] + lines.misfits(first, last) + penalty
        begin[last + 1] = best = int(total.argmin())
        cost[last + 1] = total[best]
    return _traced(lines, begin)


def _traced(lines: Lines, begin: np.ndarray) -> list[Segment]:
    segments: list[Segment] = []
    end = lines.n
    while end > 0:
        segments.insert(0, lines.segment(int(begin[end]), end - 1))
        end = int(begin[end])
    return segments

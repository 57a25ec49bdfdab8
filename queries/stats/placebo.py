"""Placebo pairs: how much two regions of training share if nothing particular happens in them.

Whatever moves most in one region moves back in the next: a token's loss is noisy, and its noise is
autocorrelated, so the lists of two regions overlap without any common cause, the more the nearer
they are. The reference that keeps all of this is the same comparison elsewhere in the same run:
pairs of regions with the same widths and the same gap that share no checkpoint with the regions
in question. If the noise does not change over training, and nothing happened, each of the n + 1
pairs is as likely as any other to share the most, also if they overlap each other; so the rank of
the observed pair gives the p-value (a randomization test over time: "placebos in time" in Abadie,
Diamond and Hainmueller 2015, American J. Political Science 59:495).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

FEWEST = 10
"""Placebo pairs."""
LEVEL = 0.05
MOST = 99
"""Placebo pairs; the nearest ones."""
MOST_REGIONS = 20
FACTOR = 2.0
"""By which a placebo's steps may be more or fewer than those of the region it stands for."""
Pair = tuple[tuple[int, int], tuple[int, int]]
"""The first and last column of two regions."""


@dataclass(frozen=True)
class Placebos:
    """What the placebo pairs say about observed counts, by line (a way to compare two regions)."""

    n: int
    """Placebo pairs."""
    mean: np.ndarray
    """Of their counts, float64 (lines,); NaN for none."""
    p_value: np.ndarray
    """float64 (lines,): never below 1 / (n + 1); NaN below 10 pairs."""
    needed: np.ndarray
    """The smallest count with p below 0.05, float64 (lines,); NaN below 20 pairs."""
    verdict: str
    """Empty, or "cannot tell" and why."""


def placebo_pairs(steps: np.ndarray, first: tuple[int, int], second: tuple[int, int]) -> list[Pair]:
    """Pairs with the checkpoints and the gap of two regions that share no checkpoint with them.

    `steps` int64 (checkpoints,), increasing; regions are first and last columns, both included.
    Left out are pairs of which a region, or the whole, spans more than twice as many steps as the
    observed one, or fewer than half. Of the others the nearest 99, in the order of training.
    """
    start, end = min(first[0], second[0]), max(first[1], second[1])
    shifts = np.arange(-start, len(steps) - end)
    taken = {*range(first[0], first[1] + 1), *range(second[0], second[1] + 1)}
    found = []
    for by in sorted(shifts.tolist(), key=abs):
        pair = _moved(first, by), _moved(second, by)
        if _is_apart(pair, taken) and _is_similar(steps, pair, (first, second)):
            found.append(pair)
    return sorted(found[:MOST])


def _moved(region: tuple[int, int], by: int) -> tuple[int, int]:
    return region[0] + by, region[1] + by


def _is_apart(pair: Pair, taken: set[int]) -> bool:
    return not any(taken.intersection(range(a, b + 1)) for a, b in pair)


def _is_similar(steps: np.ndarray, pair: Pair, observed: Pair) -> bool:
    ratios = [
        _span(steps, one) / _span(steps, two)
        for one, two in zip((*pair, _whole(pair)), (*observed, _whole(observed)), strict=True)
    ]
    return all(1 / FACTOR <= ratio <= FACTOR for ratio in ratios)


def _whole(pair: Pair) -> tuple[int, int]:
    return min(a for a, _ in pair), max(b for _, b in pair)


def _span(steps: np.ndarray, region: tuple[int, int]) -> float:
    return float(steps[region[1]] - steps[region[0]])


def placebo_regions(
    steps: np.ndarray, region: tuple[int, int], avoid: tuple[int, int]
) -> list[tuple[int, int]]:
    """Regions with as many checkpoints as `region` that share none with it, `avoid` or each other.

    `steps` int64 (checkpoints,), increasing; regions are first and last steps. Nearest first; at
    most 20 of them.
    """
    in_region = (steps >= region[0]) & (steps <= region[1])
    free = np.flatnonzero(~in_region & ~((steps >= avoid[0]) & (steps <= avoid[1])))
    width, start = int(in_region.sum()), int(in_region.argmax())
    runs = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1)
    tiles = [tile for run in runs for tile in _tiles(run, width, start)]
    nearest = sorted(tiles, key=lambda tile: abs(tile - start))[:MOST_REGIONS]
    return [(int(steps[at]), int(steps[at + width - 1])) for at in nearest]


def _tiles(run: np.ndarray, width: int, start: int) -> Iterator[int]:
    """Columns at which regions begin in a run of free columns, from the end nearer to `start`."""
    left_over = len(run) % width if len(run) and run[0] < start else 0
    for at in range(left_over, len(run) - width + 1, width):
        yield int(run[at])


def compared(observed: np.ndarray, placebos: np.ndarray) -> Placebos:
    """Are observed counts unusually large among those of the placebo pairs?

    `observed` int64 (lines,), `placebos` int64 (pairs, lines). Lines with large and small counts
    are made comparable by Anscombe's square root (1948, Biometrika 35:246), minus its mean and
    divided by its standard deviation over all pairs, or by that of random counts (1) if this is
    larger: a line that nearly never shares anything is not extreme with one.

    A line's p-value is (1 + pairs with any line as extreme) / (n + 1), so it holds for a reader who
    looks at all lines (single-step adjustment of Westfall and Young 1993, Resampling-Based Multiple
    Testing).
    """
    n, n_lines = len(placebos), len(observed)
    none = np.full(n_lines, np.nan)
    mean = placebos.mean(axis=0) if n else none
    if n < FEWEST:
        verdict = f"cannot tell: {n} placebo pair{'s' * (n != 1)}, at least {FEWEST} are needed"
        return Placebos(n, mean, none, none, verdict)
    needed = np.array([_needed(observed, placebos, line) for line in range(n_lines)])
    return Placebos(n, mean, _p_values(observed, placebos), needed, "")


def _p_values(observed: np.ndarray, placebos: np.ndarray) -> np.ndarray:
    every = 2 * np.sqrt(np.vstack([observed, placebos]) + 0.375)
    z = (every - every.mean(axis=0)) / np.maximum(every.std(axis=0), 1)
    extreme = z[1:].max(axis=1)[:, None] >= z[0] - 1e-9
    p_values: np.ndarray = (1 + extreme.sum(axis=0)) / len(every)
    return p_values


def _needed(observed: np.ndarray, placebos: np.ndarray, line: int) -> float:
    """The smallest count of the line with p below 0.05 if other lines stay as they are, or NaN."""

    def is_enough(count: int) -> bool:
        tried = observed.copy()
        tried[line] = count
        return bool(_p_values(tried, placebos)[line] < LEVEL)

    low, high = 0, 100 * (1 + int(placebos[:, line].max()))
    if not is_enough(high):
        return np.nan
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle + 1, high)
    return float(low)

"""Which of the checkpoints to score: pure functions of the ordered list."""

import math
from bisect import bisect_left
from dataclasses import dataclass

from ingest.checkpoints import Checkpoint
from ingest.errors import IngestError


@dataclass(frozen=True)
class StepRange:
    """`first:last:spacing`, both ends included; what is None is open."""

    first: int = 0
    last: int | None = None
    spacing: int = 1

    def holds(self, checkpoint: int) -> bool:
        """Is the checkpoint in the range and a whole number of spacings after its start?"""
        inside = self.first <= checkpoint <= (checkpoint if self.last is None else self.last)
        return inside and (checkpoint - self.first) % self.spacing == 0


@dataclass(frozen=True)
class Selection:
    """Applied in this order: steps, then every n-th, then at most so many."""

    steps: StepRange | None = None
    every: int = 1
    at_most: int | None = None


def parse_steps(text: str) -> StepRange:
    """`0:20000:500`, `:20000`, `1000:`. Raises ValueError for anything else."""
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise ValueError(text)
    first, last, spacing = (int(p) if p else None for p in [*parts, ""][:3])
    if spacing == 0 or any(p is not None and p < 0 for p in (first, last, spacing)):
        raise ValueError(text)
    return StepRange(first or 0, last, spacing or 1)


def select(checkpoints: list[Checkpoint], selection: Selection) -> list[Checkpoint]:
    """The chosen ones, in order. Raises IngestError where none is left."""
    steps = selection.steps
    chosen = [c for c in checkpoints if steps is None or steps.holds(c.checkpoint)]
    chosen = chosen[:: selection.every]
    if not chosen:
        raise IngestError(
            f"--steps chooses none of {len(checkpoints)} checkpoints, which go from "
            f"{checkpoints[0].checkpoint:,} to {checkpoints[-1].checkpoint:,}: widen it"
        )
    if selection.at_most is None or len(chosen) <= selection.at_most:
        return chosen
    return [chosen[i] for i in _spread([c.checkpoint for c in chosen], selection.at_most)]


def _spread(numbers: list[int], at_most: int) -> list[int]:
    """Places of at most so many numbers, as evenly spread over log(1 + number) as there are any.

    Where the numbers are sparser than an even grid, several of its points fall on one number; so
    the finest grid is taken that does not reach more than `at_most` numbers.
    """
    logs = [math.log1p(n) for n in numbers]
    fits, too_fine = at_most, 64 * len(numbers)
    while too_fine - fits > 1:
        middle = (fits + too_fine) // 2
        if len(_nearest(logs, middle)) <= at_most:
            fits = middle
        else:
            too_fine = middle
    return _nearest(logs, fits)


def _nearest(values: list[float], n_points: int) -> list[int]:
    """Places of the (ascending) values that are nearest to the points of an even grid."""
    first, last = values[0], values[-1]
    if n_points == 1:
        return [len(values) - 1]
    found = set()
    for point in (first + (last - first) * i / (n_points - 1) for i in range(n_points)):
        right = min(bisect_left(values, point), len(values) - 1)
        left = max(right - 1, 0)
        found.add(right if values[right] - point < point - values[left] else left)
    return sorted(found)

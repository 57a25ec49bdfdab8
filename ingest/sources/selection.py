"""Which checkpoints of a source a run scores: the selected ones, and a shard's share of them."""

import math
import re
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import IngestError
from ingest.sources.revisions import Checkpoint


@dataclass(frozen=True)
class StepRange:
    """`first:last:spacing`, both ends included. `last` is None for an open range."""

    first: int = 0
    last: int | None = None
    spacing: int = 1

    def holds(self, checkpoint: int) -> bool:
        """Is it inside the range, at a whole number of spacings from the start?"""
        inside = self.first <= checkpoint <= (checkpoint if self.last is None else self.last)
        return inside and (checkpoint - self.first) % self.spacing == 0


@dataclass(frozen=True)
class Selection:
    """Applied in this order: the range of steps, every n-th checkpoint, the maximum number."""

    steps: StepRange | None = None
    every: int = 1
    at_most: int | None = None


@dataclass(frozen=True)
class Shard:
    """The `number`-th (from 1) of `of` shares. Together, the shares hold each checkpoint once."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def share(self, checkpoints: list[Checkpoint]) -> list[Checkpoint]:
        """Every `of`-th checkpoint, so that all shares progress at the same rate."""
        return checkpoints[self.number - 1 :: self.of]

    def path_next_to(self, store: Path) -> Path:
        """A path of this shard's own, for its downloads for example."""
        return store.with_name(f"{store.name}.shard-{self.number}-of-{self.of}")


def parse_steps(text: str) -> StepRange:
    """`0:20000:500`, `:20000`, `1000:`. Raises ValueError for anything else."""
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise ValueError(text)
    first, last, spacing = (int(p) if p else None for p in [*parts, ""][:3])
    if spacing == 0 or any(p is not None and p < 0 for p in (first, last, spacing)):
        raise ValueError(text)
    return StepRange(first or 0, last, spacing or 1)


def parse_shard(text: str) -> Shard:
    """`3/16`. Raises ValueError for anything else, including `0/16`."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(text)
    return Shard(int(match[1]), int(match[2]))


def select(checkpoints: list[Checkpoint], selection: Selection) -> list[Checkpoint]:
    """The selected checkpoints, in order. Raises IngestError if none is left."""
    steps = selection.steps
    selected = [c for c in checkpoints if steps is None or steps.holds(c.checkpoint)]
    selected = selected[:: selection.every]
    if not selected:
        raise IngestError(
            f"--steps selects none of {len(checkpoints)} checkpoints, which range from "
            f"{checkpoints[0].checkpoint:,} to {checkpoints[-1].checkpoint:,}: widen it"
        )
    if selection.at_most is None or len(selected) <= selection.at_most:
        return selected
    return [selected[i] for i in _spread([c.checkpoint for c in selected], selection.at_most)]


def _spread(numbers: list[int], at_most: int) -> list[int]:
    """Indices of at most `at_most` numbers, as evenly spaced in log(1 + number) as possible.

    Where the numbers are sparser than an even grid, several grid points map to one number. So this
    uses the finest grid that reaches no more than `at_most` numbers.
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
    """Indices of the (ascending) values that are nearest to the points of an even grid."""
    first, last = values[0], values[-1]
    if n_points == 1:
        return [len(values) - 1]
    found = set()
    for point in (first + (last - first) * i / (n_points - 1) for i in range(n_points)):
        right = min(bisect_left(values, point), len(values) - 1)
        left = max(right - 1, 0)
        found.add(right if values[right] - point < point - values[left] else left)
    return sorted(found)

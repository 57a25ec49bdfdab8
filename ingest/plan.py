"""What a run would score, and what is odd about it: sizes, duplicates, gaps. Downloads nothing."""

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from ingest.errors import CheckpointError
from ingest.sources.checkpoints import Checkpoint, Naming, Selection, select
from ingest.sources.folder import Source, Weights, open_source

if TYPE_CHECKING:  # torch takes seconds to load: only where there is a text to try
    from ingest.trial import Trial

_AT_A_TIME = 8  # requests; the Hub limits more
_GAP = 1.5  # times the usual spacing on either side
_NEIGHBOURS = 3
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Outlook:
    """The chosen checkpoints with their weights, or why one has none; and the whole schedule.

    `schedule` is empty where checkpoints were picked by name.
    """

    source: str
    chosen: list[tuple[Checkpoint, Weights | CheckpointError]]
    n_published: int
    schedule: list[int]
    final: tuple[str, Weights] | None


def look(source: str | Path, naming: Naming, selection: Selection) -> Outlook:
    """Ask the source; on the Hub one request, one more for each checkpoint, one for main.

    Raises IngestError for an unusable source.
    """
    opened = open_source(source, store=None)
    published = opened.checkpoints(naming)
    chosen = select(published, selection)
    with ThreadPoolExecutor(_AT_A_TIME) as pool:
        final = pool.submit(opened.final)
        weights = list(pool.map(lambda c: _weights(opened, c), chosen))
        found = list(zip(chosen, weights, strict=True))
        schedule = [] if naming.revisions else [c.checkpoint for c in published]
        return Outlook(opened.name, found, len(published), schedule, final.result())


def report(outlook: Outlook, at_once: int) -> str:
    """Lines for people."""
    found = [w for _, w in outlook.chosen if isinstance(w, Weights)]
    numbers = [c.checkpoint for c, _ in outlook.chosen]
    largest = sum(sorted((w.size for w in found), reverse=True)[:at_once])
    lines = [
        f"{outlook.source}: {len(numbers):,} of {outlook.n_published:,} checkpoints, "
        f"{numbers[0]:,} to {numbers[-1]:,}",
        f"schedule: {_schedule(numbers)}",
        f"weights: {_size(sum(w.size for w in found))} in all, at most {_size(largest)} "
        f"on disk at once (--prefetch {at_once})",
    ]
    problems = findings(outlook)
    lines += [f"odd: {p}" for p in problems] or ["odd: nothing"]
    return "\n".join(lines)


def outlay(outlook: Outlook, trial: "Trial") -> str:
    """Lines for people: disk for the losses, and time."""
    n = sum(isinstance(w, Weights) for _, w in outlook.chosen)
    each = trial.n_tokens * trial.bytes_per_token
    return (
        f"losses: {trial.n_tokens:,} tokens of {trial.bytes_per_token:.1f} bytes: {_size(each)} a "
        f"checkpoint, {_size(n * each)} in all\n"
        f"time: about {_duration(n * trial.n_tokens / trial.tokens_per_second)} at "
        f"{trial.tokens_per_second:,.0f} tokens a second, as tried on {trial.device} with "
        f"{trial.attention} attention; more where downloads are slower than that"
    )


def findings(outlook: Outlook) -> list[str]:
    """Checkpoints without weights, with equal weights, equal to the final model; and gaps."""
    return [
        *(str(w) for _, w in outlook.chosen if isinstance(w, CheckpointError)),
        *_duplicates(outlook),
        *_gaps(outlook.schedule),
    ]


def _weights(source: Source, checkpoint: Checkpoint) -> Weights | CheckpointError:
    try:
        return source.weights(checkpoint)
    except CheckpointError as error:
        return error


def _duplicates(outlook: Outlook) -> Iterator[str]:
    same: dict[str, list[Checkpoint]] = defaultdict(list)
    for checkpoint, weights in outlook.chosen:
        if isinstance(weights, Weights) and weights.sha256:
            same[weights.sha256].append(checkpoint)
    for checkpoints in same.values():
        if len(checkpoints) > 1:
            names = ", ".join(c.revision for c in checkpoints)
            yield f"{names} have the very same weights"
    if outlook.final and (final := same.get(outlook.final[1].sha256 or "")):
        yield f"{final[0].revision} has the weights of {outlook.final[0]}"


def _gaps(numbers: list[int]) -> Iterator[str]:
    """Spacings that are large beside those before *and* after: a schedule that coarsens has none.

    The first spacing counts from 0; the last one has nothing after it and is never a gap.
    """
    points = sorted({0, *numbers})
    spacings = [b - a for a, b in pairwise(points)]
    for i, spacing in enumerate(spacings[:-1]):
        before = spacings[max(i - _NEIGHBOURS, 0) : i] or [0]
        after = spacings[i + 1 : i + 1 + _NEIGHBOURS]
        if spacing > _GAP * max(median(before), median(after)):
            yield f"there is nothing between {points[i]:,} and {points[i + 1]:,}"


def _schedule(numbers: list[int]) -> str:
    """`0 to 100 by 10, to 2,000 by 50`: spacings that hold for a while, else their range."""
    spacings = [b - a for a, b in pairwise(numbers)]
    runs: list[tuple[int, int]] = []  # spacing, the last checkpoint that has it
    for spacing, end in zip(spacings, numbers[1:], strict=True):
        if runs and runs[-1][0] == spacing:
            runs[-1] = (spacing, end)
        else:
            runs.append((spacing, end))
    if not runs:
        return f"{numbers[0]:,} alone"
    if len(runs) > 6:
        return f"from {numbers[0]:,}, spaced {min(spacings):,} to {max(spacings):,}"
    return f"from {numbers[0]:,} " + ", ".join(f"to {end:,} by {by:,}" for by, end in runs)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5_400 else f"{seconds / 3_600:,.1f} h"


def _size(n_bytes: float) -> str:
    """Decimal units, as the Hub counts."""
    power = min(max(len(str(int(n_bytes))) - 1, 0) // 3, len(_UNITS) - 1)
    value = n_bytes / 1_000**power
    return f"{value:,.0f} {_UNITS[power]}" if value >= 10 else f"{value:,.1f} {_UNITS[power]}"

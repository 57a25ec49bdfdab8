"""What a run would score, and what to know about it: sizes, duplicates, gaps. Downloads nothing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from ingest.errors import CheckpointError
from ingest.sources.audit import Parts, audit
from ingest.sources.checkpoint_files import tensor_digests
from ingest.sources.open import open_source
from ingest.sources.revisions import Checkpoint, Naming
from ingest.sources.selection import Selection, select
from ingest.sources.source import Source, Weights

if TYPE_CHECKING:  # torch takes seconds to import, and only a trial needs it
    from ingest.trial import Trial

_REQUESTS_AT_ONCE = 8  # the Hub limits the rate of requests
_GAP = 1.5  # times the usual spacing on both sides
_NEIGHBOURS = 3
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


@dataclass(frozen=True)
class Plan:
    """The selected checkpoints with their weights, or the reason why one has none.

    `schedule` holds all published steps; it is empty if checkpoints were selected by name. `final`
    is the finished model, if the source has it.
    """

    source: str
    selected: list[tuple[Checkpoint, Weights | CheckpointError]]
    n_published: int
    schedule: list[int]
    final: tuple[str, Weights] | None


def make_plan(source: str | Path, naming: Naming, selection: Selection) -> Plan:
    """Ask the source. The Hub gets one request, one more for each checkpoint, and one for main.

    Raises IngestError for an unusable source.
    """
    opened = open_source(source, store=None)
    published = opened.checkpoints(naming)
    selected = select(published, selection)
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
        final = pool.submit(opened.final)
        weights = list(pool.map(lambda c: _weights(opened, c), selected))
        found = list(zip(selected, weights, strict=True))
        schedule = [] if naming.revisions else [c.checkpoint for c in published]
        return Plan(opened.name, found, len(published), schedule, final.result())


def _weights(source: Source, checkpoint: Checkpoint) -> Weights | CheckpointError:
    try:
        return source.weights(checkpoint)
    except CheckpointError as error:
        return error


def describe(plan: Plan, at_once: int) -> str:
    """The plan as lines of text; `at_once` checkpoints are on disk at the same time."""
    found = [w for _, w in plan.selected if isinstance(w, Weights)]
    numbers = [c.checkpoint for c, _ in plan.selected]
    largest = sum(sorted((w.size for w in found), reverse=True)[:at_once])
    lines = [
        f"{plan.source}: {len(numbers):,} of {plan.n_published:,} checkpoints, "
        f"{numbers[0]:,} to {numbers[-1]:,}",
        f"schedule: {_schedule(numbers)}",
        f"weights: {_size(sum(w.size for w in found))} in all, at most {_size(largest)} "
        f"on disk at once (--prefetch {at_once})",
    ]
    lines += [f"warning: {w}" for w in warnings(plan)] or ["no warnings"]
    return "\n".join(lines)


def describe_cost(plan: Plan, trial: "Trial") -> str:
    """Disk space for the losses, and time, as lines of text."""
    n = sum(isinstance(w, Weights) for _, w in plan.selected)
    each = trial.n_tokens * trial.bytes_per_token
    return (
        f"losses: {trial.n_tokens:,} tokens of {trial.bytes_per_token:.1f} bytes: {_size(each)} "
        f"per checkpoint, {_size(n * each)} in all\n"
        f"time: about {_duration(n * trial.n_tokens / trial.tokens_per_second)} at "
        f"{trial.tokens_per_second:,.0f} tokens per second, measured on {trial.device} with "
        f"{trial.attention} attention; more if downloads are slower than that"
    )


def warnings(plan: Plan) -> list[str]:
    """Checkpoints without weights, what the audit finds, what equals the final model; and gaps."""
    return [
        *(str(w) for _, w in plan.selected if isinstance(w, CheckpointError)),
        *audit(_parts(plan)),
        *_equal_to_final(plan),
        *_gaps(plan.schedule),
    ]


def _parts(plan: Plan) -> list[Parts]:
    """Tensors are compared where the files are on this machine."""
    return [
        Parts(c, w.sha256, dict(w.files), tensor_digests(c.path), dict(w.small))
        for c, w in plan.selected
        if isinstance(w, Weights)
    ]


def _equal_to_final(plan: Plan) -> Iterator[str]:
    if not plan.final or not plan.final[1].sha256:
        return
    for checkpoint, weights in plan.selected:
        if isinstance(weights, Weights) and weights.sha256 == plan.final[1].sha256:
            yield (
                f"{checkpoint.revision} has the weights of {plan.final[0]}: that is right only if "
                "it is the last step"
            )
            return


def _gaps(numbers: list[int]) -> Iterator[str]:
    """Spacings that are large compared with those before *and* after. A schedule that coarsens has
    none.

    The first spacing counts from 0. Nothing follows the last one, which is never a gap.
    """
    points = sorted({0, *numbers})
    spacings = [b - a for a, b in pairwise(points)]
    for i, spacing in enumerate(spacings[:-1]):
        before = spacings[max(i - _NEIGHBOURS, 0) : i] or [0]
        after = spacings[i + 1 : i + 1 + _NEIGHBOURS]
        if spacing > _GAP * max(median(before), median(after)):
            yield (
                f"there are no checkpoints between {points[i]:,} and {points[i + 1]:,}: look for "
                "them in the source, or expect a jump there"
            )


def _schedule(numbers: list[int]) -> str:
    """`from 0 to 100 by 10, to 2,000 by 50`; for an irregular schedule, the range of spacings."""
    spacings = [b - a for a, b in pairwise(numbers)]
    stretches: list[tuple[int, int]] = []  # a spacing, and the last checkpoint that has it
    for spacing, end in zip(spacings, numbers[1:], strict=True):
        if stretches and stretches[-1][0] == spacing:
            stretches[-1] = (spacing, end)
        else:
            stretches.append((spacing, end))
    if not stretches:
        return f"{numbers[0]:,} only"
    if len(stretches) > 6:
        return f"from {numbers[0]:,}, spaced {min(spacings):,} to {max(spacings):,}"
    return f"from {numbers[0]:,} " + ", ".join(f"to {end:,} by {by:,}" for by, end in stretches)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 5_400 else f"{seconds / 3_600:,.1f} h"


def _size(n_bytes: float) -> str:
    """Decimal units, as the Hub counts."""
    power = min(max(len(str(int(n_bytes))) - 1, 0) // 3, len(_UNITS) - 1)
    value = n_bytes / 1_000**power
    return f"{value:,.0f} {_UNITS[power]}" if value >= 10 else f"{value:,.1f} {_UNITS[power]}"

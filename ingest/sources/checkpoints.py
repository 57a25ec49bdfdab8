"""A listing of names -> the ordered, numbered list of what to score; and a folder's listing."""

import hashlib
import math
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import IngestError
from ingest.sources.families import Published, parse_revision

WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")


@dataclass(frozen=True)
class Checkpoint:
    """One saved state of the model. `checkpoint` is unique and increasing in a store."""

    checkpoint: int
    revision: str
    path: Path
    step: int
    stage: int | None = None
    commit: str | None = None
    tokens_seen: int | None = None
    weights_sha256: str | None = None  # where the source told it, and the files were checked


@dataclass(frozen=True)
class Entry:
    """One name of a source, and where its files are."""

    revision: str
    path: Path
    commit: str | None = None


@dataclass(frozen=True)
class Naming:
    """How names are understood, and which of them count; no revisions named means all."""

    pattern: str | None = None
    revisions: tuple[str, ...] = ()
    variant: str | None = None
    tokens_per_step: int | None = None


@dataclass(frozen=True)
class _Before:
    """What was counted before a stage that counts anew; `shift` keeps its step 0 apart."""

    steps: int = 0
    tokens: int | None = 0
    shift: int = 0


def find_checkpoints(
    source: Path, tokens_per_step: int | None = None, naming: Naming | None = None
) -> list[Checkpoint]:
    """Checkpoint folders directly below `source`, by stage and step.

    Raises IngestError where there is no folder, none in it, or two of one step.
    """
    if not source.is_dir():
        found = "is a file" if source.exists() else "does not exist"
        raise IngestError(
            f"{source} {found}: expected a folder that holds checkpoint folders "
            "such as checkpoint-400/ or step400/"
        )
    entries = [Entry(p.name, p) for p in sorted(source.iterdir()) if p.is_dir()]
    naming = naming or Naming(tokens_per_step=tokens_per_step)
    return number(entries, naming, folder=True) or _refuse_empty(source)


def number(entries: list[Entry], naming: Naming, folder: bool = False) -> list[Checkpoint]:
    """The entries whose names hold a step, by stage and step; others are left out.

    A stage that counts its steps from the start again goes on from the stage before it, so that
    `checkpoint` increases; numbers do not depend on which revisions are chosen.
    Raises IngestError for unknown revisions, several runs in one source, and two of one step.
    """
    parsed = [(e, parse_revision(e.revision, naming.pattern, folder)) for e in entries]
    named = [(e, p) for e, p in parsed if p]
    if naming.variant:
        _refuse_unknown_variant(naming.variant, {p.variant for _, p in named if p.variant})
        named = [(e, p) for e, p in named if p.variant in (naming.variant, None)]
    before = _before_stages([p for _, p in named])
    if naming.revisions:
        _refuse_unknown(naming.revisions, {e.revision for e, _ in named}, entries)
        named = [(e, p) for e, p in named if e.revision in naming.revisions]
    _refuse_variants({p.variant for _, p in named if p.variant})
    _refuse_doubles(named)
    made = [_checkpoint(e, p, before[_stage(p)], naming.tokens_per_step) for e, p in named]
    return sorted(made, key=lambda c: c.checkpoint)


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a checkpoint; safetensors win over pickles where both are there."""
    for pattern in WEIGHT_FILES:
        if files := sorted(folder.glob(pattern)):
            return files
    return []


def weights_sha256(folder: Path) -> str:
    """sha256 of the weight file; of several files, the sha256 of their sha256s in name order."""
    return joint_sha256([file_sha256(path) for path in weight_files(folder)])


def joint_sha256(digests: list[str]) -> str:
    """One digest of weights whose files have these."""
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _stage(published: Published) -> int:
    """Some repositories write stage1 in some names only."""
    return 1 if published.stage is None else published.stage


def _before_stages(published: list[Published]) -> dict[int, _Before]:
    before: dict[int, _Before] = {}
    last, tokens = -1, None
    for stage in sorted({_stage(p) for p in published}):
        steps = [p.step for p in published if _stage(p) == stage]
        told = [p.tokens for p in published if _stage(p) == stage and p.tokens is not None]
        anew = min(steps) <= last
        before[stage] = _Before(last, tokens, int(min(steps) == 0)) if anew else _Before()
        start = before[stage]
        last = start.steps + start.shift + max(steps)
        tokens = None if start.tokens is None or not told else start.tokens + max(told)
    return before


def _checkpoint(entry: Entry, p: Published, before: _Before, per_step: int | None) -> Checkpoint:
    steps = before.steps + p.step
    if per_step is not None:
        tokens: int | None = steps * per_step
    else:
        known = p.tokens is not None and before.tokens is not None
        tokens = (p.tokens or 0) + (before.tokens or 0) if known else None
    return Checkpoint(
        checkpoint=steps + before.shift,
        revision=entry.revision,
        path=entry.path,
        step=p.step,
        stage=p.stage,
        commit=entry.commit,
        tokens_seen=tokens,
    )


def _refuse_empty(source: Path) -> list[Checkpoint]:
    if (source / "config.json").exists():
        raise IngestError(
            f"{source} is a single checkpoint (it has a config.json): "
            f"name the folder above it, {source.resolve().parent}"
        )
    names = sorted(p.name for p in source.iterdir())
    seen = f"it holds {', '.join(names[:5])}" if names else "it is empty"
    raise IngestError(
        f"{source} has no checkpoint folders ({seen}): expected folders whose names end in "
        "the training step, such as checkpoint-400/ or step400/, or give --revision-pattern"
    )


def _refuse_unknown(wanted: Iterable[str], usable: set[str], entries: list[Entry]) -> None:
    there = {e.revision for e in entries}
    for revision in wanted:
        if revision not in usable:
            what = "names no step of this run" if revision in there else "is not there"
            raise IngestError(
                f"--revisions {revision} {what}: of {len(entries)} revisions, {len(usable)} name "
                f"a step, such as {', '.join(sorted(usable)[:3]) or 'none'}; correct it, or say "
                "with --revision-pattern where the step stands"
            )


def _refuse_unknown_variant(wanted: str, found: set[str]) -> None:
    if wanted not in found:
        names = ", ".join(sorted(found)) or "none, since it holds one run alone"
        raise IngestError(f"there is no run {wanted} in the source: choose among {names}")


def _refuse_variants(found: set[str]) -> None:
    if len(found) > 1:
        raise IngestError(
            f"the source holds the runs {', '.join(sorted(found))}, and a store holds one: "
            "choose one with --variant"
        )


def _refuse_doubles(named: list[tuple[Entry, Published]]) -> None:
    steps = Counter((_stage(p), p.step) for _, p in named)
    (stage, step), n = next(iter(steps.most_common(1)), ((1, 0), 0))
    if n > 1:
        double = [e.revision for e, p in named if (_stage(p), p.step) == (stage, step)]
        raise IngestError(
            f"{' and '.join(sorted(double))} are both step {step}: move one of them out of the "
            "folder, or leave it out with --revisions or --revision-pattern"
        )


# Which of the checkpoints to score: pure functions of the ordered list.


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


# A share of a run's checkpoints, so that several processes or machines can fill one store.


@dataclass(frozen=True)
class Shard:
    """The `number`-th (from 1) of `of` shares, which hold each checkpoint once."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def share(self, checkpoints: list[Checkpoint]) -> list[Checkpoint]:
        """Every `of`-th checkpoint, so that shares grow alike."""
        return checkpoints[self.number - 1 :: self.of]

    def beside(self, store: Path) -> Path:
        """A name of its own for what belongs to this shard and this store, such as downloads."""
        return store.with_name(f"{store.name}.shard-{self.number}-of-{self.of}")


def parse_shard(text: str) -> Shard:
    """`3/16`. Raises ValueError for anything else, `0/16` included."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(text)
    return Shard(int(match[1]), int(match[2]))

"""From the names of revisions or folders to numbered checkpoints. Reads no file.

A name says a step, and perhaps a stage, a variant and the tokens seen. Stages that restart their
steps continue the count of the stage before, so that `checkpoint` increases through a run.
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import IngestError

_STEP = r"(?P<step>\d{1,18})"  # 18 digits fit into BIGINT
_STAGE = r"(?:stage(?P<stage>\d{1,4})-)?"
# One row per naming scheme. `variant` separates runs that are published in one repository.
FAMILIES = {
    "Mistral, Parc, Hugging Face's Trainer": rf"checkpoint-{_STEP}",
    "Pythia, PolyPythias, Lucie, OLMo": (
        rf"{_STAGE}(?:(?P<variant>ingredient\d+)-)?step{_STEP}(?:-tokens(?P<tokens>\d+B))?"
    ),
    "BLOOM": rf"global_step{_STEP}",
    "LLM360 (an index, not a step)": rf"ckpt_{_STEP}",
    "SmolLM": rf"{_STAGE}step-{_STEP}",
    "FineWeb ablations": rf"step-{_STEP}-(?P<tokens>\d+B)T",
    "DataDecide": rf"step{_STEP}-(?P<variant>seed-[\w-]+)",
    "B-GPT": _STEP,
}
# Users name their own folders, so any name that ends in a number counts.
_FOLDER = rf"[A-Za-z][A-Za-z_-]*{_STEP}"
_TOKENS_PER_STEP = {
    r"stanford-crfm/.+-gpt2-small-x\d+": 524_288,
    r"EleutherAI/pythia-.+": 2_097_152,
    r"jmichaelov/parc-.+": 524_288,
}
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


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
    weights_sha256: str | None = None
    """As the source published it, once the files on this machine were checked against it."""
    weight_digests: tuple[tuple[str, str], ...] = ()
    """Name and sha256 of each weight file on this machine."""
    tensor_samples: tuple[tuple[str, str], ...] = ()
    """Name and digest of a sample of each tensor, as `tensor_samples` computes them."""


@dataclass(frozen=True)
class Revision:
    """A name in a source, and where its files are or will be."""

    name: str
    path: Path
    commit: str | None = None


@dataclass(frozen=True)
class Naming:
    """How to parse names, and which of them to use. An empty `revisions` means all."""

    pattern: str | None = None
    revisions: tuple[str, ...] = ()
    variant: str | None = None
    tokens_per_step: int | None = None


@dataclass(frozen=True)
class ParsedName:
    """What a name says. If stages restart their steps, `tokens` counts within the stage."""

    step: int
    stage: int | None = None
    variant: str | None = None
    tokens: int | None = None


@dataclass(frozen=True)
class _StageStart:
    """Steps and tokens before a stage that restarts its count; `shift` keeps its step 0 distinct
    from the last step before."""

    steps: int = 0
    tokens: int | None = 0
    shift: int = 0


def number_checkpoints(
    revisions: list[Revision], naming: Naming, folder: bool = False
) -> list[Checkpoint]:
    """The revisions whose names contain a step, ordered by stage and step. Others are left out.

    Numbers do not depend on which revisions are selected. Raises IngestError for unknown
    revisions, for several runs in one source, and for two revisions of one step.
    """
    parsed = [(r, parse_revision(r.name, naming.pattern, folder)) for r in revisions]
    named = [(r, p) for r, p in parsed if p]
    if naming.variant:
        _refuse_unknown_variant(naming.variant, {p.variant for _, p in named if p.variant})
        named = [(r, p) for r, p in named if p.variant in (naming.variant, None)]
    starts = _stage_starts([p for _, p in named])
    if naming.revisions:
        _refuse_unknown(naming.revisions, {r.name for r, _ in named}, revisions)
        named = [(r, p) for r, p in named if r.name in naming.revisions]
    _refuse_variants({p.variant for _, p in named if p.variant})
    _refuse_duplicate_steps(named)
    found = [_checkpoint(r, p, starts[_stage(p)], naming.tokens_per_step) for r, p in named]
    return sorted(found, key=lambda c: c.checkpoint)


def parse_revision(
    name: str, pattern: str | None = None, folder: bool = False
) -> ParsedName | None:
    """What the whole of `name` says, or None if it names no step (`main`, `fp32`, …).

    `pattern` replaces the known families: a regular expression with a group `step` and optionally
    `stage`, `tokens` (a number that may end in K, M, B or T) and `variant`. Raises IngestError for
    an unusable pattern.
    """
    known = [*FAMILIES.values(), _FOLDER] if folder else FAMILIES.values()
    for expression in [_checked(pattern)] if pattern else known:
        if match := re.fullmatch(expression, name):
            return _parsed(name, match.groupdict())
    return None


def tokens_per_step(repository: str) -> int | None:
    """Training tokens per step, if the repository belongs to a family for which it is known."""
    found = (n for regex, n in _TOKENS_PER_STEP.items() if re.fullmatch(regex, repository))
    return next(found, None)


def _checked(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise IngestError(
            f"--revision-pattern is not a regular expression ({error}): {pattern}"
        ) from error
    if "step" not in groups:
        raise IngestError(
            f"--revision-pattern has no group named step: {pattern}; "
            r"write, for example, 'run7-(?P<step>\d+)'"
        )
    return pattern


def _parsed(name: str, groups: dict[str, str | None]) -> ParsedName | None:
    if groups["step"] is None:
        return None
    stage = groups.get("stage")
    tokens = groups.get("tokens")
    return ParsedName(
        step=_number(name, groups["step"]),
        stage=None if stage is None else _number(name, stage),
        variant=groups.get("variant"),
        tokens=None if tokens is None else _number(name, tokens),
    )


def _number(name: str, text: str) -> int:
    """`4B` is 4,000,000,000. Raises IngestError for anything that is not a whole number."""
    match = re.fullmatch(r"(\d{1,18})([KMBT]?)", text)
    if match is None:
        raise IngestError(
            f"--revision-pattern finds {text!r} in {name!r}: expected a whole number "
            "(tokens may end in K, M, B or T); put the groups around digits only"
        )
    return int(match[1]) * _UNITS[match[2]]


def _stage(parsed: ParsedName) -> int:
    """Some repositories write stage1 in only some of their names."""
    return 1 if parsed.stage is None else parsed.stage


def _stage_starts(parsed: list[ParsedName]) -> dict[int, _StageStart]:
    starts: dict[int, _StageStart] = {}
    last, tokens = -1, None
    for stage in sorted({_stage(p) for p in parsed}):
        steps = [p.step for p in parsed if _stage(p) == stage]
        stated = [p.tokens for p in parsed if _stage(p) == stage and p.tokens is not None]
        restarts = min(steps) <= last
        shift = int(min(steps) == 0)
        start = _StageStart(last, tokens, shift) if restarts else _StageStart()
        starts[stage] = start
        last = start.steps + start.shift + max(steps)
        tokens = None if start.tokens is None or not stated else start.tokens + max(stated)
    return starts


def _checkpoint(
    revision: Revision, p: ParsedName, start: _StageStart, per_step: int | None
) -> Checkpoint:
    steps = start.steps + p.step
    if per_step is not None:
        tokens: int | None = steps * per_step
    else:
        known = p.tokens is not None and start.tokens is not None
        tokens = (p.tokens or 0) + (start.tokens or 0) if known else None
    return Checkpoint(
        checkpoint=steps + start.shift,
        revision=revision.name,
        path=revision.path,
        step=p.step,
        stage=p.stage,
        commit=revision.commit,
        tokens_seen=tokens,
    )


def _refuse_unknown(wanted: Iterable[str], usable: set[str], revisions: list[Revision]) -> None:
    existing = {r.name for r in revisions}
    for name in wanted:
        if name not in usable:
            problem = "names no step of this run" if name in existing else "does not exist"
            raise IngestError(
                f"--revisions {name} {problem}: of {len(revisions)} revisions, {len(usable)} name "
                f"a step, such as {', '.join(sorted(usable)[:3]) or 'none'}; correct the name, or "
                "say with --revision-pattern where the step is in it"
            )


def _refuse_unknown_variant(wanted: str, found: set[str]) -> None:
    if wanted not in found:
        names = ", ".join(sorted(found)) or "none, since the source holds only one run"
        raise IngestError(f"there is no run {wanted} in the source: choose one of {names}")


def _refuse_variants(found: set[str]) -> None:
    if len(found) > 1:
        raise IngestError(
            f"the source holds the runs {', '.join(sorted(found))}, and a store holds one: "
            "choose one with --variant"
        )


def _refuse_duplicate_steps(named: list[tuple[Revision, ParsedName]]) -> None:
    steps = Counter((_stage(p), p.step) for _, p in named)
    (stage, step), n = next(iter(steps.most_common(1)), ((1, 0), 0))
    if n > 1:
        same = [r.name for r, p in named if (_stage(p), p.step) == (stage, step)]
        raise IngestError(
            f"{' and '.join(sorted(same))} are both step {step}: move one of them out of the "
            "folder, or exclude it with --revisions or --revision-pattern"
        )

"""The name of a published checkpoint -> step, stage, variant and tokens seen. Reads no file."""

import re
from dataclasses import dataclass

from ingest.errors import IngestError

_STEP = r"(?P<step>\d{1,18})"  # 18 digits fit into BIGINT
_STAGE = r"(?:stage(?P<stage>\d{1,4})-)?"
# One row per way of naming; `variant` tells runs apart that are published in one repository.
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
# Folders are named by their owner, so that whatever ends in a number is taken for a step.
_FOLDER = rf"[A-Za-z][A-Za-z_-]*{_STEP}"
_TOKENS_PER_STEP = {
    r"stanford-crfm/.+-gpt2-small-x\d+": 524_288,
    r"EleutherAI/pythia-.+": 2_097_152,
    r"jmichaelov/parc-.+": 524_288,
}
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True)
class Published:
    """What a name says. `tokens` are those of its stage alone where stages count anew."""

    step: int
    stage: int | None = None
    variant: str | None = None
    tokens: int | None = None


def parse_revision(name: str, pattern: str | None = None, folder: bool = False) -> Published | None:
    """What the whole of `name` says, or None where it names no step (`main`, `fp32`, …).

    `pattern` replaces the known families: a regular expression with a group `step` and perhaps
    `stage`, `tokens` (a number, perhaps with K, M, B or T) and `variant`.
    Raises IngestError for an unusable pattern.
    """
    known = [*FAMILIES.values(), _FOLDER] if folder else FAMILIES.values()
    for expression in [_checked(pattern)] if pattern else known:
        if match := re.fullmatch(expression, name):
            return _published(name, match.groupdict())
    return None


def tokens_per_step(repository: str) -> int | None:
    """Training tokens per step where the repository's family fixes it and we know it."""
    found = (n for regex, n in _TOKENS_PER_STEP.items() if re.fullmatch(regex, repository))
    return next(found, None)


def _checked(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groupindex
    except re.error as error:
        raise IngestError(
            f"--revision-pattern is no regular expression ({error}): {pattern}"
        ) from error
    if "step" not in groups:
        raise IngestError(
            f"--revision-pattern has no group named step: {pattern}; "
            r"write, for example, 'run7-(?P<step>\d+)'"
        )
    return pattern


def _published(name: str, groups: dict[str, str | None]) -> Published | None:
    if groups["step"] is None:
        return None
    stage = groups.get("stage")
    tokens = groups.get("tokens")
    return Published(
        step=_number(name, groups["step"]),
        stage=None if stage is None else _number(name, stage),
        variant=groups.get("variant"),
        tokens=None if tokens is None else _number(name, tokens),
    )


def _number(name: str, text: str) -> int:
    """`4B` is 4,000,000,000; raises IngestError for what is no whole number."""
    match = re.fullmatch(r"(\d{1,18})([KMBT]?)", text)
    if match is None:
        raise IngestError(
            f"--revision-pattern finds {text!r} in {name!r}: expected a whole number "
            "(tokens may end in K, M, B or T); put the groups around digits alone"
        )
    return int(match[1]) * _UNITS[match[2]]

"""What checkpoints have in common that they should not: whole weights, single shards or tensors.

Files are copied, merged and uploaded by hand, so a step's weights may be another step's, wholly or
in part. Each sentence says what to do.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from ingest.sources.revisions import Checkpoint

_SHOWN = 5


@dataclass(frozen=True)
class Parts:
    """A checkpoint's weights by digest: as a whole, and by the names of its files and tensors.

    `losses`: digest of its losses, once it is scored. `small`: digests of config.json and the
    tokenizer's files. What is unknown is empty.
    """

    checkpoint: Checkpoint
    whole: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, str] = field(default_factory=dict)
    losses: str | None = None
    small: Mapping[str, str] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        return self.checkpoint.revision


def audit(parts: list[Parts]) -> list[str]:
    """One sentence for each finding."""
    return [
        *_equal_weights(parts),
        *shared_parts(parts),
        *_other_small_files(parts),
        *_tokens_out_of_order(parts),
    ]


def _equal_weights(parts: list[Parts]) -> Iterator[str]:
    for revisions in _groups((p.whole, p) for p in parts if p.whole).values():
        if len(revisions) > 1:
            yield (
                f"{_names(revisions)} have the same weights: all but one are copies of another "
                "step; leave them out with --revisions, or ask who published them"
            )


def shared_parts(parts: list[Parts]) -> list[str]:
    """Files and tensors that several checkpoints have in common, whose weights differ."""
    return [*_shared_shards(parts), *_shared_tensors(parts)]


def _shared_shards(parts: list[Parts]) -> Iterator[str]:
    """Files that several checkpoints have in common, though not all of their files are equal."""
    files = ((item, p) for p in parts for item in p.files.items() if len(p.files) > 1)
    for (name, _), revisions in _groups(files).items():
        if len({p.whole for p in revisions}) > 1:
            yield (
                f"{_names(revisions)} have the same {name}, though their other files differ: all "
                "but one mix the weights of two steps; copy that file again for these"
            )


def _shared_tensors(parts: list[Parts]) -> Iterator[str]:
    """Tensors that are equal in all checkpoints were frozen in training, which is no fault."""
    known = [p for p in parts if p.tensors]
    in_shards = {p.revision for p in parts if len(p.files) > 1}
    found: dict[tuple[str, ...], list[str]] = defaultdict(list)
    tensors = ((item, p) for p in known for item in p.tensors.items())
    for (name, _), revisions in _groups(tensors).items():
        # Files that differ only in their metadata are reported with the losses.
        distinct = len({frozenset(p.tensors.items()) for p in revisions}) > 1
        whole_file = {p.revision for p in revisions} <= in_shards and _same_file(revisions)
        if distinct and len(revisions) < len(known) and not whole_file:
            found[tuple(p.revision for p in revisions)].append(name)
    for same, names in found.items():
        yield (
            f"{', '.join(same)} have {len(names)} equal tensors ({', '.join(names[:2])}, …), but "
            "the others differ: unless these were frozen for that time, copy the checkpoints again"
        )


def _same_file(parts: list[Parts]) -> bool:
    """Do they share a shard, which is reported already?"""
    return bool(set.intersection(*(set(p.files.items()) for p in parts)))


def _other_small_files(parts: list[Parts]) -> Iterator[str]:
    for name in sorted({name for p in parts for name in p.small}):
        having = [p for p in parts if name in p.small]
        first = having[0]
        others = [p for p in having if p.small[name] != first.small[name]]
        if others:
            advice = (
                "compare these files, since the models may not be of one architecture"
                if name == "config.json"
                else "if it cuts the text into other tokens, `run` refuses these checkpoints, "
                "unless you name a tokenizer with --tokenizer"
            )
            yield f"{_names(others)}: another {name} than {first.revision}; {advice}"


def _tokens_out_of_order(parts: list[Parts]) -> Iterator[str]:
    for one, two in pairwise(sorted(parts, key=lambda p: p.checkpoint.checkpoint)):
        before, after = one.checkpoint.tokens_seen, two.checkpoint.tokens_seen
        if before is not None and after is not None and after < before:
            yield (
                f"{two.revision} is a later step than {one.revision}, but names fewer tokens: one "
                "of the names is wrong; leave it out with --revisions, or ask who published it"
            )


def audit_runs(runs: Mapping[str, list[Parts]]) -> list[str]:
    """Which runs, such as seeds of one recipe, share their initialisation or later weights.

    Weights count as equal if their digests are, or those of their losses: files may differ in what
    gives the same losses, such as the sign of a zero.
    """
    own = {name: {p.checkpoint.checkpoint: p for p in parts} for name, parts in runs.items()}
    steps = sorted({step for parts in own.values() for step in parts})
    equal: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for step in steps:
        for names in _equal_runs({n: parts[step] for n, parts in own.items() if step in parts}):
            equal[names].append(step)
    found = [_equal_at(names, at, own) for names, at in equal.items()]
    begun = [name for name, parts in own.items() if 0 in parts]
    sharing = {name for names, at in equal.items() if 0 in at for name in names}
    if alone := [name for name in begun if name not in sharing]:
        found.append(_own_start(alone, len(begun)))
    return found


def _equal_runs(at_step: Mapping[str, Parts]) -> list[tuple[str, ...]]:
    """Groups of runs whose weights or losses are equal at one step."""
    groups: list[list[str]] = []
    for name, part in at_step.items():
        for group in groups:
            if _same_weights(at_step[group[0]], part):
                group.append(name)
                break
        else:
            groups.append([name])
    return [tuple(group) for group in groups if len(group) > 1]


def _same_weights(one: Parts, two: Parts) -> bool:
    pairs = ((one.whole, two.whole), (one.losses, two.losses))
    return any(a is not None and a == b for a, b in pairs)


def _equal_at(names: tuple[str, ...], at: list[int], own: Mapping[str, Mapping[int, Parts]]) -> str:
    later = [step for step in at if step]
    weights = all(len({own[name][step].whole for name in names}) == 1 for step in at)
    who = f"{', '.join(names)} have the same {'weights' if weights else 'losses'} at step"
    if 0 in at and not later:
        return (
            f"{who} 0: they share an initialisation, and differ in "
            "the order of data; if they were to differ in their initialisation, ask who published "
            "them"
        )
    steps = ", ".join(f"{step:,}" for step in at[:_SHOWN]) + (", …" if len(at) > _SHOWN else "")
    if 0 not in at and all(0 in own[name] for name in names):
        return (
            f"{who} {steps}, but not at step 0, so they did not begin from their step 0: leave it "
            f"out with --steps {later[0]}:, and do not count them as runs with initialisations of "
            "their own"
        )
    return (
        f"{who} {steps}: they are one run up to there, or copies; "
        "leave all but one out, or ask who published them"
    )


def _own_start(alone: list[str], n_begun: int) -> str:
    if len(alone) == n_begun > 1:
        return f"{', '.join(alone)} have different weights at step 0: each has its own start"
    return f"{', '.join(alone)}: no other run has the same weights at step 0"


def _groups(pairs: Iterable[tuple[Hashable, Parts]]) -> dict[Any, list[Parts]]:
    groups: dict[Any, list[Parts]] = defaultdict(list)
    for key, part in pairs:
        groups[key].append(part)
    return {key: found for key, found in groups.items() if len(found) > 1}


def _names(parts: list[Parts]) -> str:
    shown = ", ".join(p.revision for p in parts[:_SHOWN])
    return shown if len(parts) <= _SHOWN else f"{shown} and {len(parts) - _SHOWN} more"

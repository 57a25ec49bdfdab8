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

    `small`: digests of config.json and the tokenizer's files. What is unknown is empty.
    """

    checkpoint: Checkpoint
    whole: str | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, str] = field(default_factory=dict)
    small: Mapping[str, str] = field(default_factory=dict)

    @property
    def revision(self) -> str:
        return self.checkpoint.revision


def audit(parts: list[Parts]) -> list[str]:
    """One sentence for each finding."""
    return [
        *_equal_weights(parts),
        *shared_shards(parts),
        *_shared_tensors(parts),
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


def shared_shards(parts: list[Parts]) -> Iterator[str]:
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
        distinct = len({p.whole for p in revisions}) > 1
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


def _groups(pairs: Iterable[tuple[Hashable, Parts]]) -> dict[Any, list[Parts]]:
    groups: dict[Any, list[Parts]] = defaultdict(list)
    for key, part in pairs:
        groups[key].append(part)
    return {key: found for key, found in groups.items() if len(found) > 1}


def _names(parts: list[Parts]) -> str:
    shown = ", ".join(p.revision for p in parts[:_SHOWN])
    return shown if len(parts) <= _SHOWN else f"{shown} and {len(parts) - _SHOWN} more"

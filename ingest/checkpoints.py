"""A folder of checkpoints -> the ordered list of what to score."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import IngestError

WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")
# checkpoint-400, step400, global_step400, step-000400, 400: a name, perhaps none, and a number.
_STEP_NAME = re.compile(r"(?:[A-Za-z][A-Za-z_-]*)?(\d{1,18})")  # 18 digits fit into BIGINT


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


def find_checkpoints(source: Path, tokens_per_step: int | None = None) -> list[Checkpoint]:
    """Checkpoint folders directly below `source`, by step.

    Raises IngestError where there is no folder, none in it, or two of one step.
    """
    if not source.is_dir():
        found = "is a file" if source.exists() else "does not exist"
        raise IngestError(
            f"{source} {found}: expected a folder that holds checkpoint folders "
            "such as checkpoint-400/ or step400/"
        )
    named = [(int(m[1]), p) for p in source.iterdir() if p.is_dir() and (m := _step(p))]
    if not named:
        raise IngestError(_nothing_found(source))
    _refuse_doubles(named)
    return [
        Checkpoint(
            checkpoint=step,
            revision=path.name,
            path=path,
            step=step,
            tokens_seen=None if tokens_per_step is None else step * tokens_per_step,
        )
        for step, path in sorted(named)
    ]


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a checkpoint; safetensors win over pickles where both are there."""
    for pattern in WEIGHT_FILES:
        if files := sorted(folder.glob(pattern)):
            return files
    return []


def weights_sha256(folder: Path) -> str:
    """sha256 of the weight file; of several files, the sha256 of their sha256s in name order."""
    digests = [_file_sha256(path) for path in weight_files(folder)]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _file_sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _step(path: Path) -> re.Match[str] | None:
    return _STEP_NAME.fullmatch(path.name)


def _nothing_found(source: Path) -> str:
    if (source / "config.json").exists():
        return (
            f"{source} is a single checkpoint (it has a config.json): "
            f"name the folder above it, {source.resolve().parent}"
        )
    names = sorted(p.name for p in source.iterdir())
    seen = f"it holds {', '.join(names[:5])}" if names else "it is empty"
    return (
        f"{source} has no checkpoint folders ({seen}): expected folders whose names end in "
        "the training step, such as checkpoint-400/ or step400/"
    )


def _refuse_doubles(named: Iterable[tuple[int, Path]]) -> None:
    seen: dict[int, Path] = {}
    for step, path in sorted(named):
        if step in seen:
            raise IngestError(
                f"{seen[step].name} and {path.name} are both step {step}: "
                "move one of them out of the folder"
            )
        seen[step] = path

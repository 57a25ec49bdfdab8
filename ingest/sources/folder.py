"""A folder of checkpoints as a source: nothing to fetch, nothing to free."""

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import CheckpointError, IngestError
from ingest.sources.checkpoint_files import (
    AUDITED_FILES,
    IRRELEVANT_KEYS,
    file_sha256,
    joint_sha256,
    weight_digests,
    weight_files,
)
from ingest.sources.other_layouts import without_weights
from ingest.sources.revisions import Checkpoint, Naming, Revision, number_checkpoints
from ingest.sources.settling import is_being_written, wait_until_whole
from ingest.sources.source import Weights


@dataclass(frozen=True)
class Folder:
    """A folder that holds checkpoint folders, such as `checkpoint-400/`."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.resolve().name

    def checkpoints(self, naming: Naming) -> list[Checkpoint]:
        return find_checkpoints(self.root, naming)

    def weights(self, checkpoint: Checkpoint) -> Weights:
        if is_being_written(checkpoint.path):
            raise CheckpointError(
                f"{checkpoint.revision} is still being written, so it is not checked here: `run` "
                "waits for it up to ten minutes"
            )
        try:
            return _weights_in(checkpoint.path, checkpoint.revision)
        except OSError as error:  # a broken link, a file without permission
            raise CheckpointError(
                f"{checkpoint.revision} cannot be read ({error}): copy the checkpoint again"
            ) from error

    def final(self) -> tuple[str, Weights] | None:
        """Hugging Face's Trainer saves the finished model in the folder itself."""
        if not weight_files(self.root):
            return None
        return "the folder's own model", _weights_in(self.root, self.root.name)

    @contextmanager
    def described(self, checkpoints: list[Checkpoint]) -> Iterator[list[Checkpoint]]:
        yield checkpoints

    def fetch(self, checkpoint: Checkpoint) -> Checkpoint:
        """Waits for a checkpoint that a running training is still writing."""
        wait_until_whole(checkpoint)
        return checkpoint

    def free(self, checkpoint: Checkpoint) -> None:
        """Does nothing: a user's folders are kept."""

    def tidy(self, keep: Collection[Checkpoint]) -> None:
        """Does nothing: a user's folders are kept."""


def find_checkpoints(source: Path, naming: Naming | None = None) -> list[Checkpoint]:
    """Checkpoint folders directly inside `source`, ordered by stage and step.

    Raises IngestError if there is no such folder, if it holds no checkpoints, or two of one step.
    """
    if not source.is_dir():
        found = "is a file" if source.exists() else "does not exist"
        raise IngestError(
            f"{source} {found}: expected a folder that holds checkpoint folders "
            "such as checkpoint-400/ or step400/"
        )
    revisions = [
        Revision(p.name, p) for p in sorted(source.iterdir()) if p.is_dir() and not _is_temporary(p)
    ]
    checkpoints = number_checkpoints(revisions, naming or Naming(), folder=True)
    if not checkpoints:
        raise IngestError(_no_checkpoints(source))
    return checkpoints


def _is_temporary(folder: Path) -> bool:
    """Trainers write into such folders, and rename them when they are complete."""
    return folder.name.startswith(("tmp-", "tmp_", ".")) or folder.name.endswith((".tmp", "_tmp"))


def _no_checkpoints(source: Path) -> str:
    if (source / "config.json").exists():
        return (
            f"{source} is a single checkpoint (it has a config.json): "
            f"name its parent folder, {source.resolve().parent}"
        )
    names = sorted(p.name for p in source.iterdir())
    holds = f"it holds {', '.join(names[:5])}" if names else "it is empty"
    return (
        f"{source} has no checkpoint folders ({holds}): expected folders whose names end in "
        "the training step, such as checkpoint-400/ or step400/, or give --revision-pattern"
    )


def _weights_in(folder: Path, revision: str) -> Weights:
    files = weight_files(folder)
    if not files:
        names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
        raise CheckpointError(without_weights(revision, names))
    size = sum(f.stat().st_size for f in files)
    digests = weight_digests(folder)
    small = [p for p in sorted(folder.iterdir()) if p.name in AUDITED_FILES]
    return Weights(
        tuple(f.name for f in files),
        size,
        joint_sha256([digest for _, digest in digests]),
        digests,
        tuple((p.name, _content_digest(p)) for p in small),
    )


def _content_digest(path: Path) -> str:
    """sha256 of a file; of config.json, without what does not affect the model."""
    if path.name != "config.json":
        return file_sha256(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        relevant = {k: v for k, v in values.items() if k not in IRRELEVANT_KEYS}
    except (ValueError, AttributeError):
        return file_sha256(path)
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()

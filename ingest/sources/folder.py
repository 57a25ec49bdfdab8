"""Where checkpoints come from: a folder here, or a repository on the Hub (hub.py)."""

import re
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ingest.errors import CheckpointError
from ingest.sources.checkpoints import (
    Checkpoint,
    Naming,
    find_checkpoints,
    weight_files,
    weights_sha256,
)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class Weights:
    """The weight files of one checkpoint: names in order, size in bytes, digest where known."""

    names: tuple[str, ...]
    size: int
    sha256: str | None


class Source(Protocol):
    """What a run needs of the place that checkpoints come from."""

    @property
    def name(self) -> str:
        """The model's name in the manifest."""

    @property
    def root(self) -> Path:
        """The place as it was named; no folder where it is on the Hub."""

    def checkpoints(self, naming: Naming) -> list[Checkpoint]:
        """All checkpoints that the naming leaves, in order; never none."""

    def weights(self, checkpoint: Checkpoint) -> Weights:
        """Raises CheckpointError where there are none."""

    def final(self) -> tuple[str, Weights] | None:
        """Name and weights of the finished model, where the source has it beside the steps."""

    def described(self, checkpoints: list[Checkpoint]) -> AbstractContextManager[list[Checkpoint]]:
        """Checkpoints whose folders hold config.json and tokenizer, if not weights; best first."""

    def fetch(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint with its files here. Raises CheckpointError where that fails."""

    def free(self, checkpoint: Checkpoint) -> None:
        """Give back the disk that fetching it took."""

    def tidy(self, keep: Collection[Checkpoint]) -> None:
        """Give back the disk of everything fetched but these, also by a run that was killed."""


@dataclass(frozen=True)
class Folder:
    """Checkpoint folders that are here already: nothing to fetch, nothing to free."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.resolve().name

    def checkpoints(self, naming: Naming) -> list[Checkpoint]:
        return find_checkpoints(self.root, naming=naming)

    def weights(self, checkpoint: Checkpoint) -> Weights:
        return _weights_in(checkpoint.path, checkpoint.revision)

    def final(self) -> tuple[str, Weights] | None:
        """The Trainer leaves the finished model in the folder itself."""
        if not weight_files(self.root):
            return None
        return "the folder's own model", _weights_in(self.root, self.root.name)

    @contextmanager
    def described(self, checkpoints: list[Checkpoint]) -> Iterator[list[Checkpoint]]:
        yield checkpoints

    def fetch(self, checkpoint: Checkpoint) -> Checkpoint:
        return checkpoint

    def free(self, checkpoint: Checkpoint) -> None:
        """Folders stay."""

    def tidy(self, keep: Collection[Checkpoint]) -> None:
        """Folders stay."""


def is_repository(source: str | Path) -> bool:
    """`owner/name`, where no such folder is here: a repository on the Hub."""
    return bool(_HUB_ID.fullmatch(str(source))) and not Path(source).exists()


def open_source(source: str | Path, store: Path | None, keep_cache: bool = False) -> Source:
    """The source of that name; downloads of a run into `store` are kept apart from all others."""
    if not is_repository(source):
        return Folder(Path(source))
    from ingest.sources.hub import (
        Repository,
        downloads,  # a second to load: only where it is needed
    )

    return Repository(str(source), None if keep_cache or store is None else downloads(store))


@contextmanager
def tokenizer_folder(named: str | None) -> Iterator[str | None]:
    """The folder with the tokenizer that was named, which may be a repository on the Hub."""
    if named is None or not is_repository(named):
        yield named
        return
    from ingest.sources.hub import tokenizer_of

    with tokenizer_of(named) as folder:
        yield str(folder)


def _weights_in(folder: Path, revision: str) -> Weights:
    files = weight_files(folder)
    if not files:
        raise CheckpointError(f"{revision} has no weights: expected model.safetensors in it")
    size = sum(f.stat().st_size for f in files)
    return Weights(tuple(f.name for f in files), size, weights_sha256(folder))

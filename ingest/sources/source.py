"""What a run needs from a source of checkpoints. `folder.py` and `hub.py` implement it."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ingest.sources.revisions import Checkpoint, Naming


@dataclass(frozen=True)
class Weights:
    """The weight files of one checkpoint: sorted names, total bytes, and sha256 if known.

    `files`: name and sha256 of each weight file. `small`: name and digest of config.json and the
    tokenizer's files.
    """

    names: tuple[str, ...]
    size: int
    sha256: str | None
    files: tuple[tuple[str, str], ...] = ()
    small: tuple[tuple[str, str], ...] = ()


class Source(Protocol):
    """A training run whose checkpoints can be listed, fetched and freed."""

    @property
    def name(self) -> str:
        """The model's name in the manifest."""

    @property
    def root(self) -> Path:
        """The source as the user named it. It is not a folder if the source is on the Hub."""

    def checkpoints(self, naming: Naming) -> list[Checkpoint]:
        """All checkpoints that `naming` admits, in order. Raises IngestError if there are none."""

    def weights(self, checkpoint: Checkpoint) -> Weights:
        """Facts about a checkpoint's weights. Raises CheckpointError if it has none."""

    def final(self) -> tuple[str, Weights] | None:
        """Name and weights of the finished model, if the source has it next to the steps."""

    def described(self, checkpoints: list[Checkpoint]) -> AbstractContextManager[list[Checkpoint]]:
        """Checkpoints whose folders hold config.json and a tokenizer, the best candidate first.

        They need not hold weights.
        """

    def fetch(self, checkpoint: Checkpoint) -> Checkpoint:
        """The checkpoint with its files on this machine. Raises CheckpointError on failure."""

    def free(self, checkpoint: Checkpoint) -> None:
        """Release the disk space that fetching it took."""

    def tidy(self, keep: Collection[Checkpoint]) -> None:
        """Delete all downloads except these, including those that a killed run left behind."""

"""A share of a run's checkpoints, so that several processes or machines can fill one store."""

import re
from dataclasses import dataclass
from pathlib import Path

from ingest.checkpoints import Checkpoint


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

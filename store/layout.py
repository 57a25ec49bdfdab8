"""The path of each file in a store. Names of files of losses and predictions contain their
checkpoint."""

import re
from dataclasses import dataclass
from pathlib import Path

_LOSS_FILE = re.compile(r"checkpoint-(\d{9,})\.parquet")


@dataclass(frozen=True)
class Layout:
    """The paths of one store."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.json"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints.parquet"

    @property
    def docs(self) -> Path:
        return self.root / "docs.parquet"

    @property
    def tokens(self) -> Path:
        return self.root / "tokens.parquet"

    @property
    def probes(self) -> Path:
        return self.root / "probes.parquet"

    @property
    def losses(self) -> Path:
        return self.root / "losses"

    @property
    def predictions(self) -> Path:
        return self.root / "predictions"

    @property
    def groups(self) -> Path:
        return self.root / "groups"

    @property
    def features(self) -> Path:
        return self.root / "features"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @property
    def catalog(self) -> Path:
        return self.root / "catalog.duckdb"

    def loss_file(self, checkpoint: int) -> Path:
        return self.losses / f"checkpoint-{checkpoint:09d}.parquet"

    def prediction_file(self, checkpoint: int) -> Path:
        return self.predictions / self.loss_file(checkpoint).name

    def scored(self) -> dict[int, Path]:
        """Checkpoint -> loss file, for those that have one, in order."""
        return _by_checkpoint(self.losses)

    def predicted(self) -> dict[int, Path]:
        """Checkpoint -> file of predictions, for those that have one, in order."""
        return _by_checkpoint(self.predictions)


def _by_checkpoint(folder: Path) -> dict[int, Path]:
    found = ((_LOSS_FILE.fullmatch(p.name), p) for p in folder.glob("*.parquet"))
    return dict(sorted((int(m[1]), p) for m, p in found if m))

"""Measures: what is averaged over a group's tokens, the loss or something that was predicted."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from queries.errors import QueryError

MeasureName = Literal["loss", "rank", "entropy", "accuracy"]
NO_PREDICTIONS = (
    "this store has no predictions: score the checkpoints into a new store with "
    "`python -m ingest run … --predictions`, or record with Recorder(…, predictions=True)"
)


@dataclass(frozen=True)
class Measure:
    """One number of each token and checkpoint, from one column of the store's files."""

    name: MeasureName
    mean: str
    """The name of a group's mean, as a column."""
    title: str
    """What a group's mean is, on an axis."""
    unit: str
    """Of one token's value and of the mean; empty if it has none."""
    column: str
    """In the files of losses or of predictions."""

    @property
    def is_predicted(self) -> bool:
        """Whether it needs the store's predictions."""
        return self.name != "loss"

    def block_name(self, digest: str) -> str:
        """Of a file of the index, from the digest of what it was made of."""
        return f"{'losses' if self.name == 'loss' else self.name}-{digest}.f32"

    @property
    def sql(self) -> str:
        """One token's value in SQL, over `loss_rows` or `prediction_rows`."""
        return "(rank = 0)::integer" if self.name == "accuracy" else self.column

    @property
    def label(self) -> str:
        """The title with its unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def values(self, column: pa.Array) -> np.ndarray:
        """The measure float32 (n,), from `column`. Ranks below 2^24 are exact."""
        found = column.to_numpy(zero_copy_only=False)
        exact: np.ndarray = (found == 0 if self.name == "accuracy" else found).astype(np.float32)
        return exact


MEASURES = {
    m.name: m
    for m in (
        Measure("loss", "mean_loss", "mean loss", "nats", "loss"),
        Measure("rank", "mean_rank", "mean rank (0: the first guess)", "", "rank"),
        Measure("entropy", "mean_entropy", "mean entropy", "nats", "entropy"),
        Measure("accuracy", "accuracy", "accuracy (share of tokens with rank 0)", "", "rank"),
    )
}
LOSS = MEASURES["loss"]


def measure_of(name: str) -> Measure:
    """The measure with this name. Raises QueryError."""
    if name not in MEASURES:
        names = ", ".join(get_args(MeasureName))
        raise QueryError(f"there is no measure {name!r}: expected one of {names}")
    return MEASURES[name]

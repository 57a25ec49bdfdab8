"""SQL functions over the loss matrix, so that membership can depend on learning itself."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

from queries import learning
from queries.database import Database
from queries.matrix import LossMatrix

Values = Callable[[LossMatrix, np.ndarray, int], np.ndarray]
NAMES = ("loss_at", "forgetting_at", "acquisition")


def register(database: Database, matrix: Callable[[], LossMatrix]) -> None:
    """Make them known: loss_at(row, checkpoint), forgetting_at(row, checkpoint) in nats, and
    acquisition(row), a step. NULL for a row that there is not, such as the one before the first."""
    how: dict[str, Any] = {"type": "arrow", "null_handling": "special"}
    for name, values in (("loss_at", _losses), ("forgetting_at", learning.forgetting)):
        of_both = _at(matrix, values)
        database.register(
            name, of_both, parameters=["BIGINT", "BIGINT"], return_type="FLOAT", **how
        )
    database.register("acquisition", _acquisition(matrix), parameters=["BIGINT"],
                      return_type="BIGINT", **how)  # fmt: skip


def _losses(matrix: LossMatrix, rows: np.ndarray, checkpoint: int) -> np.ndarray:
    losses: np.ndarray = matrix.column(checkpoint)[rows]
    return losses


def _at(
    matrix: Callable[[], LossMatrix], values: Values
) -> Callable[[pa.Array, pa.Array], pa.Array]:
    def at(row: pa.Array, checkpoint: pa.Array) -> pa.Array:
        rows, known = _known(matrix(), row)
        checkpoints = checkpoint.fill_null(-1).to_numpy(zero_copy_only=False)
        named = checkpoint.is_valid().to_numpy(zero_copy_only=False)
        found = np.zeros(len(rows), dtype=np.float32)
        for value in np.unique(checkpoints[named]):
            of_value = known & named & (checkpoints == value)
            found[of_value] = values(matrix(), rows[of_value], int(value))
        return pa.array(found, mask=~(known & named))

    return at


def _acquisition(matrix: Callable[[], LossMatrix]) -> Callable[[pa.Array], pa.Array]:
    def acquisition(row: pa.Array) -> pa.Array:
        rows, known = _known(matrix(), row)
        steps = np.full(len(rows), -1)
        steps[known] = learning.acquisition(matrix(), rows[known])
        return pa.array(steps, mask=steps < 0)

    return acquisition


def _known(matrix: LossMatrix, row: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers, and which of them there are."""
    rows = row.fill_null(-1).to_numpy(zero_copy_only=False)
    return rows, (rows >= 0) & (rows < matrix.n_tokens)

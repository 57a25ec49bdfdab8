"""Acquisition and forgetting of single tokens, and weighted sums of their losses."""

from collections.abc import Iterator

import numpy as np

from queries.engine.matrix import BLOCK, LossMatrix

_ROWS = 2_048  # read at a time; 5 MB at 609 checkpoints


def acquisition(matrix: LossMatrix, rows: np.ndarray) -> np.ndarray:
    """The step at which each token's loss first crosses half-way from its start to its minimum.

    That is the first checkpoint with a loss of at most (first loss + lowest loss) / 2. `rows` int64
    (n,); returns int64 (n,), -1 for tokens that are never below their start. The losses of a single
    token are noisy, so this is too early if the noise is large.
    """
    steps = np.empty(len(rows), dtype=np.int64)
    for part in _pieces(len(rows)):
        losses = matrix.rows(rows[part])
        start, lowest = losses[:, 0], losses.min(axis=1)
        first = (losses <= ((start + lowest) / 2)[:, None]).argmax(axis=1)
        steps[part] = np.where(lowest < start, matrix.checkpoints[first], -1)
    return steps


def forgetting(matrix: LossMatrix, rows: np.ndarray, checkpoint: int) -> np.ndarray:
    """Each token's loss at a checkpoint minus its lowest so far (nats), float32 (n,), 0 or more.

    After Toneva et al. 2019 (ICLR; abstract read), who count training examples that go from right
    to wrong. Chang, Tu and Bergen 2024 (arXiv 2308.15419) sum all rises of a smoothed curve. The
    lowest of many noisy losses is too low, so the result is positive even without forgetting:
    compare groups, or checkpoints. Raises QueryError for an unknown checkpoint.
    """
    last = matrix.place(checkpoint)
    result = np.empty(len(rows), dtype=np.float32)
    for part in _pieces(len(rows)):
        lowest = np.full(len(rows[part]), np.inf, dtype=np.float32)
        for at, block in enumerate(matrix.blocks[: last // BLOCK + 1]):
            so_far = block[rows[part], : last + 1 - at * BLOCK]
            np.minimum(lowest, so_far.min(axis=1), out=lowest)
        result[part] = matrix.column(checkpoint)[rows[part]] - lowest
    return result


def averages(matrix: LossMatrix, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted sums of each token's losses over checkpoints, float32 (n, m).

    `weights` float64 (checkpoints, m).
    """
    narrow = weights.astype(np.float32)
    result = np.zeros((len(rows), weights.shape[1]), dtype=np.float32)
    for part in _pieces(len(rows)):
        for at, block in enumerate(matrix.blocks):
            result[part] += block[rows[part]] @ narrow[at * BLOCK : (at + 1) * BLOCK]
    return result


def weighted_sums(matrix: LossMatrix, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted sums of some tokens' losses at each checkpoint, float64 (m, checkpoints).

    `weights` float64 (n, m), one row for each of `rows`.
    """
    narrow = weights.T.astype(np.float32)
    sums = np.zeros((weights.shape[1], len(matrix.checkpoints)))
    for part in _pieces(len(rows)):
        for at, block in enumerate(matrix.blocks):
            sums[:, at * BLOCK : (at + 1) * BLOCK] += narrow[:, part] @ block[rows[part]]
    return sums


def _pieces(n: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, n, _ROWS))

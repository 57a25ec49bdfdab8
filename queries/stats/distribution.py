"""The distribution of a group's losses: quantiles, standard deviation, perplexity."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from queries.engine.matrix import LossMatrix
from queries.engine.sums import POOL, GroupSums
from queries.errors import QueryError

QUARTILES = (0.25, 0.5, 0.75)
_ROWS = 1024


def summary(
    matrix: LossMatrix, rows: np.ndarray, sums: GroupSums, quantiles: Sequence[float]
) -> pd.DataFrame:
    """One row per checkpoint for the tokens `rows`, int64 (n,), whose sums by source are `sums`.

    Returns checkpoint, mean_loss, standard_deviation, one column for each of `quantiles` (q50 is
    the median), perplexity, bits, n_tokens, n_docs; see `Store.summary`. Raises QueryError.
    """
    if wrong := [q for q in quantiles if not 0 <= q <= 1]:
        raise QueryError(f"{wrong[0]} is not a quantile: expected numbers from 0 to 1, such as 0.5")
    shares = np.array(quantiles, dtype=np.float64)
    # One block of checkpoints per core at a time, for any number of tokens.
    parts = list(POOL.map(lambda block: _spread(block, rows, shares), matrix.blocks))
    deviation, *values = np.concatenate(parts, axis=1)
    names = [f"q{100 * q:.10g}" for q in quantiles]
    return pd.DataFrame(
        {
            "checkpoint": matrix.checkpoints,
            "mean_loss": sums.mean,
            "standard_deviation": deviation,
            **dict(zip(names, values, strict=True)),
            "perplexity": np.exp(sums.mean),
            "bits": sums.mean / np.log(2),
            "n_tokens": sums.n_tokens,
            "n_docs": sums.n_docs,
        }
    )


def _spread(block: np.ndarray, rows: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Standard deviation, then the quantiles, float64 (1 + quantiles, checkpoints of the block).

    Sorted, as numpy sorts float32 faster than it selects; linear between neighbours, as numpy's
    default (definition 7 of Hyndman and Fan 1996, American Statistician 50:361, not checked).
    """
    losses = _by_checkpoint(block, rows)
    losses.sort(axis=1)
    place = shares * (len(rows) - 1)
    below = place.astype(np.int64)
    low = losses[:, below].astype(np.float64)
    high = losses[:, np.minimum(below + 1, len(rows) - 1)]
    return np.vstack([_deviation(losses), (low + (high - low) * (place - below)).T])


def _by_checkpoint(block: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """block[rows] transposed, float32 (checkpoints, n); some rows at a time, to stay in cache."""
    losses = np.empty((block.shape[1], len(rows)), dtype=np.float32)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        losses[:, part] = block[rows[part]].T
    return losses


def _deviation(losses: np.ndarray) -> np.ndarray:
    """Sample standard deviation (divisor n - 1) of each row; NaN for one token."""
    if losses.shape[1] < 2:
        return np.full(len(losses), np.nan)
    return np.array([np.std(line, dtype=np.float64, ddof=1) for line in losses])

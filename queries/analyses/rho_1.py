"""Rho-1's four categories of tokens: high or low loss at the start and at the end of training."""

import numpy as np
import pandas as pd

from queries.engine.matrix import LossMatrix
from queries.errors import QueryError
from queries.stats.acquisition import averages
from queries.stats.smoothing import axis_shares
from queries.store import Store

CATEGORIES = ("H->L", "L->L", "H->H", "L->H")
MOVED = 0.2
"""Nats by which a fitted line must fall or rise."""


def rho_1(store: Store, where: str = "true", log: bool = False) -> pd.DataFrame:
    """Rho-1's four categories of the group's tokens: high or low loss at the start and at the end.

    Lin et al. 2024, "Rho-1: Not All Tokens Are What You Need" (arXiv:2404.07965): a line is fitted
    to each token's losses by least squares. H->L where it falls by more than 0.2 nats from the
    first checkpoint to the last; L->H where it rises by more; else L->L where it ends at or below
    the group's mean loss at the last checkpoint, and H->H above. There, checkpoints were evenly
    spaced; here each weighs as much as the part of the axis that it stands for. The axis is the
    step, or log10(1 + step) with `log`, which suits runs from nothing: they fall early.

    Returns row, category, start, end (of the line, in nats). Raises GroupError, and QueryError for
    a store of fewer than two checkpoints.
    """
    rows, matrix = store.some_members(where), store.matrix
    if len(matrix.checkpoints) < 2:
        raise QueryError("one checkpoint has no start and end: score at least two")
    at = matrix.checkpoints.astype(np.float64)
    start, end = _line_ends(matrix, rows, np.log10(1 + at) if log else at)
    mean = float(matrix.column(store.steps[-1])[rows].mean(dtype=np.float64))
    still = np.where(end <= mean, "L->L", "H->H")
    moves = np.where(end - start < -MOVED, "H->L", np.where(end - start > MOVED, "L->H", still))
    return pd.DataFrame({"row": rows, "category": moves, "start": start, "end": end})


def _line_ends(
    matrix: LossMatrix, rows: np.ndarray, place: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each token's fitted line at the first and the last checkpoint, float32 (n,).

    Both are linear in the losses: weighted least squares on `place`, (checkpoints,).
    """
    share = axis_shares(place)
    share = share / share.sum()
    off = place - (share * place).sum()
    slope = share * off / (share * off**2).sum()
    to_ends = np.stack([share + slope * off[0], share + slope * off[-1]], axis=1)
    ends = averages(matrix, rows, to_ends)
    return ends[:, 0], ends[:, 1]


def rho_1_summary(tokens: pd.DataFrame) -> pd.DataFrame:
    """One line per category of `rho_1`: category, n_tokens, share, mean_start, mean_end (nats)."""
    means = tokens.groupby("category")[["start", "end"]].mean().reindex(CATEGORIES)
    counts = tokens["category"].value_counts().reindex(CATEGORIES, fill_value=0)
    return pd.DataFrame(
        {
            "category": CATEGORIES,
            "n_tokens": counts.to_numpy(),
            "share": counts.to_numpy() / len(tokens),
            "mean_start": means["start"].to_numpy(),
            "mean_end": means["end"].to_numpy(),
        }
    )

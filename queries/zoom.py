"""Zoom into a region of training: how did each token change, and which changed most?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from queries.errors import QueryError
from queries.matrix import LossMatrix

BINS = 100


@dataclass(frozen=True)
class Zoom:
    """What happened to a group's tokens between two checkpoints; losses and changes in nats."""

    first: int
    last: int
    changes: pd.DataFrame
    """row, change, first_loss, last_loss and facts of the token; by row. Change = last - first."""
    histogram: pd.DataFrame
    """low, high, n_tokens: 100 bins of change, zero on an edge."""
    decreased: pd.DataFrame
    """row, token_str, change, checkpoint, loss of the k most decreased, most first."""
    increased: pd.DataFrame
    """The same of the k most increased."""
    random: pd.DataFrame
    """The same of k random tokens."""


def zoom(
    matrix: LossMatrix, facts: pd.DataFrame, region: tuple[int, int], k: int, seed: int
) -> Zoom:
    """Zoom into `region` (first and last checkpoint) on the tokens in `facts` (with `row`).

    Raises QueryError for an unknown checkpoint, an empty or reversed region, or k below 1.
    """
    changes = region_changes(matrix, facts, region)
    refuse_bad_k(k)
    chosen = np.random.default_rng(seed).permutation(len(changes))[:k]
    return Zoom(
        *region,
        changes,
        _histogram(changes["change"].to_numpy()),
        _trajectories(matrix, most_decreased(changes, k)),
        _trajectories(matrix, most_increased(changes, k)),
        _trajectories(matrix, changes.iloc[np.sort(chosen)]),
    )


def region_changes(
    matrix: LossMatrix, facts: pd.DataFrame, region: tuple[int, int]
) -> pd.DataFrame:
    """`facts` with first_loss, last_loss and change (nats, last minus first) in `region`."""
    rows = facts["row"].to_numpy()
    before, after = _ends(matrix, rows, region)
    return facts.assign(first_loss=before, last_loss=after, change=after - before)


def region_change(matrix: LossMatrix, rows: np.ndarray, region: tuple[int, int]) -> np.ndarray:
    """Last loss minus first in `region` of the tokens `rows`, in nats, float32 (rows,).

    Raises QueryError for an unknown checkpoint and an empty or reversed region.
    """
    before, after = _ends(matrix, rows, region)
    change: np.ndarray = after - before
    return change


def _ends(
    matrix: LossMatrix, rows: np.ndarray, region: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    first, last = region
    if len(matrix.checkpoints) < 2:
        raise QueryError("this store has one checkpoint: a change needs two, so score another")
    if first >= last:
        raise QueryError(f"the region {first:,} to {last:,} is empty: the first step comes first")
    return matrix.column(first)[rows], matrix.column(last)[rows]


def most_decreased(changes: pd.DataFrame, k: int) -> pd.DataFrame:
    """The k tokens whose loss fell most, most first; fewer where fewer fell."""
    lowest = changes.nsmallest(k, "change")
    return lowest[lowest["change"] < 0]


def most_increased(changes: pd.DataFrame, k: int) -> pd.DataFrame:
    """The k tokens whose loss rose most, most first; fewer where fewer rose."""
    highest = changes.nlargest(k, "change")
    return highest[highest["change"] > 0]


def refuse_bad_k(k: int) -> None:
    """Raises QueryError for lists of less than one token."""
    if k < 1:
        raise QueryError(f"asked for {k} tokens: expected at least 1")


def _histogram(change: np.ndarray) -> pd.DataFrame:
    reach = float(np.abs(change).max()) or 1.0
    counts, edges = np.histogram(change, bins=BINS, range=(-reach, reach))
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n_tokens": counts})


def _trajectories(matrix: LossMatrix, tokens: pd.DataFrame) -> pd.DataFrame:
    """Long format: one line per token and checkpoint, tokens in the given order."""
    n = len(matrix.checkpoints)
    losses = matrix.rows(tokens["row"].to_numpy())
    return pd.DataFrame(
        {
            "row": np.repeat(tokens["row"].to_numpy(), n),
            "token_str": np.repeat(tokens["token_str"].to_numpy(), n),
            "change": np.repeat(tokens["change"].to_numpy(), n),
            "checkpoint": np.tile(matrix.checkpoints, len(tokens)),
            "loss": losses.ravel(),
        }
    )

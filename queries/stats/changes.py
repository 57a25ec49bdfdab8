"""Zoom into a region of training: how did each token change, and which changed most?"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from queries.engine.matrix import LossMatrix
from queries.errors import QueryError

# A region of training worth a first look: the largest rise of the mean loss, and what follows.

Region = tuple[int, int]


def largest_rise(steps: list[int], mean_loss: np.ndarray) -> Region:
    """(step of the low point, step of the peak) of the largest rise over a loss's minimum so far.

    `mean_loss` float64 (len(steps),) in nats. A run that never rises gives its whole range.
    """
    rise = mean_loss - np.minimum.accumulate(mean_loss)
    peak = int(rise.argmax())
    if rise[peak] <= 0:
        return steps[0], steps[-1]
    low = int(mean_loss[: peak + 1].argmin())
    return steps[low], steps[peak]


def recovery(steps: list[int], mean_loss: np.ndarray, rise: Region) -> Region:
    """From the peak of a rise to the step at which the loss is back where the rise began.

    A loss that never comes back gives the rest of the run; a peak at the end, the rise itself.
    """
    low, peak = steps.index(rise[0]), steps.index(rise[1])
    if peak == len(steps) - 1:
        return rise
    back = np.flatnonzero(mean_loss[peak:] <= mean_loss[low])
    return steps[peak], steps[peak + int(back[0])] if len(back) else steps[-1]


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

    @property
    def lists(self) -> dict[str, pd.DataFrame]:
        """decreased, increased and random, by name."""
        return {"decreased": self.decreased, "increased": self.increased, "random": self.random}


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

"""Changes in a region of training: of every token, and the tokens that changed most."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from queries.engine.matrix import LossMatrix
from queries.errors import QueryError

Region = tuple[int, int]


def largest_rise(steps: list[int], mean_loss: np.ndarray) -> Region:
    """(step of the low point, step of the peak) of the largest rise over a loss's minimum so far.

    `mean_loss` float64 (len(steps),) in nats. The whole run if the loss never rises.
    """
    rise = mean_loss - np.minimum.accumulate(mean_loss)
    peak = int(rise.argmax())
    if rise[peak] <= 0:
        return steps[0], steps[-1]
    low = int(mean_loss[: peak + 1].argmin())
    return steps[low], steps[peak]


def recovery(steps: list[int], mean_loss: np.ndarray, rise: Region) -> Region | None:
    """From the checkpoint after the peak of a rise to the step at which the loss is back.

    Back is at its level before the rise; until the end of the run if that never happens. None if no
    later checkpoint is left to change in.
    """
    low, peak = steps.index(rise[0]), steps.index(rise[1])
    back = np.flatnonzero(mean_loss[peak:] <= mean_loss[low])
    last = steps[peak + int(back[0])] if len(back) else steps[-1]
    return next_region(steps, rise[1], last)


def next_region(steps: list[int], end: int, last: int) -> Region | None:
    """From the checkpoint after `end`, the last one of another region, to `last`; None if empty.

    Two regions that share a checkpoint share its noise with opposite signs, so that tokens seem to
    change and change back.
    """
    begin = steps.index(end) + 1
    if begin >= len(steps) or steps[begin] >= last:
        return None
    return steps[begin], last


BINS = 100


@dataclass(frozen=True)
class Zoom:
    """What happened to a group's tokens between two checkpoints; losses and changes in nats."""

    first: int
    last: int
    changes: pd.DataFrame
    """row, change (last - first), first_loss, last_loss and facts of the token; by row.

    Here as below, another measure's name takes the place of `loss`."""
    histogram: pd.DataFrame
    """low, high, n_tokens: 100 bins of change, with an edge at zero."""
    decreased: pd.DataFrame
    """row, token_str, change, checkpoint, loss of the k most decreased tokens, largest first."""
    increased: pd.DataFrame
    """The same for the k most increased tokens."""
    random: pd.DataFrame
    """The same for k random tokens."""

    @property
    def lists(self) -> dict[str, pd.DataFrame]:
        """decreased, increased and random, by name."""
        return {"decreased": self.decreased, "increased": self.increased, "random": self.random}


def zoom(
    matrix: LossMatrix,
    facts: pd.DataFrame,
    region: Region,
    k: int,
    seed: int,
    measure: str = "loss",
) -> Zoom:
    """Zoom into `region` (first and last checkpoint) on the tokens in `facts` (with `row`).

    Raises QueryError for an unknown checkpoint, an empty or reversed region, or k below 1.
    """
    changes = region_changes(matrix, facts, region, measure)
    refuse_bad_k(k)
    histogram = _histogram(changes["change"].to_numpy())
    return Zoom(*region, changes, histogram, *_lists(matrix, changes, k, seed, measure))


def narrowed(
    matrix: LossMatrix,
    found: Zoom,
    between: tuple[float, float],
    k: int,
    seed: int = 0,
    measure: str = "loss",
) -> Zoom:
    """The tokens of a zoom whose change (nats) is in `between`, with lists of their own.

    The histogram is still that of all tokens.
    """
    changes = found.changes[found.changes["change"].between(*between)]
    lists = _lists(matrix, changes, k, seed, measure)
    return Zoom(found.first, found.last, changes, found.histogram, *lists)


def _lists(
    matrix: LossMatrix, changes: pd.DataFrame, k: int, seed: int, measure: str
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Trajectories of the most decreased, the most increased and random tokens."""
    sample = np.random.default_rng(seed).permutation(len(changes))[:k]
    return (
        _trajectories(matrix, most_decreased(changes, k), measure),
        _trajectories(matrix, most_increased(changes, k), measure),
        _trajectories(matrix, changes.iloc[np.sort(sample)], measure),
    )


def region_changes(
    matrix: LossMatrix, facts: pd.DataFrame, region: Region, measure: str = "loss"
) -> pd.DataFrame:
    """`facts` with first_loss, last_loss and change (nats, last minus first) in `region`."""
    rows = facts["row"].to_numpy()
    before, after = _ends(matrix, rows, region)
    ends = {f"first_{measure}": before, f"last_{measure}": after}
    return facts.assign(**ends, change=after - before)


def region_change(matrix: LossMatrix, rows: np.ndarray, region: Region) -> np.ndarray:
    """Last loss minus first in `region` of the tokens `rows`, in nats, float32 (rows,).

    Raises QueryError for an unknown checkpoint and an empty or reversed region.
    """
    before, after = _ends(matrix, rows, region)
    change: np.ndarray = after - before
    return change


def _ends(matrix: LossMatrix, rows: np.ndarray, region: Region) -> tuple[np.ndarray, np.ndarray]:
    first, last = region
    if len(matrix.checkpoints) < 2:
        raise QueryError("this store has one checkpoint, but a change needs two: score another")
    if first >= last:
        raise QueryError(
            f"the region {first:,} to {last:,} is empty: expected the earlier step first"
        )
    return matrix.column(first)[rows], matrix.column(last)[rows]


def most_decreased(changes: pd.DataFrame, k: int) -> pd.DataFrame:
    """The k tokens whose loss fell most, largest first; fewer if fewer fell."""
    lowest = changes.nsmallest(k, "change")
    return lowest[lowest["change"] < 0]


def most_increased(changes: pd.DataFrame, k: int) -> pd.DataFrame:
    """The k tokens whose loss rose most, largest first; fewer if fewer rose."""
    highest = changes.nlargest(k, "change")
    return highest[highest["change"] > 0]


def refuse_bad_k(k: int) -> None:
    """Raises QueryError for lists of fewer than one token."""
    if k < 1:
        raise QueryError(f"got lists of {k} tokens: expected at least 1")


def _histogram(change: np.ndarray) -> pd.DataFrame:
    reach = float(np.abs(change).max()) or 1.0
    counts, edges = np.histogram(change, bins=BINS, range=(-reach, reach))
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "n_tokens": counts})


def _trajectories(matrix: LossMatrix, tokens: pd.DataFrame, measure: str) -> pd.DataFrame:
    """Long format: one row per token and checkpoint, tokens in the given order."""
    n = len(matrix.checkpoints)
    losses = matrix.rows(tokens["row"].to_numpy())
    return pd.DataFrame(
        {
            "row": np.repeat(tokens["row"].to_numpy(), n),
            "token_str": np.repeat(tokens["token_str"].to_numpy(), n),
            "change": np.repeat(tokens["change"].to_numpy(), n),
            "checkpoint": np.tile(matrix.checkpoints, len(tokens)),
            measure: losses.ravel(),
        }
    )

"""Zoom into a region of training: how each token changed, which changed most, and do they agree?"""

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
    _refuse_bad_k(k)
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
    first, last = region
    if first >= last:
        raise QueryError(f"the region {first:,} to {last:,} is empty: the first step comes first")
    rows = facts["row"].to_numpy()
    before, after = matrix.column(first)[rows], matrix.column(last)[rows]
    return facts.assign(first_loss=before, last_loss=after, change=after - before)


def most_decreased(changes: pd.DataFrame, k: int) -> pd.DataFrame:
    """The k tokens whose loss fell most, most first; fewer where fewer fell."""
    lowest = changes.nsmallest(k, "change")
    return lowest[lowest["change"] < 0]


def most_increased(changes: pd.DataFrame, k: int) -> pd.DataFrame:
    """The k tokens whose loss rose most, most first; fewer where fewer rose."""
    highest = changes.nlargest(k, "change")
    return highest[highest["change"] > 0]


def overlap(first: pd.DataFrame, second: pd.DataFrame, k: int) -> pd.DataFrame:
    """How many tokens are extreme in both of two regions, given both regions' changes.

    Returns set_in_first, set_in_second, k_first, k_second, shared, expected: what two sets
    of these sizes drawn by chance would share, k_first * k_second / n (hypergeometric mean).
    """
    _refuse_bad_k(k)
    sides = {"decreased": most_decreased, "increased": most_increased}
    lines = []
    for name, pick in sides.items():
        for other, pick_other in sides.items():
            one, two = set(pick(first, k)["row"]), set(pick_other(second, k)["row"])
            expected = len(one) * len(two) / len(first)
            lines.append((name, other, len(one), len(two), len(one & two), expected))
    columns = ["set_in_first", "set_in_second", "k_first", "k_second", "shared", "expected"]
    return pd.DataFrame(lines, columns=columns)


def _refuse_bad_k(k: int) -> None:
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

"""Loss by position and step: does a longer context help, by how much, and since when?"""

import numpy as np
import pandas as pd

from queries.engine.sums import Summation
from queries.errors import GroupError
from queries.stats.bands import band
from queries.store import Store

PER_DOUBLING = 2
"""Ranges of positions for each doubling of the position."""


def loss_by_position(
    store: Store, where: str = "true", per_doubling: int = PER_DOUBLING
) -> pd.DataFrame:
    """Mean loss of the group's tokens in ranges of positions, at each checkpoint.

    Ranges are of equal width in the log of the position, whole positions at least. Returns
    first_position, last_position, checkpoint, mean_loss (nats), n_tokens (of the range); ranges
    without a token are left out. After Olsson et al. 2022 (In-context Learning and Induction
    Heads), whose in-context score is one difference of this table. Raises GroupError.
    """
    if per_doubling < 1:
        raise GroupError(f"asked for {per_doubling} ranges a doubling: expected at least 1")
    rows, position = _positions(store, where)
    edges = position_edges(int(position.max()), per_doubling)
    found = np.searchsorted(edges, position, side="right") - 1
    used, slot, counts = np.unique(found, return_inverse=True, return_counts=True)
    sums = _summation(store).by_slot(rows, slot, len(used))
    n_steps = len(store.steps)
    return pd.DataFrame(
        {
            "first_position": np.repeat(edges[used], n_steps),
            "last_position": np.repeat(edges[used + 1] - 1, n_steps),
            "checkpoint": np.tile(store.steps, len(used)),
            "mean_loss": (sums / counts[:, None]).ravel(),
            "n_tokens": np.repeat(counts, n_steps),
        }
    )


def position_edges(last: int, per_doubling: int) -> np.ndarray:
    """Where ranges begin, int64, increasing, from 1; the final edge is above `last`."""
    n = int(np.ceil(np.log2(last + 1) * per_doubling)) + 1
    edges = np.unique(np.round(2 ** (np.arange(n + 1) / per_doubling)).astype(np.int64))
    return edges[: int(np.searchsorted(edges, last, side="right")) + 1]


def position_slope(store: Store, where: str = "true") -> pd.DataFrame:
    """How much the loss changes with each doubling of the position, at each checkpoint.

    The slope of loss on log2(position) over the group's tokens by least squares, with a 95 % band
    clustered by source document: the influence of a token is (x - mean x) (loss - fitted) / sum of
    (x - mean x)^2 (Liang and Zeger 1986, Biometrika 73:13), t quantile as in `queries.stats.bands`.
    Returns checkpoint, slope, low, high (nats per doubling; negative: later tokens are easier).
    A slope is one number for a curve that need not be straight, and later positions have other
    tokens: compare with matched ones. Raises GroupError, also for tokens of a single position.
    """
    rows, position = _positions(store, where)
    if position.min() == position.max():
        raise GroupError(f"all tokens of `{where}` have position {position[0]}: widen the group")
    x = np.log2(position)
    off = x - x.mean()
    weights = off / (off**2).sum()
    source, n_sources = store.source_of_row[rows], int(store.source_of_row.max()) + 1
    summation = _summation(store)
    weighted = summation.by_slot(rows, source, n_sources, weights)
    slope = weighted.sum(axis=0)
    mean = summation.group(rows).mean
    of_source = np.bincount(source, weights, n_sources)[:, None]
    of_fit = np.bincount(source, weights * off, n_sources)[:, None]
    influence = weighted - of_source * mean - of_fit * slope
    n_docs = len(np.unique(source))
    return band(slope, influence, n_docs).frame(np.array(store.steps), "slope")


def in_context_score(
    store: Store, late: int = 500, early: int = 50, where: str = "true"
) -> pd.DataFrame:
    """Mean loss at one position minus at an earlier one (Olsson et al. 2022), at each checkpoint.

    Returns checkpoint, difference, low, high (nats), as `Store.difference`; more negative is more
    in-context learning. Raises GroupError where no token stands at such a position.
    """
    return store.difference(*position_clauses(store, late, early, where))


def position_clauses(store: Store, late: int, early: int, where: str) -> tuple[str, str]:
    """The groups that `in_context_score` compares."""
    clause = store.groups.clause(where)
    first, second = (f"position = {int(at)} and (\n{clause}\n)" for at in (late, early))
    return first, second


def _positions(store: Store, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The group's rows and their positions, int64; there is no position 0 in a store."""
    rows = store.some_members(where)
    return rows, store.evaluate("position").to_numpy(np.int64)[rows]


def _summation(store: Store) -> Summation:
    return Summation(store.matrix, store.source_of_row)

"""Rho-1's four categories of tokens: high or low loss at the start and at the end of training."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd

from queries.analyses.base import Chart, Group, Help, Tables, WithScript, python_script
from queries.engine.matrix import LossMatrix
from queries.errors import QueryError
from queries.stats.acquisition import averages
from queries.stats.smoothing import axis_shares
from queries.store import Store

CATEGORIES = ("H->L", "L->L", "H->H", "L->H")
CHANGED = 0.2
"""Nats by which a fitted line must fall or rise."""


@dataclass(frozen=True)
class Rho1(WithScript):
    """Rho-1's categories of some tokens."""

    frame: pd.DataFrame
    """category, n_tokens, share, mean_start, mean_end (nats): one row per category."""
    members: pd.DataFrame
    """row, category, start, end (of the fitted line, nats): one row per token."""
    tables: ClassVar[Tables] = {
        "categories": lambda found: found.frame,
        "members": lambda found: found.members,
    }

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.rho_1(self.frame)


def rho_1(
    store: Store,
    *,
    where: Annotated[str, Group("group to analyse")] = "true",
    log: Annotated[bool, "fit over the log of the step"] = False,
    save: Annotated[str | None, Help("save each token's category as a feature")] = None,
    overwrite: Annotated[bool, "replace an existing feature of that name"] = False,
) -> Rho1:
    """Rho-1's four categories of the group's tokens: high or low loss at the start and at the end.

    Lin et al. 2024, "Rho-1: Not All Tokens Are What You Need" (arXiv:2404.07965): a line is fitted
    to each token's losses by least squares. H->L if it falls by more than 0.2 nats from the first
    checkpoint to the last; L->H if it rises by more; otherwise L->L if the token's own loss at the
    last checkpoint is at most the group's mean loss there, and H->H if it is higher (their appendix
    D.1). Their checkpoints were evenly spaced; here each has the weight of the part of the axis
    that it represents. The axis is the step, or log10(1 + step) with `log`, which suits runs from
    scratch, whose losses fall early.

    `save` keeps the categories as a feature, a column of `tokens`. Raises GroupError, and
    QueryError for fewer than two checkpoints or an unusable feature name.
    """
    if save:
        store.features.refuse(save, overwrite=overwrite)
    rows, matrix = store.nonempty_members(where), store.matrix
    if len(matrix.checkpoints) < 2:
        raise QueryError("this store has one checkpoint, expected at least two: score another")
    members = categories(matrix, rows, log)
    if save:
        about = f"Rho-1's categories of {where}"
        store.features.save(
            save, members["category"], about, rows=members["row"], overwrite=overwrite
        )
    code = python_script(store, rho_1, where=where, log=log)
    return Rho1(_summary(members), members, code=code)


def categories(matrix: LossMatrix, rows: np.ndarray, log: bool) -> pd.DataFrame:
    """row, category, start, end (nats) of the tokens `rows`, int64 (n,)."""
    at = matrix.checkpoints.astype(np.float64)
    start, end = _line_ends(matrix, rows, np.log10(1 + at) if log else at)
    last = matrix.column(int(matrix.checkpoints[-1]))[rows]
    steady = np.where(last <= last.mean(dtype=np.float64), "L->L", "H->H")
    found = np.where(
        end - start < -CHANGED, "H->L", np.where(end - start > CHANGED, "L->H", steady)
    )
    return pd.DataFrame({"row": rows, "category": found, "start": start, "end": end})


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


def _summary(members: pd.DataFrame) -> pd.DataFrame:
    means = members.groupby("category")[["start", "end"]].mean().reindex(CATEGORIES)
    counts = members["category"].value_counts().reindex(CATEGORIES, fill_value=0)
    return pd.DataFrame(
        {
            "category": CATEGORIES,
            "n_tokens": counts.to_numpy(),
            "share": counts.to_numpy() / len(members),
            "mean_start": means["start"].to_numpy(),
            "mean_end": means["end"].to_numpy(),
        }
    )

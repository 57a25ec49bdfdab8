"""Loss by position and step: does a longer context help, by how much, and since when?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd

from queries import sql
from queries.analyses.base import Chart, Group, WithScript, sql_script
from queries.analyses.compare import refuse_other_tokens
from queries.catalog import sql_scripts
from queries.engine.measures import MeasureName, measure_of
from queries.engine.sums import Summation
from queries.errors import GroupError
from queries.stats.bands import Side, one_sided
from queries.store import Store

PER_DOUBLING = 2
"""Ranges of positions per doubling of the position."""


@dataclass(frozen=True)
class Positions(WithScript):
    """Mean loss in ranges of positions."""

    frame: pd.DataFrame
    """first_position, last_position, checkpoint, mean_loss (nats; or the mean of the measure),
    n_tokens (of the range)."""
    measure: MeasureName = "loss"

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.positions(self.frame, self.measure)


def positions(
    store: Store,
    *,
    where: Annotated[str, Group("group to analyse")] = "true",
    per_doubling: Annotated[int, "ranges per doubling of the position"] = PER_DOUBLING,
    measure: Annotated[MeasureName, "the loss, or a measure of predictions"] = "loss",
) -> Positions:
    """Mean loss of the group's tokens in ranges of positions, at each checkpoint.

    Ranges have equal width in the log of the position, but hold at least one position; ranges
    without a token are left out. After Olsson et al. 2022 (In-context Learning and Induction
    Heads), whose in-context score is one difference in this table. Raises GroupError.
    """
    if per_doubling < 1:
        raise GroupError(f"got {per_doubling} ranges per doubling: expected at least 1")
    rows, position = _positions(store, where)
    frame, edges = _means(store, rows, position, per_doubling, measure)
    shown = measure_of(measure)
    values = {
        "edges": ", ".join(map(str, edges.tolist())),
        "value": shown.sql,
        "mean": shown.mean,
        "relation": "prediction_rows" if shown.is_predicted else "loss_rows",
    }
    query = sql_scripts.filled("analyses/positions", values)
    code = sql_script(sql_scripts.script(store, {"token_group": where}, query))
    return Positions(frame, measure, code=code)


def positions_of_runs(
    stores: Sequence[Store],
    where: str = "true",
    measure: MeasureName = "loss",
    per_doubling: int = PER_DOUBLING,
) -> list[pd.DataFrame]:
    """`Positions.frame` of each run. The group is evaluated once, in the first store.

    Raises GroupError, and StoreError if the stores hold different tokens.
    """
    for other in stores[1:]:
        refuse_other_tokens(stores[0], other)
    rows, position = _positions(stores[0], where)
    return [_means(store, rows, position, per_doubling, measure)[0] for store in stores]


def _means(
    store: Store, rows: np.ndarray, position: np.ndarray, per_doubling: int, measure: MeasureName
) -> tuple[pd.DataFrame, np.ndarray]:
    """`Positions.frame` of these rows at these positions, and where the ranges begin."""
    edges = position_edges(int(position.max()), per_doubling)
    found = np.searchsorted(edges, position, side="right") - 1
    used, slot, counts = np.unique(found, return_inverse=True, return_counts=True)
    matrix, shown = store.matrix_of(measure), measure_of(measure)
    sums = Summation(matrix, store.source_of_row).by_slot(rows, slot, len(used))
    n_steps = len(matrix.checkpoints)
    frame = pd.DataFrame(
        {
            "first_position": np.repeat(edges[used], n_steps),
            "last_position": np.repeat(edges[used + 1] - 1, n_steps),
            "checkpoint": np.tile(matrix.checkpoints, len(used)),
            shown.mean: (sums / counts[:, None]).ravel(),
            "n_tokens": np.repeat(counts, n_steps),
        }
    )
    return frame, edges


def position_edges(last: int, per_doubling: int) -> np.ndarray:
    """Where ranges begin, int64, increasing, from 1; the final edge is above `last`."""
    n = int(np.ceil(np.log2(last + 1) * per_doubling)) + 1
    edges = np.unique(np.round(2 ** (np.arange(n + 1) / per_doubling)).astype(np.int64))
    return edges[: int(np.searchsorted(edges, last, side="right")) + 1]


@dataclass(frozen=True)
class PositionSlope(WithScript):
    """The slope of the loss over the log of the position."""

    frame: pd.DataFrame
    """checkpoint, slope, low, high (nats per doubling; negative: later tokens are easier),
    n_docs_effective, verdict."""

    def chart(self) -> Chart:
        from queries.charts import curves

        return curves.relative(self.frame, "slope", "slope (nats per doubling)", 0)


def position_slope(
    store: Store, *, where: Annotated[str, Group("group to analyse")] = "true"
) -> PositionSlope:
    """How much the loss changes with each doubling of the position, at each checkpoint.

    The slope of loss on log2(position) over the group's tokens by least squares, with a 95% band
    by the jackknife over source documents, as in `queries.stats.bands`; effective documents are
    those of the squared deviations of x from its mean. The curve need not be straight, and later
    positions hold other tokens: compare with matched ones. Raises GroupError, also if all tokens
    have the same position.
    """
    rows, position = _positions(store, where)
    if position.min() == position.max():
        raise GroupError(f"all tokens of `{where}` have position {position[0]}: widen the group")
    summation = Summation(store.matrix, store.source_of_row)
    band = one_sided(_slope(summation, rows, np.log2(position)))
    frame = band.frame(np.array(store.steps), "slope")
    query = sql.read("analyses/position_slope")
    code = sql_script(sql_scripts.script(store, {"token_group": where}, query))
    return PositionSlope(frame, code=code)


def _slope(summation: Summation, rows: np.ndarray, x: np.ndarray) -> Side:
    """Least-squares slope of loss on `x`, float64 (rows,), and what each source does to it.

    The slope without a source solves the normal equations of the other sources; in terms of the
    source's residuals: MacKinnon, Nielsen and Webb 2023, J. Applied Econometrics 38:671.
    """
    off = x - x.mean()
    spread, n, n_sources = float((off**2).sum()), len(rows), summation.n_sources
    source = summation.source_of_row[rows]
    sums = summation.group(rows)
    products = summation.by_slot(rows, source, n_sources, off)
    slope = products.sum(axis=0) / spread
    total_off = np.bincount(source, off, n_sources)[:, None]
    own_spread = np.bincount(source, off**2, n_sources)[:, None]
    others = n - sums.counts[:, None]
    residual = sums.sums - sums.counts[:, None] * sums.mean - total_off * slope
    weighted = products - total_off * sums.mean - own_spread * slope
    determinant = others * (spread - own_spread) - total_off**2
    determinant[determinant <= 1e-12 * n * spread] = np.inf  # no slope without that source
    left_out = (total_off * residual + others * weighted) / determinant
    return Side(slope, left_out, own_spread[:, 0] / spread, n)


@dataclass(frozen=True)
class InContextScore(WithScript):
    """Mean loss at a late position minus that at an early one."""

    frame: pd.DataFrame
    """checkpoint, difference, low, high (nats), n_docs_effective, verdict. More negative: more
    in-context learning."""
    late: int
    early: int

    def chart(self) -> Chart:
        from queries.charts import curves

        title = f"position {self.late:,} minus {self.early:,} (nats)"
        return curves.relative(self.frame, "difference", title, 0)


def in_context_score(
    store: Store,
    *,
    late: Annotated[int, "late position"] = 500,
    early: Annotated[int, "early position"] = 50,
    where: Annotated[str, Group("group to analyse")] = "true",
) -> InContextScore:
    """Mean loss at one position minus that at an earlier one (Olsson et al. 2022).

    `Store.difference` of the group's tokens at the two positions. Raises GroupError if no token of
    the group has such a position.
    """
    clause = store.groups.clause(where)
    first, second = (f"position = {int(at)} and (\n{clause}\n)" for at in (late, early))
    query = "from difference('late', 'early')\norder by checkpoint;\n"
    code = sql_script(sql_scripts.script(store, {"late": first, "early": second}, query))
    return InContextScore(store.difference(first, second), late, early, code=code)


def _positions(store: Store, where: str) -> tuple[np.ndarray, np.ndarray]:
    """The group's rows and their positions, int64; no token has position 0."""
    rows = store.nonempty_members(where)
    return rows, store.evaluate("position").to_numpy(np.int64)[rows]

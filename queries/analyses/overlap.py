"""Overlap: do two regions of training change the same tokens, more than elsewhere in the run?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Annotated

import numpy as np
import pandas as pd

from queries.analyses.base import Between, Chart, Group, Help, WithScript, python_script
from queries.analyses.compare import refuse_other_tokens
from queries.engine.matrix import LossMatrix
from queries.errors import QueryError
from queries.stats.changes import Region, refuse_bad_k, region_change
from queries.stats.placebo import Placebos, compared, placebo_pairs
from queries.store import Store

SIDES = {"decreased": 1.0, "increased": -1.0}
Level = Callable[[int], np.ndarray]
_KEPT = 64  # checkpoints' losses, which shifted regions share


@dataclass(frozen=True)
class Overlap(WithScript):
    """What the most changed tokens of two regions share."""

    frame: pd.DataFrame
    """set_in_first, set_in_second ("decreased" or "increased"), shared; expected_placebo,
    p_placebo, needed (NaN if even lists that share everything would not do), n_placebos, verdict;
    k_first, k_second (sizes of the lists; below k if fewer tokens changed that way), expected; see
    `overlap`."""

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.overlap(self.frame)


def overlap(
    store: Store,
    region: Annotated[Region, Between("the first region")],
    second_region: Annotated[Region, Between("the second region")],
    *,
    where: Annotated[str, Group("group to analyse")] = "true",
    k: Annotated[int, Help("number of tokens per list", ("--top",))] = 50,
    min_count: Annotated[
        int | None,
        Help("compare token types that occur at least this often (default: tokens)", ("--types",)),
    ] = None,
    other: Annotated[Store | None, Help("take the second region from this store")] = None,
) -> Overlap:
    """What the k most changed tokens of two regions share, and whether that is unusual in this run.

    Compares token occurrences of the group `where`; with `min_count`, token types that occur at
    least that often in it, by their mean change. With `other`, the second region is that store's.

    - expected_placebo, p_placebo, n_placebos: the same lists in placebo pairs of regions, with the
      same widths and gap elsewhere in the run (`queries.stats.placebo`; with `other`, at the steps
      that both stores have). Some tokens always change more than others, and what noise moves in
      one region it moves back in the next, so lists overlap everywhere. The p-value is the rank of
      the pair among the placebos, adjusted for the four rows; `needed` is the smallest number of
      shared tokens for which it would be below 0.05. With fewer than 10 placebos there is no p and
      `verdict` says so; with fewer than 20 the p cannot be below 0.05.
    - expected: what lists drawn at random from all n tokens would share, k_first * k_second / n.
      More than that says only that chance does not fill the lists, not that the regions have
      anything in common.

    Two regions that meet at a checkpoint share its losses with opposite signs: whatever is unusual
    at that step "increased" before and "decreased" after. So it does in the placebos; but to
    exclude it, begin the second region one checkpoint later. Raises GroupError; QueryError;
    StoreError for stores of other tokens.
    """
    refuse_bad_k(k)
    if other:
        refuse_other_tokens(store, other)
    rows = store.nonempty_members(where)
    units = _units(rows, store.token_ids[rows], where, min_count)
    frame = overlaps(units, store.matrix, (other or store).matrix, region, second_region, k)
    if other is None and max(region[0], second_region[0]) < min(region[1], second_region[1]):
        verdict = (
            "cannot tell: the regions share checkpoints, so their changes are the same in part"
        )
        frame = frame.assign(p_placebo=np.nan, needed=np.nan, verdict=verdict)
    options = {"where": where, "k": k, "min_count": min_count, "other": other}
    code = python_script(store, overlap, region=region, second_region=second_region, **options)
    return Overlap(frame, code=code)


@dataclass(frozen=True)
class Units:
    """What lists consist of: occurrences, or token types with their occurrences' mean change."""

    rows: np.ndarray
    """int64 (occurrences,)"""
    unit_of_row: np.ndarray
    """int64 (occurrences,), from 0"""
    type_of_unit: np.ndarray
    """token_id, int64 (units,)"""

    def change(self, matrix: LossMatrix, region: Region) -> np.ndarray:
        """Mean change of each unit from the region's first to its last checkpoint, in nats."""
        return self._means(region_change(matrix, self.rows, region))

    def level(self, matrix: LossMatrix, step: int) -> np.ndarray:
        """Mean loss of each unit at a checkpoint, in nats, float32 (units,)."""
        return self._means(matrix.column(step)[self.rows]).astype(np.float32)

    @cached_property
    def _counts(self) -> np.ndarray:
        return np.bincount(self.unit_of_row)

    def _means(self, values: np.ndarray) -> np.ndarray:
        if len(self.type_of_unit) == len(self.rows):  # occurrences
            return values
        means: np.ndarray = np.bincount(self.unit_of_row, values) / self._counts
        return means


def _units(rows: np.ndarray, types: np.ndarray, where: str, min_count: int | None) -> Units:
    """The units of the tokens `rows` with token ids `types`, both int64 (occurrences,)."""
    if min_count is None:
        return Units(rows, np.arange(len(rows)), types)
    ids, of_row, counts = np.unique(types, return_inverse=True, return_counts=True)
    enough = counts >= min_count
    if not enough.any():
        raise QueryError(
            f"no token type occurs {min_count:,} times in `{where}`, the most frequent one "
            f"{counts.max():,} times: lower the count or widen the group"
        )
    kept = enough[of_row]
    return Units(rows[kept], (np.cumsum(enough) - 1)[of_row[kept]], ids[enough])


def overlaps(
    units: Units,
    first: LossMatrix,
    second: LossMatrix,
    region: Region,
    second_region: Region,
    k: int,
) -> pd.DataFrame:
    """`Overlap.frame`; `region` is one of `first`, `second_region` one of `second`."""
    change, second_change = units.change(first, region), units.change(second, second_region)
    lists = {side: _most(change, side, k) for side in SIDES}
    second_lists = {side: _most(second_change, side, k) for side in SIDES}
    observed = _shared(lists, second_lists)
    sizes = [{side: len(found) for side, found in each.items()} for each in (lists, second_lists)]
    pairs = _placebos(first.checkpoints, second.checkpoints, region, second_region)
    levels = [
        lru_cache(_KEPT)(partial(units.level, matrix))
        for matrix in ((first, second) if first is not second else (first,))
    ]
    counts = [_placebo_counts((levels[0], levels[-1]), pair, sizes) for pair in pairs]
    placebos = compared(observed, np.array(counts, dtype=np.int64).reshape(-1, len(observed)))
    return _frame(observed, sizes, len(units.type_of_unit), placebos)


def _placebos(
    steps: np.ndarray, other_steps: np.ndarray, region: Region, second_region: Region
) -> list[tuple[Region, Region]]:
    """Placebo pairs at the steps that both runs have; none if either lacks an end of a region."""
    common = np.intersect1d(steps, other_steps)
    if not np.isin([*region, *second_region], common).all():
        return []
    at = np.searchsorted(common, [*region, *second_region]).tolist()
    return [
        ((int(common[a]), int(common[b])), (int(common[c]), int(common[d])))
        for (a, b), (c, d) in placebo_pairs(common, (at[0], at[1]), (at[2], at[3]))
    ]


def _placebo_counts(
    levels: tuple[Level, Level], pair: tuple[Region, Region], sizes: list[dict[str, int]]
) -> np.ndarray:
    """`_shared` of a placebo pair, whose lists are as long as the observed ones.

    `levels` give the units' losses at a step, in the first store and in the second.
    """
    lists = []
    for level, region, size in zip(levels, pair, sizes, strict=True):
        change = level(region[1]) - level(region[0])
        lists.append(dict(zip(SIDES, _ends(change, *size.values()), strict=True)))
    return _shared(*lists)


def _shared(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> np.ndarray:
    """How many units each two lists share, in the order of `Overlap.frame`, int64 (4,)."""
    return np.array([len(np.intersect1d(first[a], second[b])) for a in SIDES for b in SIDES])


def _frame(
    observed: np.ndarray, sizes: list[dict[str, int]], n_units: int, placebos: Placebos
) -> pd.DataFrame:
    sides = [(a, b) for a in SIDES for b in SIDES]
    frame = pd.DataFrame(sides, columns=["set_in_first", "set_in_second"])
    # What random lists would share comes last: it makes every pair of regions look unusual.
    frame["shared"] = observed
    frame["expected_placebo"] = placebos.mean
    frame["p_placebo"] = placebos.p_value
    frame["needed"] = placebos.needed
    frame["n_placebos"] = placebos.n
    frame["verdict"] = placebos.verdict
    frame["k_first"] = [sizes[0][a] for a, _ in sides]
    frame["k_second"] = [sizes[1][b] for _, b in sides]
    frame["expected"] = frame["k_first"] * frame["k_second"] / n_units
    most = frame[["k_first", "k_second"]].min(axis=1)
    frame["needed"] = np.where(placebos.needed <= most, placebos.needed, np.nan)
    return frame


def _most(change: np.ndarray, side: str, k: int) -> np.ndarray:
    """The k units that changed most in one direction; fewer if fewer changed that way."""
    signed = change * SIDES[side]
    return _lowest(signed, min(k, int((signed < 0).sum())))


def _ends(values: np.ndarray, lowest: int, highest: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of so many of the lowest and of the highest values, in one partition."""
    n = len(values)
    kth = {max(lowest - 1, 0), min(n - highest, n - 1)}
    order = np.argpartition(values, sorted(kth))
    return order[:lowest], order[n - highest :]


def _lowest(values: np.ndarray, k: int) -> np.ndarray:
    """Places of the k lowest values, int64 (k,)."""
    return np.argpartition(values, k - 1)[:k] if k else np.empty(0, np.int64)

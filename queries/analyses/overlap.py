"""Do two regions of training move the same tokens, more than chance would have it?"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from queries.analyses.compare import refuse_other_tokens
from queries.engine.matrix import LossMatrix
from queries.errors import QueryError
from queries.stats.changes import Region, refuse_bad_k, region_change
from queries.store import Store

USUAL_REGIONS = 20
"""At most so many other regions tell how a token usually moves."""
SIDES = {"decreased": 1.0, "increased": -1.0}


def overlap(
    store: Store,
    first_region: Region,
    second_region: Region,
    where: str = "true",
    k: int = 50,
    min_count: int | None = None,
    other: Store | None = None,
) -> pd.DataFrame:
    """What the k most changed tokens of two regions share, and how often chance gives as much.

    Compares token occurrences of the group `where`; with `min_count`, token types that occur at
    least so often in it, by their mean change. With `other`, the second region is that store's.

    Returns set_in_first, set_in_second ("decreased" or "increased"), k_first, k_second (sizes of
    the lists, below k where fewer changed that way), shared, and two nulls:

    - expected, p_value: lists drawn from all n tokens by chance. Hypergeometric: k_first * k_second
      / n, and the probability to share as many or more. Too small where some tokens always move
      more than others, as rare ones do: they are in any two lists.
    - expected_usual, p_usual: each token keeps its own way of moving, so its variance. For each
      token type by itself, its changes in the second region are replaced by those of a region
      drawn evenly out of n_regions: the second and the nearest others of as many checkpoints, none
      of which has a checkpoint in either region or in another one. A token counts as shared if it
      is in the k_second most changed of the region drawn: only its rank counts, as training moves
      less and less. This permutes region labels within types, so it is exact (Pesarin and Salmaso
      2010, Permutation Tests for Complex Data, chapter 1) where, but for what the two regions have
      in common, each type's ranks could come in any order, independently between types;
      occurrences of a type move together. The probability is summed exactly: the number shared is
      a sum of independent counts, one a type. NaN where there is no other region.

    Two regions that meet at a checkpoint share its losses with opposite signs: whatever is unusual
    at that one step was "increased" before and "decreased" after. For more than that, begin the
    second region later. Raises GroupError, QueryError; StoreError for stores of other tokens.
    """
    refuse_bad_k(k)
    second_store = other or store
    if other:
        refuse_other_tokens(store, other)
    units = _units(store, where, min_count)
    usual = usual_regions(np.array(second_store.steps), second_region, first_region)
    first = units.change(store.matrix, first_region)
    moves = [units.change(second_store.matrix, r) for r in (second_region, *usual)]
    lists = {side: _lists(moves, side, k) for side in SIDES}
    lines = [_line(units, _most(first, a, k), lists[b], (a, b)) for a in SIDES for b in SIDES]
    return pd.DataFrame(lines)


@dataclass(frozen=True)
class _Units:
    """What lists are made of: occurrences, or token types with the mean change of theirs."""

    rows: np.ndarray
    """int64 (occurrences,)"""
    unit_of_row: np.ndarray
    """int64 (occurrences,), from 0"""
    type_of_unit: np.ndarray
    """token_id, int64 (units,)"""

    def change(self, matrix: LossMatrix, region: Region) -> np.ndarray:
        """Mean change of each unit from the region's first to its last checkpoint, in nats."""
        change = region_change(matrix, self.rows, region)
        counts = np.bincount(self.unit_of_row)
        means: np.ndarray = np.bincount(self.unit_of_row, change) / counts
        return means


def _units(store: Store, where: str, min_count: int | None) -> _Units:
    rows = store.some_members(where)
    types = store.token_ids[rows]
    if min_count is None:
        return _Units(rows, np.arange(len(rows)), types)
    ids, of_row, counts = np.unique(types, return_inverse=True, return_counts=True)
    enough = counts >= min_count
    if not enough.any():
        raise QueryError(
            f"no token type occurs {min_count:,} times in `{where}`, the most frequent one "
            f"{counts.max():,} times: lower the count or widen the group"
        )
    kept = enough[of_row]
    return _Units(rows[kept], (np.cumsum(enough) - 1)[of_row[kept]], ids[enough])


def usual_regions(steps: np.ndarray, region: Region, avoid: Region) -> list[Region]:
    """Regions of as many checkpoints as `region` that share none with it, `avoid` or each other.

    `steps` int64 (checkpoints,), increasing; nearest first, at most 20.
    """
    in_region = (steps >= region[0]) & (steps <= region[1])
    free = np.flatnonzero(~in_region & ~((steps >= avoid[0]) & (steps <= avoid[1])))
    width, start = int(in_region.sum()), int(in_region.argmax())
    runs = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1)
    tiles = [tile for run in runs for tile in _tiles(run, width, start)]
    nearest = sorted(tiles, key=lambda tile: abs(tile - start))[:USUAL_REGIONS]
    return [(int(steps[at]), int(steps[at + width - 1])) for at in nearest]


def _tiles(run: np.ndarray, width: int, start: int) -> Iterator[int]:
    """Where in a run of free columns regions begin, close up to the side nearer to `start`."""
    left_over = len(run) % width if len(run) and run[0] < start else 0
    for at in range(left_over, len(run) - width + 1, width):
        yield int(run[at])


def _lists(moves: list[np.ndarray], side: str, k: int) -> list[np.ndarray]:
    """The most changed units of each region, as many as of the first region there are."""
    most = _most(moves[0], side, k)
    return [most, *(_lowest(change * SIDES[side], len(most)) for change in moves[1:])]


def _line(
    units: _Units, one: np.ndarray, lists: list[np.ndarray], sides: tuple[str, str]
) -> dict[str, object]:
    hits = np.array([np.isin(one, those) for those in lists])
    shared = int(hits[0].sum())
    chance = stats.hypergeom(len(units.type_of_unit), len(lists[0]), len(one))
    usual = _usual(hits, units.type_of_unit[one])
    known = len(lists) > 1
    return {
        "set_in_first": sides[0],
        "set_in_second": sides[1],
        "k_first": len(one),
        "k_second": len(lists[0]),
        "shared": shared,
        "expected": float(chance.mean()),
        "p_value": float(chance.sf(shared - 1)),
        "expected_usual": float(hits.mean(axis=0).sum()) if known else np.nan,
        "p_usual": min(float(usual[shared:].sum()), 1.0) if known else np.nan,
        "n_regions": len(lists),
    }


def _usual(hits: np.ndarray, types: np.ndarray) -> np.ndarray:
    """Probabilities of 0, 1, … hits where each type draws one of the lines of `hits`.

    `hits` bool (regions, tokens): is the token in that region's list; `types` int64 (tokens,).
    """
    probability = np.ones(1)
    for of_type in np.unique(types):
        counts = hits[:, types == of_type].sum(axis=1)
        probability = np.convolve(probability, np.bincount(counts) / len(hits))
    return np.append(probability, np.zeros(hits.shape[1] + 1 - len(probability)))


def _most(change: np.ndarray, side: str, k: int) -> np.ndarray:
    """The k units that changed most to one side; fewer where fewer changed that way."""
    signed = change * SIDES[side]
    return _lowest(signed, min(k, int((signed < 0).sum())))


def _lowest(values: np.ndarray, k: int) -> np.ndarray:
    """Where the k lowest values are, int64 (k,)."""
    return np.argpartition(values, k - 1)[:k] if k else np.empty(0, np.int64)

"""Overlap: do two regions of training change the same tokens, more than chance would give?"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
from scipy import stats

from queries.analyses.base import Between, Chart, Group, Help, WithScript, python_script
from queries.analyses.compare import refuse_other_tokens
from queries.engine.matrix import LossMatrix
from queries.errors import QueryError
from queries.stats.changes import Region, refuse_bad_k, region_change
from queries.store import Store

REFERENCE_REGIONS = 20
"""Maximum number of other regions that show how much a token usually changes."""
SIDES = {"decreased": 1.0, "increased": -1.0}


@dataclass(frozen=True)
class Overlap(WithScript):
    """What the most changed tokens of two regions share."""

    frame: pd.DataFrame
    """set_in_first, set_in_second ("decreased" or "increased"), k_first, k_second (sizes of the
    lists; below k if fewer tokens changed that way), shared; expected, p_value, expected_usual,
    p_usual, n_regions; see `overlap`."""

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
    """What the k most changed tokens of two regions share, and how many chance alone would give.

    Compares token occurrences of the group `where`; with `min_count`, token types that occur at
    least that often in it, by their mean change. With `other`, the second region is that store's.
    Two null hypotheses:

    - expected, p_value: the lists are drawn at random from all n tokens. Hypergeometric: k_first *
      k_second / n, and the probability to share as many or more. The p is too small if some tokens
      always change more than others, as rare ones do: they are in any two lists.
    - expected_usual, p_usual: each token keeps its own variance. For each token type separately,
      the changes in the second region are replaced by those of one of n_regions, drawn evenly: the
      second one and the nearest others with as many checkpoints, none of which shares a
      checkpoint with either region or another one. A token counts as shared if it is among the
      k_second most changed of the drawn region: only its rank counts, as changes become smaller
      during training. This permutes region labels within types, so it is exact (Pesarin and
      Salmaso 2010, Permutation Tests for Complex Data, chapter 1) if, apart from what the two
      regions have in common, each type's ranks are exchangeable and independent between types;
      occurrences of a type change together. The probability is summed exactly: the number shared
      is a sum of independent counts, one per type. NaN if there is no other region.

    Two regions that meet at a checkpoint share its losses with opposite signs: whatever is unusual
    at that step "increased" before and "decreased" after. To exclude this, begin the second region
    one checkpoint later. Raises GroupError; QueryError; StoreError for stores of other tokens.
    """
    refuse_bad_k(k)
    if other:
        refuse_other_tokens(store, other)
    rows = store.nonempty_members(where)
    units = _units(rows, store.token_ids[rows], where, min_count)
    frame = overlaps(units, store.matrix, (other or store).matrix, region, second_region, k)
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
        change = region_change(matrix, self.rows, region)
        counts = np.bincount(self.unit_of_row)
        means: np.ndarray = np.bincount(self.unit_of_row, change) / counts
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
    usual = usual_regions(second.checkpoints, second_region, region)
    change = units.change(first, region)
    changes = [units.change(second, r) for r in (second_region, *usual)]
    lists = {side: _lists(changes, side, k) for side in SIDES}
    rows = [_row(units, _most(change, a, k), lists[b], (a, b)) for a in SIDES for b in SIDES]
    return pd.DataFrame(rows)


def usual_regions(steps: np.ndarray, region: Region, avoid: Region) -> list[Region]:
    """Regions with as many checkpoints as `region` that share none with it, `avoid` or each other.

    `steps` int64 (checkpoints,), increasing; nearest first; at most 20 of them.
    """
    in_region = (steps >= region[0]) & (steps <= region[1])
    free = np.flatnonzero(~in_region & ~((steps >= avoid[0]) & (steps <= avoid[1])))
    width, start = int(in_region.sum()), int(in_region.argmax())
    runs = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1)
    tiles = [tile for run in runs for tile in _tiles(run, width, start)]
    nearest = sorted(tiles, key=lambda tile: abs(tile - start))[:REFERENCE_REGIONS]
    return [(int(steps[at]), int(steps[at + width - 1])) for at in nearest]


def _tiles(run: np.ndarray, width: int, start: int) -> Iterator[int]:
    """Columns at which regions begin in a run of free columns, from the end nearer to `start`."""
    left_over = len(run) % width if len(run) and run[0] < start else 0
    for at in range(left_over, len(run) - width + 1, width):
        yield int(run[at])


def _lists(changes: list[np.ndarray], side: str, k: int) -> list[np.ndarray]:
    """The most changed units of each region; all lists are as long as the first."""
    most = _most(changes[0], side, k)
    return [most, *(_lowest(change * SIDES[side], len(most)) for change in changes[1:])]


def _row(
    units: Units, one: np.ndarray, lists: list[np.ndarray], sides: tuple[str, str]
) -> dict[str, object]:
    hits = np.array([np.isin(one, other) for other in lists])
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
    """Probabilities of 0, 1, … hits if each type draws one of the rows of `hits`.

    `hits` bool (regions, tokens): is the token in that region's list? `types` int64 (tokens,).
    """
    probability = np.ones(1)
    for of_type in np.unique(types):
        counts = hits[:, types == of_type].sum(axis=1)
        probability = np.convolve(probability, np.bincount(counts) / len(hits))
    return np.append(probability, np.zeros(hits.shape[1] + 1 - len(probability)))


def _most(change: np.ndarray, side: str, k: int) -> np.ndarray:
    """The k units that changed most in one direction; fewer if fewer changed that way."""
    signed = change * SIDES[side]
    return _lowest(signed, min(k, int((signed < 0).sum())))


def _lowest(values: np.ndarray, k: int) -> np.ndarray:
    """Places of the k lowest values, int64 (k,)."""
    return np.argpartition(values, k - 1)[:k] if k else np.empty(0, np.int64)

"""Features to match tokens on: their values, bins, and how alike two sets of tokens are in them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from queries.errors import GroupError, QueryError
from queries.store import Store

INITIAL_LOSS = "initial_loss"


@dataclass(frozen=True)
class Feature:
    """One feature of all tokens."""

    name: str
    values: np.ndarray
    """float64 (tokens,); codes from 0 where `is_number` is not so. NaN for none."""
    is_number: bool
    bin: np.ndarray
    """int64 (tokens,); -1 outside of the group's range."""


def read_features(store: Store, names: Sequence[str], rows: np.ndarray, bins: int) -> list[Feature]:
    """Evaluate and bin features; `rows` are the group's. Raises GroupError, QueryError."""
    if not names:
        raise GroupError("no feature was named to match on: name one, as corpus_count")
    if bins < 1:
        raise QueryError(f"asked for {bins} bins: expected at least 1")
    return [_feature(store, name, rows, bins) for name in names]


def _feature(store: Store, name: str, rows: np.ndarray, bins: int) -> Feature:
    if name == INITIAL_LOSS:
        values = pd.Series(store.matrix.column(store.steps[0]), dtype=np.float64)
    else:
        values = store.evaluate(name)
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        codes = pd.factorize(values.astype(object), use_na_sentinel=False)[0]
        return Feature(name, codes.astype(np.float64), False, codes.astype(np.int64))
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    return Feature(name, numbers, True, _binned(numbers, rows, bins))


def _binned(values: np.ndarray, rows: np.ndarray, bins: int) -> np.ndarray:
    """Exactly, or by quantiles of the group's values; missing ones are a bin of their own."""
    missing = np.isnan(values)
    known = values[rows][~missing[rows]]
    own = np.unique(known)
    if len(own) <= bins:
        place = np.searchsorted(own, values).clip(0, max(len(own) - 1, 0))
        inside = own[place] == values if len(own) else np.zeros(len(values), dtype=bool)
    else:
        inner = np.unique(np.quantile(known, np.arange(1, bins) / bins))
        place = np.searchsorted(inner, values, side="right")
        inside = (values >= own[0]) & (values <= own[-1])
    return np.where(missing, bins + 1, np.where(inside, place, -1))


def balance(
    features: list[Feature],
    rows: np.ndarray,
    others: np.ndarray,
    matched: np.ndarray,
    controls: np.ndarray,
    weights: np.ndarray,
) -> pd.DataFrame:
    """One line per feature: feature, measure, before, after, and means where it is a number.

    The measure of a number is the standardized difference: of the means of group and controls, over
    the group's standard deviation (Stuart 2010, Statistical Science 25:1; below 0.1 in size is
    usually taken for balanced), before matching of the whole `group_mean` and `rest_mean`, after it
    of `matched_mean` and `control_mean`. Of texts and truth values it is the total variation
    distance of the two distributions, 0 to 1. `weights` float64 (controls,) sum to 1.
    """
    lines = []
    for f in features:
        one, two = f.values[rows], f.values[others]
        three, four = f.values[matched], f.values[controls]
        if f.is_number:
            lines.append(_numbers(f.name, (one, two, three, four), weights))
            continue
        even = [np.full(len(v), 1 / len(v)) for v in (one, two, three)]
        before, after = _distance(one, two, *even[:2]), _distance(three, four, even[2], weights)
        lines.append({"feature": f.name, "measure": "distance", "before": before, "after": after})
    columns = ["feature", "measure", "before", "after",
               "group_mean", "rest_mean", "matched_mean", "control_mean"]  # fmt: skip
    return pd.DataFrame(lines, columns=columns)


def _numbers(name: str, values: tuple[np.ndarray, ...], weights: np.ndarray) -> dict[str, object]:
    one, two, three, four = values
    known = ~np.isnan(four)
    control = float(np.average(four[known], weights=weights[known])) if known.any() else np.nan
    means = [float(np.nanmean(v)) if not np.isnan(v).all() else np.nan for v in (one, two, three)]
    deviation = float(np.nanstd(one)) or np.nan
    return {
        "feature": name,
        "measure": "standardized difference",
        "before": (means[0] - means[1]) / deviation,
        "after": (means[2] - control) / deviation,
        "group_mean": means[0],
        "rest_mean": means[1],
        "matched_mean": means[2],
        "control_mean": control,
    }


def _distance(one: np.ndarray, two: np.ndarray, a: np.ndarray, b: np.ndarray) -> float:
    n = int(max(one.max(), two.max())) + 1
    shares = np.bincount(one.astype(int), a, n) - np.bincount(two.astype(int), b, n)
    return float(np.abs(shares).sum() / 2)

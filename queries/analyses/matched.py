"""Matched comparison: a group compared with other tokens that match it in some covariates.

Coarsened exact matching (Iacus, King and Porro 2012, Political Analysis 20:1): covariates are cut
into bins, tokens with the same bins in all of them form a stratum, and in each stratum the control
tokens get the same total weight as the group's tokens. Group tokens in a stratum without a control
are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd
from scipy import sparse

from queries.analyses.base import Chart, Group, Tables, WithScript, python_script
from queries.engine.sums import Summation
from queries.errors import GroupError, QueryError
from queries.stats.bands import Band, Side, difference_band, effective, two_sided
from queries.store import Store

INITIAL_LOSS = "initial_loss"
DEFAULT = (INITIAL_LOSS, "corpus_count", "position")


@dataclass(frozen=True)
class Matched(WithScript):
    """A group and its matched controls."""

    trajectories: pd.DataFrame
    """As `Store.trajectories`. Token groups: group, matched_group (its tokens that have a control),
    control (reweighted), rest (all others)."""
    difference: pd.DataFrame
    """checkpoint, difference, low, high, n_docs_effective, verdict: matched_group minus control;
    before, before_low, before_high: group minus rest (nats)."""
    balance: pd.DataFrame
    """How similar group and controls are in each covariate, before and after; see `balance`."""
    n_unmatched: int
    """Tokens of the group that have no control."""
    tables: ClassVar[Tables] = {
        "trajectories": lambda found: found.trajectories,
        "difference": lambda found: found.difference,
        "balance": lambda found: found.balance,
    }

    @property
    def frame(self) -> pd.DataFrame:
        """`trajectories`."""
        return self.trajectories

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.matched(self.trajectories, self.difference)


def matched(
    store: Store,
    group: Annotated[str, Group("group to analyse")],
    *,
    on: Annotated[
        Sequence[str], f"covariates to match on: columns, SQL expressions, or {INITIAL_LOSS}"
    ] = DEFAULT,
    among: Annotated[str, Group("where controls are taken from")] = "true",
    bins: Annotated[int, "quantile bins per numeric covariate"] = 10,
) -> Matched:
    """Compare a group with the other tokens of `among` that match it in the covariates `on`.

    Covariates are SQL expressions over `tokens`, or initial_loss, the loss at the first checkpoint.
    Texts, booleans and numbers with at most `bins` values in the group are matched exactly; other
    numbers by that many quantiles of the group's, and a token outside their range is no control.

    With strata s, n_s of the group's n matched tokens in each, and the controls' mean loss y_s, the
    control curve is sum n_s y_s / n. Bands are those of `queries.stats.bands`, by source document:
    the influence of a group token of stratum s on the difference D is (loss - y_s - D) / n, that of
    a control, one of m_s, is -(n_s / (n m_s)) (loss - y_s), so that the weights, which depend on
    the text too, are accounted for (delta method, as in `queries.stats.bands`; Abadie and Spiess
    2022, J. Am. Stat. Assoc. 117:983, for errors after matching).

    Matching removes what the covariates explain. What remains includes differences within a bin
    (see the balance) and covariates that were not named. Matching on a consequence of belonging to
    the group removes part of its effect. Raises GroupError, and QueryError if no token of the group
    has a control.
    """
    rows = store.nonempty_members(group)
    others = np.setdiff1d(store.nonempty_members(among), rows, assume_unique=True)
    if not len(others):
        raise GroupError(f"`{group}` leaves no other token of `{among}` to compare with")
    covariates = read_covariates(store, on, rows, bins)
    strata = match(covariates, rows, others)
    if not strata.n:
        raise QueryError(
            f"no token of `{group}` has a control with the same {', '.join(on)}: match on fewer "
            "covariates, or use fewer bins"
        )
    trajectories, difference = _curves(store, rows, others, strata)
    similar = balance(covariates, rows, others, strata.rows, strata.controls, strata.weights)
    code = python_script(store, matched, group=group, on=tuple(on), among=among, bins=bins)
    unmatched = len(rows) - len(strata.rows)
    return Matched(trajectories, difference, similar, unmatched, code=code)


def _curves(
    store: Store, rows: np.ndarray, others: np.ndarray, strata: "Strata"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`Matched.trajectories` and `Matched.difference`."""
    summation, steps = Summation(store.matrix, store.source_of_row), np.array(store.steps)
    difference, control = matched_bands(summation, strata)
    before = difference_band(*summation.pair(rows, others))
    raw = pd.DataFrame(
        {
            "checkpoint": steps,
            "before": before.estimate,
            "before_low": before.low,
            "before_high": before.high,
        }
    )
    frames = {
        "group": store.trajectory(rows),
        "matched_group": store.trajectory(strata.rows),
        "control": _control_frame(control, steps, strata, store.source_of_row),
        "rest": store.trajectory(others),
    }
    for name, frame in frames.items():
        frame.insert(1, "token_group", name)
    return (
        pd.concat(frames.values(), ignore_index=True),
        difference.frame(steps, "difference").merge(raw, on="checkpoint"),
    )


@dataclass(frozen=True)
class Covariate:
    """One covariate of all tokens."""

    name: str
    values: np.ndarray
    """float64 (tokens,), NaN if missing; codes from 0 if it is not a number."""
    is_number: bool
    bin: np.ndarray
    """int64 (tokens,); -1 outside the group's range."""


def read_covariates(
    store: Store, names: Sequence[str], rows: np.ndarray, bins: int
) -> list[Covariate]:
    """Evaluate and bin covariates; `rows` are the group's. Raises GroupError, QueryError."""
    if not names:
        raise GroupError("no covariate was named to match on: name one, such as corpus_count")
    if bins < 1:
        raise QueryError(f"got {bins} bins: expected at least 1")
    return [_covariate(name, _values(store, name), rows, bins) for name in names]


def _values(store: Store, name: str) -> pd.Series:
    if name == INITIAL_LOSS:
        return pd.Series(store.matrix.column(store.steps[0]), dtype=np.float64)
    return store.evaluate(name)


def _covariate(name: str, values: pd.Series, rows: np.ndarray, bins: int) -> Covariate:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        codes = pd.factorize(values.astype(object), use_na_sentinel=False)[0]
        return Covariate(name, codes.astype(np.float64), False, codes.astype(np.int64))
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    return Covariate(name, numbers, True, _binned(numbers, rows, bins))


def _binned(values: np.ndarray, rows: np.ndarray, bins: int) -> np.ndarray:
    """Bins of equal values, or of quantiles of the group's; missing values have their own bin."""
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


@dataclass(frozen=True)
class Strata:
    """Matched tokens and controls in n strata, numbered from 0; each holds some of both."""

    n: int
    rows: np.ndarray
    """Rows of the group's matched tokens, int64 (tokens,)."""
    of_row: np.ndarray
    """Their strata."""
    controls: np.ndarray
    """Rows of the controls, int64 (controls,)."""
    of_control: np.ndarray
    """Their strata."""

    @property
    def shares(self) -> np.ndarray:
        """Share of the group's tokens in each stratum, float64 (n,); they sum to 1."""
        shares: np.ndarray = np.bincount(self.of_row, minlength=self.n) / len(self.of_row)
        return shares

    @property
    def weights(self) -> np.ndarray:
        """Weight of each control, float64 (controls,); they sum to 1."""
        counts = np.bincount(self.of_control, minlength=self.n)
        weights: np.ndarray = (self.shares / counts)[self.of_control]
        return weights


def match(covariates: list[Covariate], rows: np.ndarray, others: np.ndarray) -> Strata:
    """The strata of the group's tokens `rows` and possible controls `others`, int64."""
    code = np.zeros(len(covariates[0].bin), dtype=np.int64)
    usable = np.ones(len(code), dtype=bool)
    for covariate in covariates:
        bins = covariate.bin
        _, code = np.unique(code * (bins.max() + 2) + bins + 1, return_inverse=True)
        usable &= bins >= 0
    rows, others = rows[usable[rows]], others[usable[others]]
    both = np.intersect1d(code[rows], code[others])
    rows, others = rows[np.isin(code[rows], both)], others[np.isin(code[others], both)]
    place = (np.searchsorted(both, code[rows]), np.searchsorted(both, code[others]))
    return Strata(len(both), rows, place[0], others, place[1])


def matched_bands(summation: Summation, strata: Strata) -> tuple[Band, Band]:
    """The difference between group and controls, and the control curve, with their bands."""
    source, n_sources, n = summation.source_of_row, summation.n_sources, len(strata.rows)
    group = summation.group(strata.rows)
    sums = summation.by_slot(strata.controls, strata.of_control, strata.n)
    means = sums / np.bincount(strata.of_control, minlength=strata.n)[:, None]
    control = strata.shares @ means
    weights, share = strata.weights, group.counts[:, None] / n
    weighted = summation.by_slot(strata.controls, source[strata.controls], n_sources, weights)
    # By source: what its tokens, and what its controls, would sum to at the controls' means.
    in_rows = _by(source[strata.rows], strata.of_row, np.full(n, 1 / n), n_sources, strata.n)
    expected = in_rows @ means
    of_controls = _by(source[strata.controls], strata.of_control, weights, n_sources, strata.n)
    own = weighted - of_controls @ means
    difference = group.mean - control
    counts = np.bincount(source[strata.controls], weights, n_sources)
    one = Side.weighted(difference, group.sums / n - expected - share * difference, share[:, 0], n)
    two = Side.weighted(np.zeros_like(control), own, counts, effective(weights))
    composition = Side.weighted(control, expected - share * control, share[:, 0], n)
    return two_sided(one, two), two_sided(composition, replace(two, left_out=-two.left_out))


def _by(
    row: np.ndarray, column: np.ndarray, values: np.ndarray, n_rows: int, n_columns: int
) -> sparse.csr_array:
    return sparse.csr_array((values, (row, column)), shape=(n_rows, n_columns))


def _control_frame(
    control: Band, steps: np.ndarray, strata: Strata, source: np.ndarray
) -> pd.DataFrame:
    frame = control.frame(steps, "mean_loss")
    frame.insert(4, "n_tokens", len(strata.controls))
    frame.insert(5, "n_docs", len(np.unique(source[strata.controls])))
    return frame


def balance(
    covariates: list[Covariate],
    rows: np.ndarray,
    others: np.ndarray,
    matched: np.ndarray,
    controls: np.ndarray,
    weights: np.ndarray,
) -> pd.DataFrame:
    """One row per covariate: feature, measure, before, after, and the means if it is a number.

    The measure of a number is the standardized difference: the difference of the means of group and
    controls over the group's standard deviation (Stuart 2010, Statistical Science 25:1; an absolute
    value below 0.1 usually counts as balanced), before matching of `group_mean` and `rest_mean`,
    after it of `matched_mean` and `control_mean`. That of texts and booleans is the total variation
    distance of the two distributions, 0 to 1. `weights` float64 (controls,) sum to 1.
    """
    lines = []
    for covariate in covariates:
        one, two = covariate.values[rows], covariate.values[others]
        three, four = covariate.values[matched], covariate.values[controls]
        name = covariate.name
        if covariate.is_number:
            lines.append(_numbers(name, (one, two, three, four), weights))
            continue
        even = [np.full(len(v), 1 / len(v)) for v in (one, two, three)]
        before, after = _distance(one, two, *even[:2]), _distance(three, four, even[2], weights)
        lines.append({"feature": name, "measure": "distance", "before": before, "after": after})
    means = ["group_mean", "rest_mean", "matched_mean", "control_mean"]
    return pd.DataFrame(lines, columns=["feature", "measure", "before", "after", *means])


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
    """Total variation distance of the codes `one` and `two`, weighted by `a` and `b`."""
    n = int(max(one.max(), two.max())) + 1
    shares = np.bincount(one.astype(int), a, n) - np.bincount(two.astype(int), b, n)
    return float(np.abs(shares).sum() / 2)

"""Matched comparison: a group compared with other tokens that match it in some covariates.

Coarsened exact matching (Iacus, King and Porro 2012, Political Analysis 20:1): covariates are cut
into bins, tokens with the same bins in all of them form a stratum, and in each stratum the control
tokens get the same total weight as the group's tokens. Group tokens in a stratum without enough
controls are left out. What differs within strata is removed by regression (`stats.matching`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd

from queries.analyses.base import Chart, Group, Tables, WithScript, python_script
from queries.engine.matrix import BLOCK, LossMatrix
from queries.engine.sums import GroupSums, Summation
from queries.errors import GroupError, QueryError
from queries.stats.acquisition import averages
from queries.stats.bands import Band, difference_band, mean_band
from queries.stats.matching import (
    FEWEST_CONTROLS,
    ControlSums,
    Strata,
    adjusted_weights,
    binned,
    matched_bands,
    quarters,
    stratified,
    true_scores,
)
from queries.stats.power import detectable
from queries.store import Store

INITIAL_LOSS = "initial_loss"
DEFAULT = (INITIAL_LOSS, "corpus_count", "position")
NO_CONTROLS = f"cannot tell: no token of the group has {FEWEST_CONTROLS} controls there"
LEARNING = f"cannot tell: {INITIAL_LOSS} is measured there, while losses still change"


@dataclass(frozen=True)
class Matched(WithScript):
    """A group and its matched controls."""

    trajectories: pd.DataFrame
    """As `Store.trajectories`. Token groups: group, matched_group (its tokens that have controls),
    control (reweighted), rest (all others)."""
    difference: pd.DataFrame
    """checkpoint, difference, low, high, n_docs_effective, verdict: matched_group minus control;
    detectable: the smallest true difference that the band would usually detect; before, before_low,
    before_high: group minus rest (nats)."""
    balance: pd.DataFrame
    """How similar group and controls are in each covariate, before and after; see `balance`."""
    n_unmatched: int
    """Tokens of the group that have no controls at the last checkpoint."""
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

    Covariates are SQL expressions over `tokens`, or initial_loss, a token's level of loss over the
    first third of the checkpoints (at least 12). Texts, booleans and numbers with at most `bins`
    values in the group are matched exactly; other numbers by that many quantiles of the group's,
    and a token outside their range is no control. A stratum needs at least 5 controls.

    A loss is never matched on the value that is compared, whose noise would be gone at the next
    checkpoint (regression to the mean). So checkpoints after the first third are compared by
    matches on its first three quarters, with scores drawn towards the mean of their side by their
    reliability (`stats.matching` has the sources). The first third itself is compared only if mean
    losses are steady there, each quarter by matches on others; in a run from scratch they fall, and
    `verdict` says why there is no comparison.

    With strata s, n_s of the group's n matched tokens in each, and the controls' mean loss y_s, the
    control curve is sum n_s y_s / n, plus the regression within strata on the numeric covariates.
    Bands are those of `queries.stats.bands`, by source document: the influence of a group token of
    stratum s on the difference D is (loss - y_s - D) / n, that of a control is minus its weight
    times (loss - y_s).

    Matching removes what the covariates explain. What remains includes covariates that were not
    named. Matching on a consequence of belonging to the group removes part of its effect. Raises
    GroupError, and QueryError if no token of the group has controls, or for initial_loss in a store
    with fewer than 4 checkpoints.
    """
    rows = store.nonempty_members(group)
    others = np.setdiff1d(store.nonempty_members(among), rows, assume_unique=True)
    if not len(others):
        raise GroupError(f"`{group}` leaves no other token of `{among}` to compare with")
    parts = read_parts(store, on, rows, others, bins)
    if not any(part.strata.n for part in parts):
        raise QueryError(
            f"no token of `{group}` has {FEWEST_CONTROLS} controls with the same {', '.join(on)}: "
            "match on fewer covariates, or use fewer bins"
        )
    trajectories, difference = _curves(store, rows, others, parts)
    last = [part for part in parts if part.strata.n][-1]
    similar = balance(last.covariates, rows, others, last.strata)
    code = python_script(store, matched, group=group, on=tuple(on), among=among, bins=bins)
    unmatched = len(rows) - len(last.strata.rows)
    return Matched(trajectories, difference, similar, unmatched, code=code)


@dataclass(frozen=True)
class Covariate:
    """One covariate of all tokens."""

    name: str
    values: np.ndarray
    """float64 (tokens,), NaN if missing; codes from 0 if it is not a number."""
    is_number: bool
    bin: np.ndarray
    """int64 (tokens,); -1 outside the group's range."""


@dataclass(frozen=True)
class Part:
    """Checkpoints that are compared by the same matches."""

    columns: np.ndarray
    """int64 (n,), next to each other."""
    covariates: list[Covariate]
    strata: Strata

    @classmethod
    def of(
        cls, columns: np.ndarray, covariates: list[Covariate], rows: np.ndarray, others: np.ndarray
    ) -> "Part":
        """Match the group's `rows` with controls among `others`."""
        return cls(columns, covariates, stratified([c.bin for c in covariates], rows, others))

    @cached_property
    def weights(self) -> np.ndarray:
        """Of the controls, float64 (controls,)."""
        numbers = [covariate.values for covariate in self.covariates if covariate.is_number]
        if not numbers:
            return self.strata.weights
        return adjusted_weights(self.strata, np.stack(numbers, axis=1))


def read_parts(
    store: Store, names: Sequence[str], rows: np.ndarray, others: np.ndarray, bins: int
) -> list[Part]:
    """Evaluate and bin covariates, and match; `rows` are the group's. One part unless a loss is
    among the covariates. Raises GroupError, QueryError."""
    if not names:
        raise GroupError("no covariate was named to match on: name one, such as corpus_count")
    if bins < 1:
        raise QueryError(f"got {bins} bins: expected at least 1")
    fixed = {
        name: _covariate(name, store.evaluate(name), rows, bins)
        for name in names
        if name != INITIAL_LOSS
    }
    if INITIAL_LOSS not in names:
        return [Part.of(np.arange(len(store.steps)), list(fixed.values()), rows, others)]
    parts = []
    for columns, values in initial_losses(store.matrix, rows, others):
        initial = Covariate(INITIAL_LOSS, values, True, binned(values, rows, bins))
        covariates = [fixed.get(name, initial) for name in dict.fromkeys(names)]
        parts.append(Part.of(columns, covariates, rows, others))
    return parts


def initial_losses(
    matrix: LossMatrix, rows: np.ndarray, others: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Columns, and each token's level of loss to match on there (float64, NaN in neither group).

    Raises QueryError for fewer than 4 checkpoints.
    """
    n = len(matrix.checkpoints)
    try:
        parts = quarters(n)
    except QueryError as error:
        raise QueryError(f"{INITIAL_LOSS}: {error}; match on other covariates") from None
    weights = np.zeros((n, len(parts)))
    for at, part in enumerate(parts):
        weights[part, at] = 1 / len(part)
    both = np.concatenate([rows, others])
    means = averages(matrix, both, weights).astype(np.float64)
    found = []
    for scores in true_scores(means, np.arange(len(both)) < len(rows), n):
        values = np.full(matrix.n_tokens, np.nan)
        values[both] = scores.values
        found.append((scores.columns, values))
    return found


def _covariate(name: str, values: pd.Series, rows: np.ndarray, bins: int) -> Covariate:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        codes = pd.factorize(values.astype(object), use_na_sentinel=False)[0]
        return Covariate(name, codes.astype(np.float64), False, codes.astype(np.int64))
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    return Covariate(name, numbers, True, binned(numbers, rows, bins))


def _curves(
    store: Store, rows: np.ndarray, others: np.ndarray, parts: list[Part]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`Matched.trajectories` and `Matched.difference`."""
    summation, steps = Summation(store.matrix, store.source_of_row), np.array(store.steps)
    curves = [part_curves(summation, part) for part in parts if part.strata.n]
    compared = steps[np.concatenate([part.columns for part in parts])]
    own, control, difference = (
        _at_all_steps(pd.concat(frames), steps, compared) for frames in zip(*curves, strict=True)
    )
    before = difference_band(*summation.pair(rows, others))
    raw = {"before": before.estimate, "before_low": before.low, "before_high": before.high}
    frames = {
        "group": store.trajectory(rows),
        "matched_group": own,
        "control": control,
        "rest": store.trajectory(others),
    }
    for name, frame in frames.items():
        frame.insert(1, "token_group", name)
    return pd.concat(frames.values(), ignore_index=True), difference.assign(**raw)


def _at_all_steps(frame: pd.DataFrame, steps: np.ndarray, compared: np.ndarray) -> pd.DataFrame:
    """The frame with a row for each step; those that could not be compared have only a verdict."""
    whole = frame.set_index("checkpoint").reindex(steps)
    counts = [name for name in ("n_tokens", "n_docs") if name in whole]
    whole[counts] = whole[counts].fillna(0).astype(np.int64)
    whole["verdict"] = whole["verdict"].fillna(
        pd.Series(np.where(np.isin(steps, compared), NO_CONTROLS, LEARNING), steps)
    )
    return whole.reset_index(names="checkpoint")


def part_curves(summation: Summation, part: Part) -> tuple[pd.DataFrame, ...]:
    """The matched group, its controls, and their difference, at the part's checkpoints: frames."""
    strata, source = part.strata, summation.source_of_row
    near, columns = _near(summation, part.columns)
    steps = near.matrix.checkpoints[columns]
    group = near.group(strata.rows)
    group = GroupSums(group.counts, group.sums[:, columns])
    sums = ControlSums(
        near.by_slot(strata.controls, strata.of_control, strata.n)[:, columns],
        near.by_slot(strata.controls, source[strata.controls], near.n_sources, part.weights)[
            :, columns
        ],
    )
    difference, control = matched_bands(strata, part.weights, source, group, sums)
    smallest = detectable(difference.standard_error, difference.degrees)
    return (
        _means(mean_band(group), steps, group.n_tokens, group.n_docs),
        _means(control, steps, len(strata.controls), len(np.unique(source[strata.controls]))),
        difference.frame(steps, "difference").assign(detectable=smallest),
    )


def _near(summation: Summation, columns: np.ndarray) -> tuple[Summation, slice]:
    """Sums over the blocks of the matrix that hold the columns, and where these are in them."""
    matrix, first, last = summation.matrix, columns[0] // BLOCK, columns[-1] // BLOCK
    start, end = first * BLOCK, (last + 1) * BLOCK
    blocks = LossMatrix(matrix.checkpoints[start:end], matrix.blocks[first : last + 1])
    return Summation(blocks, summation.source_of_row), slice(
        columns[0] - start, columns[-1] - start + 1
    )


def _means(band: Band, steps: np.ndarray, n_tokens: int, n_docs: int) -> pd.DataFrame:
    """As `Store.trajectory`."""
    frame = band.frame(steps, "mean_loss")
    frame.insert(4, "n_tokens", n_tokens)
    frame.insert(5, "n_docs", n_docs)
    return frame


def balance(
    covariates: list[Covariate], rows: np.ndarray, others: np.ndarray, strata: Strata
) -> pd.DataFrame:
    """One row per covariate: covariate, measure, before, after, and the means if it is a number.

    The measure of a number is the standardized difference: the difference of the means of group and
    controls over the group's standard deviation (Stuart 2010, Statistical Science 25:1; an absolute
    value below 0.1 usually counts as balanced), before matching of `group_mean` and `rest_mean`,
    after it of `matched_mean` and `control_mean`. That of texts and booleans is the total variation
    distance of the two distributions, 0 to 1. What is left of numbers after matching, the
    regression within strata removes. That of initial_loss is for the last checkpoints.
    """
    lines, weights = [], strata.weights
    for covariate in covariates:
        one, two = covariate.values[rows], covariate.values[others]
        three, four = covariate.values[strata.rows], covariate.values[strata.controls]
        name = covariate.name
        if covariate.is_number:
            lines.append(_numbers(name, (one, two, three, four), weights))
            continue
        even = [np.full(len(v), 1 / len(v)) for v in (one, two, three)]
        before, after = _distance(one, two, *even[:2]), _distance(three, four, even[2], weights)
        lines.append({"covariate": name, "measure": "distance", "before": before, "after": after})
    means = ["group_mean", "rest_mean", "matched_mean", "control_mean"]
    return pd.DataFrame(lines, columns=["covariate", "measure", "before", "after", *means])


def _numbers(name: str, values: tuple[np.ndarray, ...], weights: np.ndarray) -> dict[str, object]:
    one, two, three, four = values
    known = ~np.isnan(four)
    control = float(np.average(four[known], weights=weights[known])) if known.any() else np.nan
    means = [float(np.nanmean(v)) if not np.isnan(v).all() else np.nan for v in (one, two, three)]
    deviation = float(np.nanstd(one)) or np.nan
    return {
        "covariate": name,
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

"""Matching on a loss: never by the value that is compared, and balanced within strata."""

import numpy as np
import pytest

from queries import QueryError
from queries.stats.matching import (
    FEWEST_CONTROLS,
    Scores,
    adjusted_weights,
    binned,
    quarters,
    stratified,
    true_scores,
    window,
)

COLUMNS = 24
"""Checkpoints; the window is the first 12."""


def scored(losses: np.ndarray, in_group: np.ndarray) -> list[Scores]:
    n = losses.shape[1]
    means = np.stack([losses[:, part].mean(axis=1) for part in quarters(n)], axis=1)
    return true_scores(means, in_group, n)


def noisy(n: int = 3_000, columns: int = COLUMNS, sd: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    in_group = rng.random(n) < 0.3
    level = rng.normal(0, 1, n) + in_group
    return level[:, None] + sd * rng.normal(0, 1, (n, columns)), in_group


def test_no_checkpoint_is_compared_by_itself_or_its_neighbours():
    losses, in_group = noisy()
    scores = scored(losses, in_group)
    assert sorted(np.concatenate([s.columns for s in scores])) == list(range(COLUMNS))
    bump = np.where(in_group, 1, -1) * np.random.default_rng(1).normal(0, 5, len(losses))
    for changed in range(COLUMNS):
        other = losses.copy()
        other[:, changed] += bump - bump.mean()
        for one, two in zip(scores, scored(other, in_group), strict=True):
            if changed in one.columns or np.abs(one.columns - changed).min() <= 2:
                order = np.corrcoef(one.values[in_group], two.values[in_group])[0, 1]
                assert order == pytest.approx(1)


def test_while_losses_change_only_later_checkpoints_are_compared():
    losses, in_group = noisy()
    losses -= np.linspace(0, 3, COLUMNS)
    columns = [list(scores.columns) for scores in scored(losses, in_group)]
    assert columns == [list(range(12, COLUMNS))]


def test_reliability_is_the_share_of_variance_that_is_no_noise():
    losses, in_group = noisy()
    last = scored(losses, in_group)[-1]
    assert list(last.columns) == list(range(12, COLUMNS))
    expected = 1 / (1 + 1 / 9)  # nine columns of noise with variance 1
    assert last.reliability == pytest.approx((expected, expected), abs=0.02)
    exact = scored(*noisy(sd=0.0))
    assert all(s.reliability == pytest.approx((1, 1)) for s in exact)


def test_scores_are_drawn_to_the_mean_of_their_own_side():
    losses, in_group = noisy(sd=2.0)
    scores = scored(losses, in_group)[0]
    raw = np.mean([losses[:, 6:9].mean(axis=1), losses[:, 9:12].mean(axis=1)], axis=0)
    for side, reliability in zip((in_group, ~in_group), scores.reliability, strict=True):
        mean = raw[side].mean()
        np.testing.assert_allclose(scores.values[side], mean + reliability * (raw[side] - mean))


def test_few_checkpoints_are_refused():
    with pytest.raises(QueryError, match="3 checkpoints are too few"):
        quarters(3)
    assert [window(n) for n in (3, 4, 8, 20, 24, 101)] == [3, 4, 4, 10, 12, 33]


def test_adjusted_weights_balance_what_was_matched():
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, (5_000, 2))
    rows = np.flatnonzero(rng.random(5_000) < 1 / (1 + np.exp(1 - x[:, 0])))
    others = np.setdiff1d(np.arange(5_000), rows)
    strata = stratified([binned(x[:, 0], rows, 4), binned(x[:, 1], rows, 4)], rows, others)
    weights = adjusted_weights(strata, x)
    assert weights.sum() == pytest.approx(1)
    means = x[strata.rows].mean(axis=0)
    assert abs(strata.weights @ x[strata.controls] - means).max() > 0.005
    np.testing.assert_allclose(weights @ x[strata.controls], means)


def test_strata_hold_enough_controls():
    bins = np.repeat([0, 1, 2, -1], [10, 10, 10, 5])
    rows, others = np.r_[0:5, 10:18, 20:25], np.r_[5:10, 18:20, 25:35]
    strata = stratified([bins], rows, others)
    assert strata.n == 2
    assert np.bincount(strata.of_control).min() >= FEWEST_CONTROLS
    assert set(strata.rows) == {*range(5), *range(20, 25)}
    assert strata.shares.sum() == pytest.approx(1) and strata.weights.sum() == pytest.approx(1)


def test_bins_are_the_groups_values_or_quantiles():
    values = np.array([1.0, 2.0, 3.0, 9.0, np.nan, 2.0])
    assert binned(values, np.array([0, 1, 2]), 5).tolist() == [0, 1, 2, -1, 6, 1]
    many = np.arange(100.0)
    assert np.bincount(binned(many, np.arange(100), 4)).tolist() == [25, 25, 25, 25]

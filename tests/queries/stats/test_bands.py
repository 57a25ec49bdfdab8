"""Bands of means, differences and ratios: against leaving documents out, and textbook formulas."""

import numpy as np
import pytest
from scipy import stats

from queries.engine.sums import GroupSums
from queries.stats.bands import (
    change_band,
    difference_band,
    effective,
    mean_band,
    ratio_band,
    t_quantile,
)


def group(counts: list[int], seed: int = 0) -> GroupSums:
    rng = np.random.default_rng(seed)
    n = np.array(counts)
    return GroupSums(n, n[:, None] * rng.normal(3, 1, (len(n), 3)))


def without(sums: GroupSums, source: int) -> GroupSums:
    return GroupSums(np.delete(sums.counts, source), np.delete(sums.sums, source, axis=0))


UNEQUAL = [3, 40, 7, 12, 9, 1, 22, 15]
OTHER = [30, 4, 9, 0, 12, 8, 3, 17]


def test_equal_documents_give_the_t_interval_of_their_means():
    sums = group([8] * 5)
    means = sums.sums / 8
    low, high = stats.t.interval(0.95, 4, means.mean(axis=0), stats.sem(means))
    band = mean_band(sums)
    np.testing.assert_allclose([band.low, band.high], [low, high])
    assert band.n_docs_effective == pytest.approx(5) and band.verdict == ""
    plain = mean_band(sums, "cr1")
    np.testing.assert_allclose(plain.high, high)


def test_the_standard_error_is_that_of_leaving_out_each_document():
    one, two = group(UNEQUAL), group(OTHER, 1)
    n = len(UNEQUAL)
    left = [(without(one, i).mean, without(two, i).mean) for i in range(n)]
    cases = {
        "mean": (mean_band(one), [a - one.mean for a, _ in left]),
        "difference": (
            difference_band(one, two),
            [(a - b) - (one.mean - two.mean) for a, b in left],
        ),
        "change": (
            change_band(one, 0),
            [(a - a[0]) - (one.mean - one.mean[0]) for a, _ in left],
        ),
    }
    for band, gone in cases.values():
        np.testing.assert_allclose(
            band.standard_error, np.sqrt((n - 1) / n * (np.array(gone) ** 2).sum(axis=0))
        )


def test_degrees_of_freedom_are_effective_documents_less_one():
    counts = np.array(UNEQUAL)
    expected = counts.sum() ** 2 / (counts**2).sum()
    band = mean_band(group(UNEQUAL))
    assert band.n_docs_effective == pytest.approx(expected)
    np.testing.assert_allclose(band.degrees, expected - 1)
    np.testing.assert_allclose(
        band.high - band.estimate, band.standard_error * t_quantile(expected - 1)
    )


def test_degrees_of_a_difference_of_separate_documents_are_those_of_welch():
    one, two = GroupSums(np.zeros(16, int), np.zeros((16, 3))), group([5] * 16, 1)
    one = GroupSums(np.repeat([5, 0], 8), np.vstack([group([5] * 8).sums, np.zeros((8, 3))]))
    two = GroupSums(np.repeat([0, 5], 8), two.sums * np.repeat([0, 1], 8)[:, None])
    band = difference_band(one, two)
    for column in range(3):
        test = stats.ttest_ind(one.sums[:8, column] / 5, two.sums[8:, column] / 5, equal_var=False)
        assert band.degrees[column] == pytest.approx(min(test.df, 15), rel=1e-6)


def test_the_quantile_is_that_of_t_at_a_tenth_of_a_degree():
    assert t_quantile(4.09) == pytest.approx(stats.t.ppf(0.975, 4.0))
    assert t_quantile(7.3) == pytest.approx(stats.t.ppf(0.975, 7.3))
    assert t_quantile(1e6) == pytest.approx(stats.t.ppf(0.975, 1000))


def test_few_effective_documents_give_a_reason_instead_of_a_band():
    band = mean_band(group([500, 3, 3, 3, 3, 3, 3]))
    assert np.isnan(band.low).all() and np.isnan(band.standard_error).all()
    assert np.isfinite(band.estimate).all()
    assert band.verdict.startswith("cannot tell: 1.1 effective source documents")
    frame = band.frame(np.arange(3), "mean_loss")
    assert list(frame) == [
        "checkpoint", "mean_loss", "low", "high", "n_docs_effective", "verdict",
    ]  # fmt: skip
    assert np.isfinite(mean_band(group([500, 3, 3, 3, 3, 3, 3]), "cr1").low).all()
    assert np.isnan(mean_band(group([5, 0, 0]), "cr1").low).all()
    assert difference_band(group([5] * 9), group([9, 9, 9] + [0] * 6)).verdict


def test_a_group_differs_from_itself_by_exactly_nothing():
    one = group(UNEQUAL)
    band = difference_band(one, one)
    assert (band.low == 0).all() and (band.high == 0).all()
    ratio = ratio_band(one, one)
    np.testing.assert_allclose([ratio.low, ratio.high], 1)


def test_a_ratio_is_a_difference_of_logarithms_to_first_order():
    one, two = group(UNEQUAL), group(OTHER, 1)
    band = ratio_band(one, two)
    np.testing.assert_allclose(band.estimate, one.mean / two.mean)
    scaled = GroupSums(two.counts, two.sums * band.estimate)
    difference = difference_band(one, scaled)
    np.testing.assert_allclose(band.high - band.estimate, difference.high / two.mean, rtol=1e-6)


def test_effective_numbers():
    assert effective(np.array([2, 2, 2, 0])) == pytest.approx(3)
    assert effective(np.array([1.0, 0.0])) == pytest.approx(1)

"""Placebo pairs: where they lie, and how their ranks become p-values."""

import numpy as np
import pytest

from queries.stats.placebo import MOST, compared, placebo_pairs, placebo_regions

STEPS = np.arange(0, 1_000, 10)


def test_pairs_keep_widths_and_gap_and_share_no_checkpoint():
    first, second = (40, 45), (47, 55)
    pairs = placebo_pairs(STEPS, first, second)
    taken = {*range(40, 46), *range(47, 56)}
    for one, two in pairs:
        assert one[1] - one[0] == 5 and two[1] - two[0] == 8 and two[0] - one[1] == 2
        assert not taken.intersection([*range(one[0], one[1] + 1), *range(two[0], two[1] + 1)])
    starts = [one[0] for one, _ in pairs]
    assert starts == [*range(0, 25), *range(56, 85)]


def test_pairs_span_about_as_many_steps():
    steps = np.concatenate([np.arange(0, 100, 2), np.arange(100, 1_000, 10)])
    pairs = placebo_pairs(steps, (80, 84), (86, 90))
    assert pairs and min(one[0] for one, _ in pairs) >= 44
    assert placebo_pairs(2 ** np.arange(20), (10, 12), (13, 15)) == []


def test_of_many_pairs_the_nearest_are_taken():
    pairs = placebo_pairs(np.arange(0, 5_000, 10), (240, 245), (247, 255))
    starts = [one[0] for one, _ in pairs]
    assert len(starts) == MOST and starts == sorted(starts)
    assert max(240 - starts[0], starts[-1] - 240) < 70


def test_other_regions_share_no_checkpoint_and_the_nearest_come_first():
    steps = np.arange(0, 200, 10)
    found = placebo_regions(steps, (100, 120), (60, 90))
    assert found == [(130, 150), (160, 180), (30, 50), (0, 20)]
    assert placebo_regions(steps, (0, 100), (0, 10)) == []
    assert len(placebo_regions(np.arange(500), (100, 102), (110, 112))) == 20


def test_the_order_of_regions_does_not_matter():
    forth = placebo_pairs(STEPS, (40, 45), (47, 55))
    back = placebo_pairs(STEPS, (47, 55), (40, 45))
    assert [pair[::-1] for pair in back] == forth


def test_a_p_value_is_the_rank_among_placebos():
    placebos = np.arange(19)[:, None] % 7
    assert compared(np.array([10]), placebos).p_value[0] == pytest.approx(1 / 20)
    assert compared(np.array([0]), placebos).p_value[0] == 1
    with_ties = compared(np.array([6]), placebos)
    assert with_ties.p_value[0] == pytest.approx((1 + (placebos == 6).sum()) / 20)
    assert with_ties.n == 19 and with_ties.mean[0] == pytest.approx(placebos.mean())


def test_lines_are_adjusted_for_each_other():
    rng = np.random.default_rng(0)
    placebos = rng.poisson(3, (99, 4))
    alone = compared(np.array([7]), placebos[:, :1]).p_value[0]
    together = compared(np.array([7, 3, 3, 3]), placebos).p_value
    assert alone < together[0] < 5 * alone
    assert (together[1:] > together[0]).all()


def test_fewer_than_ten_placebos_give_no_p_value():
    found = compared(np.array([50, 0]), np.zeros((9, 2), int))
    assert np.isnan(found.p_value).all() and found.n == 9
    assert found.verdict == "cannot tell: 9 placebo pairs, at least 10 are needed"
    assert np.isnan(compared(np.array([1]), np.zeros((0, 1), int)).mean).all()


def test_the_needed_count_is_the_smallest_with_a_small_p():
    placebos = np.random.default_rng(0).poisson(3, (40, 4))
    observed = np.array([3, 2, 4, 3])
    needed = compared(observed, placebos).needed
    for line, least in enumerate(needed.astype(int)):
        for count, small in ((least, True), (least - 1, False)):
            tried = observed.copy()
            tried[line] = count
            assert (compared(tried, placebos).p_value[line] < 0.05) == small
    assert np.isnan(compared(observed, placebos[:19]).needed).all()
    assert np.isfinite(compared(observed, placebos[:20]).needed).all()

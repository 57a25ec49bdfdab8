"""Planted leads and lags are found, their intervals hold them, and nonsense is told."""

import numpy as np
import pytest

from queries import QueryError
from queries.stats.lags import half_way, lag

STEPS = np.unique(np.concatenate([[0, 1, 2, 4, 8, 16, 32, 64], np.logspace(2, 3.5, 80)]).round())
STEPS = STEPS.astype(np.int64)
PLACE = np.log10(1.0 + STEPS)
GRID = float(np.median(np.diff(PLACE)))


def rise(centre: float, width: float = 0.05) -> np.ndarray:
    """From 0 to 1, half-way at `centre` in log10(1 + step)."""
    return 1 / (1 + np.exp(-(PLACE - centre) / width))


def test_half_way_is_where_the_curve_is_half_way_up_or_down():
    curves = np.stack([rise(2.6), 3 - 2 * rise(2.6), rise(2.8)])
    np.testing.assert_allclose(half_way(PLACE, curves), [2.6, 2.6, 2.8], atol=1e-3)
    line = np.array([0.0, 1.0, 3.0, 4.0])
    assert half_way(np.array([0.0, 1.0, 2.0, 3.0]), line) == pytest.approx(1.5)
    assert half_way(np.array([0.0, 1.0, 2.0]), np.array([1.0, 5.0, 2.0])) == pytest.approx(0.5)
    assert np.isnan(half_way(PLACE, np.full(len(PLACE), 2.0)))


@pytest.mark.parametrize("planted", [0, 0.05, 0.15, -0.1])
@pytest.mark.parametrize("falls", [False, True])
def test_a_lag_between_clean_curves_is_exact(planted, falls):
    two = rise(2.6 + planted)
    found = lag(STEPS, rise(2.6), 3 - two if falls else two)
    assert found.lead == pytest.approx(planted, abs=0.003)
    assert found.lag == pytest.approx(planted, abs=GRID)
    assert np.log10(1 + found.half_way_one) == pytest.approx(2.6, abs=0.003)
    assert found.correlation > 0.95


@pytest.mark.parametrize(
    ("planted", "noise"), [(0, 0.01), (0.15, 0.05), (-0.1, 0.01), (0.05, 0.03)]
)
def test_intervals_hold_the_planted_lag_about_as_often_as_they_say(planted, noise):
    rng = np.random.default_rng(7)
    runs, held_lead, held_lag, widths = 60, 0, 0, []
    for seed in range(runs):
        one = rise(2.6) + rng.normal(0, noise, len(STEPS))
        two = 3 - rise(2.6 + planted) + rng.normal(0, noise, len(STEPS))
        found = lag(STEPS, one, two, seed)
        held_lead += found.lead_low <= planted <= found.lead_high
        held_lag += found.lag_low - GRID <= planted <= found.lag_high + GRID
        widths.append(found.lead_high - found.lead_low)
    # 95 % of 60 are 57; fewer than 51 come with a probability of 0.0002.
    assert held_lead >= 51
    assert held_lag >= 51
    assert np.mean(widths) < 20 * noise * 0.05  # and they do tell something


def test_noise_that_both_curves_share_does_not_hide_a_lag():
    rng = np.random.default_rng(3)
    common = rng.normal(0, 0.02, len(STEPS))
    found = lag(STEPS, rise(2.6) + common, 3 - rise(2.75) + common)
    assert found.lead == pytest.approx(0.15, abs=0.03)
    assert found.lag == pytest.approx(0.15, abs=0.06)
    assert found.lead_low > 0


def test_the_same_seed_gives_the_same_interval():
    noisy = rise(2.6) + np.random.default_rng(1).normal(0, 0.02, len(STEPS))
    assert lag(STEPS, noisy, rise(2.7)) == lag(STEPS, noisy, rise(2.7))


def test_a_curve_that_never_moves_has_no_lag():
    found = lag(STEPS, np.full(len(STEPS), 0.5), rise(2.6))
    assert np.isnan([found.lead, found.lead_low, found.lag, found.lag_low]).all()


def test_too_few_checkpoints_get_a_sentence():
    with pytest.raises(QueryError, match=r"19 checkpoints .* expected at least 20"):
        lag(STEPS[:19], rise(2.6)[:19], rise(2.6)[:19])

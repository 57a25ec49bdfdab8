"""Planted leads are found, their intervals hold them, and curves that do not move have none."""

import numpy as np
import pandas as pd
import pytest

from queries.errors import QueryError
from queries.stats.time_series.autoregression import autoregression
from queries.stats.time_series.leads import lead, moved
from queries.stats.time_series.logistic_steps import fit_step
from tests.calibrate.curves import logistic, window_steps
from tests.calibrate.lead_trials import LeadDesign
from tests.calibrate.time_series import calibrate

STEPS = window_steps()
PLACE = np.log10(1.0 + STEPS)


def noise(seed: int, scale: float = 0.02) -> np.ndarray:
    return scale * np.random.default_rng(seed).normal(0, 1, len(STEPS))


def fall(centre: float, width: float = 0.02) -> np.ndarray:
    return 3 - 0.7 * logistic(PLACE, centre, width)


def rates(design: LeadDesign, n_trials: int, seed: int) -> pd.DataFrame:
    """A reduced calibration, by measure."""
    return calibrate([design], n_trials, seed).set_index("measure")


@pytest.mark.parametrize("kind", ["white", "AR 0.6"])
def test_a_planted_lead_is_found_and_in_its_interval(kind):
    found = rates(LeadDesign("steps", kind, 0.1), 12, seed=100)
    assert found.loc["false claims", "power"] >= 0.6
    assert found.loc["false claims", "rate"] == 0
    assert found.loc["coverage", "rate"] >= 0.7


@pytest.mark.parametrize("shapes", ["same", "widths", "sizes", "noises"])
def test_curves_that_move_together_have_no_lead(shapes):
    found = rates(LeadDesign("steps", "AR 0.6", shapes=shapes), 12, seed=200)
    # At 5% more than 3 of 12 have a probability of 0.002.
    assert found.loc["false claims", "rate"] <= 3 / 12


@pytest.mark.parametrize("kind", ["white", "AR 0.9", "random walk", "t3"])
def test_noise_has_no_lead_over_a_curve_that_moves(kind):
    found = rates(LeadDesign("first noise", kind), 8, seed=300)
    assert found.loc["false claims", "rate"] <= 1 / 8


def test_the_order_of_the_curves_and_their_direction_only_turn_the_answer():
    one, two = fall(3.15) + noise(0), fall(3.25) + noise(1)
    there, back = lead(STEPS, one, two), lead(STEPS, 6 - two, one)
    assert there.verdict == "first leads" and back.verdict == "second leads"
    assert there.lead == pytest.approx(-back.lead, abs=1e-9)
    assert there.lead == pytest.approx(0.1, abs=0.02)
    assert there.half_way_one == pytest.approx(10**3.15, rel=0.03)
    assert list(there.variants["window"]) == ["whole"] * 3 + ["inner"] * 2


def test_a_lead_that_depends_on_the_baseline_is_not_called():
    """A second curve that falls for long, and most of that before the fall they share."""
    drift = 4 * (3.6 - PLACE)
    found = lead(STEPS, fall(3.2) + noise(2), fall(3.2) + drift + noise(3))
    assert found.verdict.startswith("cannot tell")


def test_a_curve_that_does_not_move_is_named():
    found = lead(STEPS, fall(3.2) + noise(0), noise(1))
    assert found.verdict == "cannot tell: drifting noise could move the second curve as far"
    assert np.isnan([found.lead, found.low, found.high]).all() and found.variants.empty


def test_a_window_must_hold_the_levels_before_and_after():
    late = PLACE < 3.25
    found = lead(STEPS[late], (fall(3.24) + noise(0))[late], (fall(3.22) + noise(1))[late])
    assert found.verdict.startswith("cannot tell")


def test_moving_is_told_from_noise():
    assert moved(STEPS, fall(3.2) + noise(0)) <= 0.05
    assert moved(STEPS, noise(0)) > 0.05


def test_a_step_is_fitted_where_it_is():
    found = fit_step(PLACE, fall(3.2) + 0.3 * PLACE)
    assert (found.centre, found.width) == pytest.approx((3.2, 0.02), abs=0.003)


def test_autoregression_finds_the_coefficient():
    rng = np.random.default_rng(0)
    values = np.zeros(3000)
    for i in range(1, len(values)):
        values[i] = 0.6 * values[i - 1] + rng.normal()
    assert autoregression(values).sum() == pytest.approx(0.6, abs=0.06)


def test_too_few_checkpoints_get_a_sentence():
    found = lead(STEPS[:29], fall(3.2)[:29], fall(3.3)[:29])
    assert found.verdict == "cannot tell: fewer than 30 checkpoints (29)"


def test_values_that_are_not_finite_get_a_sentence():
    with pytest.raises(QueryError, match="not finite"):
        lead(STEPS, fall(3.2), np.where(PLACE > 3.3, np.nan, fall(3.3)))


def test_the_verdict_names_the_curves():
    found = lead(STEPS, fall(3.15) + noise(0), fall(3.25) + noise(1), names=("probe", "group"))
    assert found.verdict == "probe leads"

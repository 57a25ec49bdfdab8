"""Events on simulated trajectories: planted ones are found, noise gives none."""

import numpy as np
import pandas as pd
import pytest

from queries.errors import QueryError
from queries.stats.time_series.events import find_events, p_text, smallest_rise
from tests.calibrate.curves import demo_steps, logistic
from tests.calibrate.event_trials import EventDesign
from tests.calibrate.time_series import calibrate

STEPS = demo_steps()
PLACE = np.log10(1.0 + STEPS)


def noise(seed: int, n: int = len(STEPS), scale: float = 0.008) -> np.ndarray:
    return scale * np.random.default_rng(seed).normal(0, 1, n)


def of_kind(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    return frame[frame["kind"] == kind]


EVENT_FREE = [
    EventDesign(curve, kind, spacing)
    for curve, kind, spacing in (
        ("flat", "white", "demo"),
        ("flat", "AR 0.8", "demo"),
        ("flat", "random walk", "log"),
        ("power law", "t3", "linear"),
        ("power law", "AR 0.95", "demo"),
        ("two power laws", "AR 0.6", "log"),
        ("two power laws", "t3 + AR 0.6", "demo"),
        ("staircase", "white", "demo"),
    )
]


def test_curves_without_events_have_none():
    """A reduced calibration: 80 curves, of which 4 may be called at the promised 5%."""
    rates = calibrate(EVENT_FREE, 10, seed=900)["rate"]
    # At 5% more than 10 of 80 have a probability of 0.002.
    assert rates.mean() <= 10 / 80


@pytest.mark.parametrize("kind", ["white", "AR 0.6"])
def test_a_spike_of_the_demo_s_size_is_found(kind):
    found = calibrate([EventDesign("spike", kind, "demo")], 15, seed=300)
    assert found["power"].item() >= 0.6


def test_the_smallest_rise_parts_spikes_that_are_called_from_those_that_are_not():
    calm = 3 + 0 * PLACE
    smallest = smallest_rise(STEPS, calm + noise(3), 10)
    shape = np.clip((12.5 - np.abs(np.arange(len(STEPS)) - 60)) / 10, 0, 1)
    called = [
        [
            len(of_kind(find_events(STEPS, calm + noise(seed) + size * smallest * shape), "spike"))
            for seed in range(10, 20)
        ]
        for size in (0.5, 2)
    ]
    assert sum(called[0]) <= 1 and sum(called[1]) >= 9


def test_white_noise_is_seldom_too_persistent_to_tell():
    design = EventDesign("power law", "white", "demo")
    assert calibrate([design], 15, seed=400)["cannot_tell"].item() <= 0.2


def test_a_spike_is_where_it_was_planted():
    shape = np.interp(STEPS, [1380, 1640, 2300], [0, 0.4, 0])
    spike = of_kind(find_events(STEPS, 5 - 0.8 * PLACE + shape + noise(0)), "spike").squeeze()
    assert abs(spike["peak"] - 1640) <= 60
    assert 1300 <= spike["first"] < 1640 < spike["last"] <= 2400
    assert spike["size"] == pytest.approx(0.36, abs=0.06)
    assert spike["p_value"] < 0.05 and spike["verdict"] == "event"


def test_a_wide_rise_and_fall_is_a_hump():
    shape = 0.5 * np.exp(-(((PLACE - 3.0) / 0.25) ** 2))
    found = find_events(STEPS, 3 + shape + noise(1))
    assert of_kind(found, "spike").empty
    assert abs(np.log10(of_kind(found, "hump").squeeze()["peak"]) - 3.0) < 0.1


def test_a_sharp_fall_is_a_change_point_and_a_slow_one_is_not():
    sharp = find_events(STEPS, 3 - 0.8 * logistic(PLACE, 3.1, 0.01) + noise(2))
    change = of_kind(sharp, "change_point").squeeze()
    assert change["first"] < 10**3.1 < change["last"]
    slow = find_events(STEPS, 3 - 0.8 * logistic(PLACE, 3.1, 0.2) + noise(2))
    assert of_kind(slow, "change_point").empty


def test_a_fall_and_a_plateau_are_descriptions_without_a_p_value():
    found = find_events(STEPS, 3 - logistic(PLACE, 2.7, 0.05) + noise(3))
    described = found[found["verdict"] == "description"]
    assert {"fastest_fall", "plateau"} <= set(described["kind"])
    assert described["p_value"].isna().all()
    fall = of_kind(found, "fastest_fall").squeeze()
    assert fall["first"] < 10**2.7 < fall["last"]


def test_a_random_walk_cannot_be_told_from_events():
    walks = [find_events(STEPS, 3 + np.cumsum(noise(seed))) for seed in range(10)]
    unclear = [f for f in walks if f["verdict"].str.startswith("cannot tell").any()]
    assert len(unclear) >= 4
    for frame in unclear:
        assert set(frame["kind"]) <= {"largest_rise", "fastest_fall"}
        assert frame["p_value"].isna().all()


@pytest.mark.parametrize("n", [20, 30, 45])
def test_few_checkpoints_are_enough_for_an_answer(n):
    called = [find_events(STEPS[-n:], 3 + noise(seed, n))["p_value"].min() for seed in range(20)]
    assert np.nansum(np.array(called) < 0.05) <= 4


def test_a_constant_trajectory_has_no_events():
    assert find_events(STEPS, np.full(len(STEPS), 3.0)).empty


def test_p_values_say_where_simulation_ends():
    assert p_text(0.015) == "p ≤ 0.015"
    assert p_text(0.04) == "p = 0.04"
    assert p_text(float("nan")) == ""


def test_too_few_checkpoints_and_missing_values():
    with pytest.raises(
        QueryError, match="19 checkpoints are too few to separate events from noise"
    ):
        find_events(STEPS[:19], noise(0)[:19])
    with pytest.raises(QueryError, match="not finite"):
        find_events(STEPS, np.full(len(STEPS), np.nan))

"""Events on trajectories with known truth: planted ones are found, noise gives none."""

import numpy as np
import pandas as pd
import pytest
from scipy import signal

from queries import QueryError, events
from queries.analyses.events import find_events
from queries.stats import noise
from queries.stats.change_points import Lines, cut
from tests.queries.support.simulated import blank_store, with_losses

STEPS = np.array([*range(0, 100, 10), *range(100, 2_000, 50), *range(2_000, 7_300, 100)])
PLACE = np.log10(1 + STEPS)
NOISE = 0.02


def noisy(values: np.ndarray, seed: int, memory: float = 0.0) -> np.ndarray:
    shocks = np.random.default_rng(seed).normal(0, NOISE, len(STEPS) + 50)
    wave = signal.lfilter([1.0], [1.0, -memory], shocks)[50:] * np.sqrt(1 - memory**2)
    return values + wave


def with_spike(values: np.ndarray, peak: int, rise: int, height: float) -> np.ndarray:
    columns = np.abs(np.arange(len(values)) - peak)
    return values + height * np.clip(1 - columns / rise, 0, None)


def of_kind(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    return frame[frame["kind"] == kind]


@pytest.mark.parametrize(("memory", "most"), [(0.0, 0.05), (0.4, 0.08)])
def test_noise_alone_seldom_yields_anything(memory, most):
    flat = np.full(len(STEPS), 3.0)
    alarms = [len(find_events(STEPS, noisy(flat, seed, memory))) > 0 for seed in range(200)]
    assert np.mean(alarms) < most


def test_a_straight_fall_with_noise_is_only_a_fall():
    found = [find_events(STEPS, noisy(9 - 1.5 * PLACE, seed)) for seed in range(40)]
    assert all((frame["kind"] == "fastest_fall").sum() == 1 for frame in found)
    assert sum(len(frame) > 1 for frame in found) <= 4
    assert np.median([frame["size"].max() for frame in found]) == pytest.approx(
        1.5 * PLACE[-1], 0.02
    )


@pytest.mark.parametrize("peak", [40, 60, 80])
def test_a_planted_spike_is_found_where_it_is(peak):
    right = 0
    for seed in range(20):
        values = with_spike(noisy(9 - 1.5 * PLACE, seed), peak, 5, 0.5)
        spikes = of_kind(find_events(STEPS, values), "spike")
        assert len(spikes) == 1
        line = spikes.iloc[0]
        right += abs(int(np.searchsorted(STEPS, line["peak"])) - peak) <= 1
        assert STEPS[peak - 8] <= line["first"] < STEPS[peak] < line["last"] <= STEPS[peak + 8]
        assert line["size"] == pytest.approx(0.4, abs=0.12)
        assert line["p_value"] <= 0.025
    assert right == 20


def test_two_spikes_are_two():
    values = with_spike(with_spike(noisy(9 - 1.5 * PLACE, 0), 45, 5, 0.6), 75, 5, 0.6)
    spikes = of_kind(find_events(STEPS, values), "spike")
    assert np.abs(np.searchsorted(STEPS, spikes["peak"]) - [45, 75]).max() <= 1


def test_a_wide_rise_and_fall_is_a_hump():
    values = noisy(3 + 0.5 * np.exp(-(((PLACE - 2.7) / 0.3) ** 2)), 0)
    found = find_events(STEPS, values)
    assert of_kind(found, "spike").empty
    hump = of_kind(found, "hump").squeeze()
    assert abs(np.log10(1 + hump["peak"]) - 2.7) < 0.1


def test_a_fall_between_two_plateaus():
    """As an in-context score: nothing, then a fast improvement, then nothing."""
    for seed in range(10):
        values = noisy(np.interp(PLACE, [2.6, 3.0], [0, -0.5]), seed)
        found = find_events(STEPS, values)
        fall = of_kind(found, "fastest_fall").squeeze()
        assert np.log10(1 + fall[["first", "last"]].to_numpy(float)) == pytest.approx(
            [2.6, 3.0], abs=0.1
        )
        assert 0.35 < fall["size"] < 0.55
        plateaus = of_kind(found, "plateau")
        assert plateaus["first"].min() == 0 and plateaus["last"].max() == STEPS[-1]
        changes = np.log10(1 + of_kind(found, "change_point")["peak"].to_numpy())
        assert all(np.abs(changes - kink).min() < 0.1 for kink in (2.6, 3.0))


def test_a_trajectory_without_noise_has_its_kinks():
    values = np.interp(PLACE, [1.5, 2.5], [8, 3])
    changes = of_kind(find_events(STEPS, values), "change_point")
    kinks = np.log10(1 + changes["peak"].to_numpy())
    assert all(np.abs(kinks - kink).min() < 0.15 for kink in (1.5, 2.5))


@pytest.mark.parametrize("memory", [0.0, 0.5])
def test_noise_is_estimated_whatever_falls_or_spikes(memory):
    falls = [noisy(9 - PLACE, seed, memory) for seed in range(100)]
    seen = [noise.estimate(PLACE, values) for values in falls]
    assert np.mean([n.memory for n in seen]) == pytest.approx(memory, abs=0.15)
    assert np.mean([n.scale for n in seen]) == pytest.approx(NOISE, rel=0.15)
    spiked = [noise.estimate(PLACE, with_spike(values, 60, 5, 1.0)) for values in falls]
    assert np.mean([n.scale for n in spiked]) == pytest.approx(NOISE, rel=0.4)


def test_simulated_noise_is_the_noise_asked_for():
    asked = noise.Noise(np.linspace(0.1, 0.3, 50), np.array(0.5))
    draws = noise.simulate(asked, 4000)
    assert draws.std(axis=0) == pytest.approx(asked.scale, rel=0.06)
    assert np.corrcoef(draws[:, 20], draws[:, 21])[0, 1] == pytest.approx(0.5, abs=0.05)


def test_a_cut_is_the_best_of_all():
    """Against every way to cut once, with numpy's own lines."""
    values = noisy(np.interp(PLACE, [2.6], [0]) - np.clip(PLACE - 2.6, 0, None), 3)
    scale = np.full(len(STEPS), NOISE)
    segments = cut(Lines(PLACE, values, scale))
    assert len(segments) == 2
    misses = {
        at: _miss(PLACE[:at], values[:at]) + _miss(PLACE[at:], values[at:])
        for at in range(4, len(STEPS) - 3)
    }
    assert segments[1].first == min(misses, key=misses.__getitem__)
    slope, level = np.polyfit(PLACE[: segments[0].last + 1], values[: segments[0].last + 1], 1)
    assert (segments[0].slope, segments[0].level) == pytest.approx((slope, level))


def _miss(place: np.ndarray, values: np.ndarray) -> float:
    return float(((values - np.polyval(np.polyfit(place, values, 1), place)) ** 2).sum())


def test_events_of_a_store_are_those_of_its_means(tmp_path):
    n_tokens = blank_store(tmp_path / "store", sources=4)
    losses = np.random.default_rng(0).exponential(2, (n_tokens, 30))
    losses[:, 15] += 5
    store = with_losses(tmp_path / "store", losses)
    steps = np.array(store.steps)
    found = events(store, "is_word_start").frame
    mean = store.trajectories({"": "is_word_start"})["mean_loss"].to_numpy()
    pd.testing.assert_frame_equal(found, find_events(steps, mean))
    assert of_kind(found, "spike")["peak"].tolist() == [150]
    gap = store.difference("is_word_start", "true")["difference"].to_numpy()
    pd.testing.assert_frame_equal(
        events(store, "is_word_start", "true").frame, find_events(steps, gap)
    )


def test_the_demo_s_spike_and_the_onset_of_copying(demo):
    spike = of_kind(events(demo).frame, "spike").squeeze()
    assert spike[["first", "peak", "last"]].tolist() == [1380, 1640, 2300]
    fall = of_kind(events(demo, "copyable", "not_copyable").frame, "fastest_fall").squeeze()
    assert 1400 <= fall["first"] < fall["last"] <= 1800


def test_too_few_checkpoints(store):
    with pytest.raises(QueryError, match="8 checkpoints are too few to separate events from noise"):
        events(store)

"""A reduced calibration: each procedure in a hard design or two, with room for chance."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
import pytest

from tests.calibrate import cross_section as made
from tests.calibrate.cross_section import Design, Outcome, calibrate


def run(
    trial: Callable[[np.random.Generator], Outcome],
    n_trials: int,
    covers: bool = False,
    seed: int = 1,
) -> pd.Series:
    return calibrate([Design("one", "design", trial, covers=covers)], n_trials, seed).iloc[0]


def assert_kept(row: pd.Series, low: float, high: float) -> None:
    """The rate is between the limits, give or take 2.5 Monte-Carlo errors."""
    reach = 2.5 * row["monte_carlo_error"]
    assert low - reach <= row["rate"] <= high + reach, row.to_dict()


@pytest.mark.parametrize("what", ["mean", "difference"])
@pytest.mark.parametrize(("n_docs", "spread"), [(5, 0.0), (10, 1.0), (30, 1.5)])
@pytest.mark.parametrize("noise", ["documents and gaps", "t3"])
def test_bands_cover_the_truth(what: str, n_docs: int, spread: float, noise: str) -> None:
    trial = partial(
        made.band_trial, n_docs=n_docs, spread=spread, noise=noise, share=1.0, what=what
    )
    row = run(trial, 40, covers=True)
    assert_kept(row, 0.925, 0.98)
    assert row["cannot_tell"] <= (0.2 if spread == 0 else 0.7)


def test_the_plain_bands_of_unequal_documents_do_not() -> None:
    trial = partial(
        made.band_trial,
        n_docs=10,
        spread=1.5,
        noise="documents",
        share=1.0,
        what="mean",
        method="cr1",
    )
    assert run(trial, 60, covers=True)["rate"] < 0.88


def test_simultaneous_bands_claim_little_and_find_what_is_planted() -> None:
    trial = partial(made.everywhere_trial, n_docs=25, spread=1.0, gap=0.1, n_checkpoints=20)
    row = run(trial, 40)
    assert_kept(row, 0.0, 0.075)
    assert row["power"] > 0.5


@pytest.mark.parametrize(("spread", "types"), [(1.5, 0.0), (0.0, 0.3), (1.0, 0.2)])
def test_leaderboards_without_a_group_effect_claim_nothing(spread: float, types: float) -> None:
    trial = partial(made.explain_trial, n_docs=25, spread=spread, types=types, tokens=8_000)
    row = run(trial, 8)
    assert_kept(row, 0.0, 0.075)
    assert row["power"] > 0.8


@pytest.mark.parametrize("coefficient", [0.0, 0.9])
def test_overlaps_of_noise_are_not_claimed(coefficient: float) -> None:
    row = run(
        partial(made.overlap_trial, coefficient=coefficient, n_checkpoints=60, n_tokens=1_500), 40
    )
    assert_kept(row, 0.0, 0.075)


def test_no_gap_appears_where_nothing_is_learned() -> None:
    assert_kept(run(made.matched_trial, 15, covers=True), 0.925, 1.0)


def test_a_result_states_its_trials_errors_and_refusals() -> None:
    answers = iter([Outcome(0.0), Outcome(1.0, 1.0), Outcome(), Outcome(0.0, 0.0)])
    row = run(lambda rng: next(answers), 4)
    assert row["rate"] == pytest.approx(1 / 3) and row["cannot_tell"] == 0.25
    assert row["power"] == 0.5 and row["measure"] == "false claims"
    assert row["monte_carlo_error"] > 0.2
    nothing = run(lambda rng: Outcome(), 2)
    assert np.isnan(nothing["rate"]) and nothing["cannot_tell"] == 1


def test_a_seed_gives_the_same_rates_with_any_number_of_workers() -> None:
    designs = made.matched_designs()[:2]
    one, two = (calibrate(designs, 4, seed=2, workers=n) for n in (1, 2))
    pd.testing.assert_frame_equal(one, two)


def test_all_designs_are_named_once() -> None:
    names = [(design.procedure, design.name) for design in made.all_designs()]
    assert len(set(names)) == len(names)

"""Age of acquisition: exact on sigmoids, a status for every other curve, and in a store."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from queries import QueryError, Store, age_of_acquisition
from queries.stats.acquisition_curve import BEFORE, CROSSED, NEVER, NO_FIT, Sigmoid, age, fit
from tests.queries.support.simulated import blank_store
from tests.queries.support.stores import add_checkpoint

STEPS = np.unique(np.logspace(0, 4, 60).round()).astype(int)
X = np.log10(STEPS)
CURVE = Sigmoid(upper=9.0, lower=3.0, midpoint=2.2, scale=0.3)


def test_a_sigmoid_is_recovered_and_its_crossing_is_exact() -> None:
    found = age(X, CURVE.at(X), chance=8.0)
    threshold = (8.0 + CURVE.at(X).min()) / 2
    assert found.status == CROSSED and found.threshold == threshold
    place = 2.2 + 0.3 * np.log((9 - threshold) / (threshold - 3))
    assert found.log10_step == pytest.approx(place, abs=1e-6)
    assert found.curve is not None
    fitted = found.curve.upper, found.curve.lower, found.curve.midpoint, found.curve.scale
    assert fitted == pytest.approx((9, 3, 2.2, 0.3), abs=1e-5)


def test_half_way_between_the_asymptotes_is_the_midpoint() -> None:
    wide = np.linspace(-20, 20, 401)
    y = CURVE.at(wide)
    assert age(wide, y, chance=9.0).log10_step == pytest.approx(2.2, abs=1e-6)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_moves_the_threshold_towards_the_minimum(share: float) -> None:
    found = age(X, CURVE.at(X), 9.0, share)
    assert found.threshold == pytest.approx((1 - share) * 9 + share * CURVE.at(X).min())
    assert CURVE.at(np.array([found.log10_step]))[0] == pytest.approx(found.threshold, abs=1e-5)


def test_the_scale_is_above_zero_whichever_description_is_found() -> None:
    found = fit(X, CURVE.at(X))
    assert found is not None and found.scale > 0 and found.falls


@pytest.mark.parametrize(
    ("y", "chance", "status"),
    [
        (12 - CURVE.at(X), 20.0, NEVER),  # it rises
        (CURVE.at(X), 2.0, NEVER),  # it is never better than chance
        (CURVE.at(X), 20.0, BEFORE),  # below the threshold throughout
        (np.full(len(X), 5.0), 4.0, NEVER),
        (np.full(len(X), 5.0), 9.0, NO_FIT),
    ],
)
def test_other_curves_have_a_status(y: np.ndarray, chance: float, status: str) -> None:
    found = age(X, y, chance)
    assert found.status == status and np.isnan(found.log10_step)


@pytest.fixture(scope="module")
def learner(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two token types, of which the second is learned a decade later; step 0 is far off."""
    root = tmp_path_factory.mktemp("stores") / "learner"
    n_tokens = blank_store(root, sources=6, types=2)
    late = pd.read_parquet(root / "tokens.parquet")["token_id"].to_numpy()
    rng = np.random.default_rng(0)
    for step in (0, *STEPS.tolist()):
        place = np.log10(max(step, 1))
        fall = np.where(late, Sigmoid(6, 2, 2.5, 0.2).at(place), Sigmoid(6, 2, 1.5, 0.2).at(place))
        noise = rng.normal(0, 0.1, n_tokens)
        add_checkpoint(root, step, 100.0 + noise if step == 0 else fall + noise)
    return Store(root)


def test_types_of_a_store_have_their_age_and_step_0_is_left_out(learner: Store) -> None:
    found = age_of_acquisition(learner, vocabulary=403).frame  # ln 403 is 6
    assert found["token_id"].tolist() == [0, 1]
    assert found["log10_step"].to_numpy() == pytest.approx([1.5, 2.5], abs=0.03)
    assert found["step"].to_numpy() == pytest.approx(10 ** found["log10_step"])
    assert found["threshold"].to_numpy() == pytest.approx([4, 4], abs=0.05)
    assert found["n_tokens"].sum() == learner.manifest.n_tokens
    without = age_of_acquisition(learner).frame
    assert without["log10_step"].to_numpy() == pytest.approx([1.5, 2.5], abs=0.03)


def test_mistakes_get_a_sentence(learner: Store, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="a vocabulary of 1: expected"):
        age_of_acquisition(learner, vocabulary=1)
    with pytest.raises(QueryError, match="between 0 and 1"):
        age_of_acquisition(learner, share=1.0)
    with pytest.raises(QueryError, match="lower the minimum count"):
        age_of_acquisition(learner, min_count=10_000_000)
    n_tokens = blank_store(tmp_path / "short", sources=2)
    for step in (0, 1, 2):
        add_checkpoint(tmp_path / "short", step, np.ones(n_tokens))
    with pytest.raises(QueryError, match="2 checkpoints are too few to fit a sigmoid"):
        age_of_acquisition(Store(tmp_path / "short"), min_count=1)

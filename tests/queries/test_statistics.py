"""Bands: the cluster-robust formula written out by hand, and what share of them cover the truth."""

import numpy as np
import pytest
from scipy import stats

from queries.matrix import LossMatrix
from queries.statistics import difference_band, mean_band
from queries.sums import GroupSums, Summation


def by_hand(design: np.ndarray, y: np.ndarray, source: np.ndarray) -> tuple[float, float]:
    """Least squares with the cluster sandwich: last coefficient and its standard error.

    `design` (tokens, columns), `y` and `source` (tokens,). (X'X)^-1 (sum X_s'e_s e_s'X_s) (X'X)^-1
    with the factor S / (S - 1).
    """
    bread = np.linalg.inv(design.T @ design)
    beta = bread @ design.T @ y
    residual = y - design @ beta
    scores = [design[source == s].T @ residual[source == s] for s in np.unique(source)]
    n = len(scores)
    meat = n / (n - 1) * sum(np.outer(s, s) for s in scores)
    return beta[-1], np.sqrt((bread @ meat @ bread)[-1, -1])


def test_band_of_a_mean_is_the_sandwich_of_an_intercept(store, plain):
    clause = "not is_word_start or position < 9"
    band = store.trajectories({"g": clause}).set_index("checkpoint")
    for checkpoint, members in plain.members(clause).groupby("checkpoint"):
        y = members["loss"].to_numpy(dtype=np.float64)
        mean, error = by_hand(np.ones((len(y), 1)), y, members["source"].to_numpy())
        reach = stats.t.ppf(0.975, members["source"].nunique() - 1) * error
        got = band.loc[checkpoint, ["low", "mean_loss", "high"]].astype(float)
        np.testing.assert_allclose(got, [mean - reach, mean, mean + reach], rtol=1e-9)


@pytest.mark.parametrize("second", ["not is_word_start", "position > 3", "doc < 6"])
def test_band_of_a_difference_is_the_sandwich_of_a_dummy(store, plain, second):
    band = store.difference("is_word_start", second).set_index("checkpoint")
    both = [plain.members(c).assign(first=c == "is_word_start") for c in ("is_word_start", second)]
    for checkpoint in store.steps:
        members = [b[b["checkpoint"] == checkpoint] for b in both]
        y, source, dummy = (
            np.concatenate([m[name].to_numpy() for m in members])
            for name in ("loss", "source", "first")
        )
        design = np.column_stack([np.ones(len(y)), dummy])
        difference, error = by_hand(design, y.astype(np.float64), source)
        reach = stats.t.ppf(0.975, len(np.unique(source)) - 1) * error
        got = band.loc[checkpoint, ["low", "difference", "high"]]
        expected = [difference - reach, difference, difference + reach]
        np.testing.assert_allclose(got, expected, rtol=1e-7)


def test_a_group_minus_itself_is_known_exactly(store):
    band = store.difference("is_word_start", "is_word_start")
    assert (band[["difference", "low", "high"]] == 0).all(axis=None)


@pytest.mark.parametrize("clause", ["row = 3", "source = 'source 1'", "doc = 0"])
def test_one_source_document_has_no_band(store, clause):
    alone = store.trajectories({"g": clause})
    assert alone[["low", "high"]].isna().all(axis=None)
    assert (alone["n_docs"] == 1).all() and alone["mean_loss"].notna().all()


def test_a_difference_needs_two_sources_on_both_sides(store):
    for pair in (("row = 3", "true"), ("true", "row = 3"), ("doc = 0", "source = 'source 4'")):
        band = store.difference(*pair)
        assert band[["low", "high"]].isna().all(axis=None)
        assert band["difference"].notna().all()


SIMULATED = 2_000


@pytest.fixture(scope="module")
def simulated() -> tuple[LossMatrix, np.ndarray]:
    """Stores side by side as columns: 40 sources of 20 to 80 tokens, a third of whose variance is
    their source's, and the source of each token. The true mean is 3 nats, 2 in odd rows."""
    rng = np.random.default_rng(0)
    source = np.repeat(np.arange(40), rng.integers(20, 81, 40))
    losses = 3 + rng.normal(0, 1, (40, SIMULATED))[source]
    losses += rng.normal(0, 2**0.5, losses.shape)
    losses[1::2] -= 1
    return LossMatrix(np.arange(SIMULATED), [losses.astype(np.float32)]), source


def covered(low: np.ndarray, high: np.ndarray, truth: float) -> float:
    return float(((low <= truth) & (truth <= high)).mean())


def sums_of(simulated: tuple[LossMatrix, np.ndarray], start: int) -> GroupSums:
    """Every second token, from `start`."""
    return Summation(*simulated).group(np.arange(start, len(simulated[1]), 2))


def test_bands_cover_the_true_mean_in_93_to_97_percent_of_stores(simulated):
    band = mean_band(sums_of(simulated, 0))
    assert 0.93 <= covered(band.low, band.high, 3) <= 0.97


def test_bands_cover_the_true_difference_in_93_to_97_percent_of_stores(simulated):
    band = difference_band(sums_of(simulated, 0), sums_of(simulated, 1))
    assert 0.93 <= covered(band.low, band.high, 1) <= 0.97


def test_a_band_that_takes_tokens_for_independent_does_not(simulated):
    losses = simulated[0].blocks[0][::2]
    reach = 1.96 * losses.std(axis=0, ddof=1) / len(losses) ** 0.5
    mean = losses.mean(axis=0)
    assert covered(mean - reach, mean + reach, 3) < 0.75


def test_pairing_narrows_the_band_of_a_difference(simulated):
    first, second = sums_of(simulated, 0), sums_of(simulated, 1)
    paired, one, two = difference_band(first, second), mean_band(first), mean_band(second)
    unpaired = np.hypot(one.high - one.estimate, two.high - two.estimate)
    assert np.mean((paired.high - paired.estimate) / unpaired) < 0.6

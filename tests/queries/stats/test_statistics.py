"""The plain bands: the cluster-robust formula by hand over the members in the long format."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from queries import GroupError, QueryError
from tests.queries.support.stores import STEPS


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
    band = store.trajectories({"g": clause}, method="cr1").set_index("checkpoint")
    for checkpoint, members in plain.members(clause).groupby("checkpoint"):
        y = members["loss"].to_numpy(dtype=np.float64)
        mean, error = by_hand(np.ones((len(y), 1)), y, members["source"].to_numpy())
        reach = stats.t.ppf(0.975, members["source"].nunique() - 1) * error
        got = band.loc[checkpoint, ["low", "mean_loss", "high"]].astype(float)
        np.testing.assert_allclose(got, [mean - reach, mean, mean + reach], rtol=1e-9)


@pytest.mark.parametrize("second", ["not is_word_start", "position > 3", "doc < 6"])
def test_band_of_a_difference_is_the_sandwich_of_a_dummy(store, plain, second):
    band = store.difference("is_word_start", second, method="cr1").set_index("checkpoint")
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


def by_weighting(weighted: Callable[[pd.Series], float], sources: list[str]) -> float:
    """Standard error by the infinitesimal jackknife (Efron 1982): how much `weighted`, a statistic
    of a weight for each source, moves with one source's weight, by central differences."""
    step, moved = 1e-5, []
    for source in sources:
        up, down = (pd.Series(1.0, index=sources) for _ in range(2))
        up[source] += step
        down[source] -= step
        moved.append((weighted(up) - weighted(down)) / (2 * step))
    return np.sqrt(len(sources) / (len(sources) - 1) * np.sum(np.square(moved)))


def weighted_mean(members: pd.DataFrame, weight: pd.Series) -> float:
    return np.average(members["loss"], weights=weight[members["source"]])


@pytest.mark.parametrize("second", ["not is_word_start", "true", "position > 3"])
def test_band_of_a_ratio_is_that_of_weighting_the_sources(store, plain, second):
    band = store.ratio("is_word_start", second, method="cr1").set_index("checkpoint")
    both = [plain.members(c).groupby("checkpoint") for c in ("is_word_start", second)]
    for checkpoint in STEPS:
        one, two = (members.get_group(checkpoint) for members in both)
        sources = sorted({*one["source"], *two["source"]})
        error = by_weighting(lambda w: weighted_mean(one, w) / weighted_mean(two, w), sources)  # noqa: B023
        ratio = one["loss"].astype(float).mean() / two["loss"].astype(float).mean()
        reach = stats.t.ppf(0.975, len(sources) - 1) * error
        got = band.loc[checkpoint, ["low", "ratio", "high"]]
        np.testing.assert_allclose(got, [ratio - reach, ratio, ratio + reach], rtol=1e-7)


def test_change_since_a_checkpoint_is_the_mean_of_the_tokens_changes(store, plain):
    band = store.change("is_word_start", 16, method="cr1").set_index("checkpoint")
    frame = plain.connection.sql("select * from facts where is_word_start order by row").df()
    for checkpoint, members in frame.groupby("checkpoint"):
        y = members["loss"].to_numpy(float) - members["at_16"].to_numpy(float)
        mean, error = by_hand(np.ones((len(y), 1)), y, members["source"].to_numpy())
        reach = stats.t.ppf(0.975, members["source"].nunique() - 1) * error
        got = band.loc[checkpoint, ["low", "change", "high"]]
        np.testing.assert_allclose(got, [mean - reach, mean, mean + reach], rtol=1e-7, atol=1e-12)
    assert (band.loc[16, ["change", "low", "high"]] == 0).all()


def test_a_group_over_itself_is_one(store):
    np.testing.assert_allclose(store.ratio("true", "true")[["ratio", "low", "high"]], 1)


def test_relative_statistics_of_one_source_have_no_band(store):
    for band, value in (
        (store.ratio("row = 3", "true"), "ratio"),
        (store.ratio("true", "doc = 0"), "ratio"),
        (store.change("doc = 0", 4), "change"),
        (store.change("row = 3", 4), "change"),
    ):
        assert band[["low", "high"]].isna().all(axis=None)
        assert band[value].notna().all()


def test_a_change_since_a_checkpoint_that_is_not_there_names_the_nearest(store):
    with pytest.raises(
        QueryError, match="checkpoint 9 is not in the store: the nearest are 4 and 8"
    ):
        store.change("true", 9)
    with pytest.raises(GroupError, match="selects none"):
        store.change("row < 0", 8)


def test_a_method_that_is_none_is_refused(store):
    with pytest.raises(QueryError, match="there is no band 'cr9': expected cv3 or cr1"):
        store.trajectories({"g": "true"}, method="cr9")

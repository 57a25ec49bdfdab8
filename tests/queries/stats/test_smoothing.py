"""Smoothing: what each checkpoint weighs, and the band of a smoothed mean from smoothed losses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queries import QueryError
from queries.stats.bands import t_quantile
from queries.stats.smoothing import weights
from tests.queries.support.stores import STEPS

STEP_LISTS = st.sets(st.integers(0, 500_000), min_size=1, max_size=30).map(sorted).map(np.array)
WIDTHS = st.floats(0.001, 2)


@given(STEP_LISTS, WIDTHS)
def test_each_smoothed_loss_is_a_weighted_mean(steps, width):
    made = weights(steps, width)
    assert (made >= 0).all()
    np.testing.assert_allclose(made.sum(axis=1), 1)


@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=15), WIDTHS)
def test_earlier_and_later_weigh_the_same(gaps, width):
    """A schedule turned round in log step has its weights turned round."""
    place = np.concatenate([[0], np.cumsum(gaps)])
    ahead, behind = 10**place - 1, 10 ** (place[-1] - place[::-1]) - 1
    np.testing.assert_allclose(
        weights(ahead, width), weights(behind, width)[::-1, ::-1], rtol=1e-6, atol=1e-9
    )


def test_weights_are_a_gaussian_of_the_log_of_the_step():
    steps = np.array([9, 99, 999, 9_999, 99_999, 999_999, 9_999_999])  # a decade apart
    middle = weights(steps, 1.5)[3]
    expected = np.exp(-((np.arange(7) - 3.0) ** 2) / (2 * 1.5**2))
    expected[[0, -1]] /= 2  # what an end stands for reaches to one side only
    np.testing.assert_allclose(middle, expected / expected.sum())


def test_a_straight_line_in_log_step_stays_although_later_checkpoints_are_denser():
    spans = (0, 100, 10), (100, 2_000, 50), (2_000, 20_000, 100), (20_000, 400_001, 1_000)
    steps = np.concatenate([np.arange(*span) for span in spans])
    line = np.log10(1.0 + steps)
    inner = (line > 3) & (line < 5)  # four widths from both ends of the dense part
    smooth = weights(steps, 0.1) @ line
    np.testing.assert_allclose(smooth[inner], line[inner], atol=0.001)
    kernel = np.exp(-(((line[:, None] - line) / 0.1) ** 2) / 2)
    unweighted = kernel @ line / kernel.sum(axis=1)
    assert np.abs(unweighted - line)[inner].max() > 0.02


def test_one_checkpoint_is_its_own_mean():
    assert weights(np.array([7]), 0.3).tolist() == [[1]]


@pytest.mark.parametrize("width", [0, -1, 2.1, 1e300, np.nan, np.inf])
def test_a_width_that_is_none_is_refused(store, width):
    with pytest.raises(QueryError, match="expected a number above 0"):
        store.trajectories({"g": "true"}, smooth=width)


def test_the_band_of_a_smoothed_mean_is_that_of_smoothed_losses(store, plain):
    """Smooth each token's losses first: the mean at a checkpoint is then an ordinary mean."""
    long = plain.connection.sql("select * from facts where is_word_start order by all").df()
    table = long.pivot(index="row", columns="checkpoint", values="loss").astype(float)
    smooth = table @ weights(np.array(STEPS), 0.4).T
    source = long.groupby("row")["source"].first()
    got = store.trajectories({"g": "is_word_start"}, smooth=0.4)
    np.testing.assert_allclose(got["mean_loss"], smooth.mean(), rtol=1e-9)
    by_source = smooth.groupby(source).agg(["sum", "size"])
    counts = by_source.xs("size", axis=1, level=1).to_numpy(float)
    sums = by_source.xs("sum", axis=1, level=1).to_numpy()
    left = (smooth.to_numpy().sum(axis=0) - sums) / (len(smooth) - counts)
    n = len(counts)
    error = np.sqrt((n - 1) / n * ((left - smooth.to_numpy().mean(axis=0)) ** 2).sum(axis=0))
    effective = counts[:, 0].sum() ** 2 / (counts[:, 0] ** 2).sum()
    reach = t_quantile(effective - 1) * error
    np.testing.assert_allclose((got["high"] - got["low"]) / 2, reach, rtol=1e-6)


def test_differences_ratios_and_changes_are_those_of_smoothed_means(store):
    groups = {"a": "is_word_start", "b": "true"}
    frame = store.trajectories(groups, smooth=0.2)
    a, b = (frame[frame["token_group"] == g]["mean_loss"].to_numpy() for g in groups)
    pair = groups.values()
    np.testing.assert_allclose(store.difference(*pair, smooth=0.2)["difference"], a - b)
    np.testing.assert_allclose(store.ratio(*pair, smooth=0.2)["ratio"], a / b)
    np.testing.assert_allclose(store.change("true", 4, smooth=0.2)["change"], b - b[3])


def test_nothing_is_smoothed_unless_asked_for(store, plain):
    means = store.trajectories({"g": "true"})["mean_loss"]
    np.testing.assert_allclose(means, plain.means("true")["mean_loss"], rtol=1e-9)
    slightly = store.trajectories({"g": "true"}, smooth=0.3)["mean_loss"]
    assert np.abs(slightly - means).max() > 0.01

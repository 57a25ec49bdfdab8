"""The leaderboard: planted groups top it, the false discovery rate holds, its numbers are right."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from queries import QueryError, explain
from queries.analyses.explain import group_differences, variances
from queries.engine.matrix import LossMatrix
from queries.engine.sums import Summation
from queries.stats.bands import difference_band
from tests.queries.support.simulated import blank_store, with_losses

TRIALS = 30


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """Thirty regions in which documents and tokens move, skewed as losses do, and no group does."""
    root = tmp_path_factory.mktemp("stores") / "quiet"
    n_tokens = blank_store(root, sources=40, types=60)
    rng = np.random.default_rng(0)
    source = np.minimum(np.arange(n_tokens) // 45, 39)
    moves = rng.exponential(1, (n_tokens, TRIALS)) + rng.normal(0, 0.3, (40, TRIALS))[source]
    losses = np.full((n_tokens, 2 * TRIALS), 10.0)
    losses[:, 1::2] += moves
    return with_losses(root, losses)


def test_where_no_group_moved_hardly_any_is_named(quiet):
    found = [explain(quiet, (20 * i, 20 * i + 10)).frame for i in range(TRIALS)]
    assert len(found[0]) > 60
    assert np.mean([(frame["q_value"] < 0.05).any() for frame in found]) <= 0.05
    p_values = pd.concat(found)["p_value"]
    assert 0.005 < (p_values < 0.05).mean() < 0.07


def planted(tmp_path, quiet, clause, by):
    losses = quiet.matrix.rows(np.arange(quiet.manifest.n_tokens)).astype(float)
    losses[quiet.members(clause), 1] += by
    blank_store(tmp_path / "planted", sources=40, types=60)
    return with_losses(tmp_path / "planted", losses)


@pytest.mark.parametrize(
    ("clause", "by"),
    [
        ("token_id = 7", 2.0),
        ("is_word_start", 0.6),
        ("seen_before = 0", -0.8),
        ("position between 8 and 15", 0.8),
        ("source = 'source 3'", 3.0),
    ],
)
def test_a_planted_group_tops_the_list(tmp_path, quiet, clause, by):
    found = explain(planted(tmp_path, quiet, clause, by), (0, 10)).frame
    best = found.iloc[0]
    tops = found[(found["p_value"] <= best["p_value"] * 1.001)]  # a complement ties
    assert clause in tops["clause"].tolist()
    line = found[found["clause"] == clause].squeeze()
    assert line["q_value"] < 0.01
    assert line["difference"] == pytest.approx(by, abs=0.7)


def test_each_line_is_what_its_clause_selects(demo):
    found = explain(demo, (1380, 1640)).frame
    changes = demo.zoom(1380, 1640).changes["change"].to_numpy(np.float64)
    lines = pd.concat([found.groupby("kind").head(3), found[found["token_group"] == "copyable"]])
    assert lines["kind"].nunique() == found["kind"].nunique() >= 7
    for line in lines.itertuples():
        rows = demo.members(line.clause)
        rest = np.delete(changes, rows)
        assert line.n_tokens == len(rows)
        assert line.mean_change == pytest.approx(changes[rows].mean(), abs=1e-6)
        assert line.difference == pytest.approx(changes[rows].mean() - rest.mean(), abs=1e-6)
    assert found["p_value"].is_monotonic_increasing
    assert (found["q_value"] >= found["p_value"]).all()


def test_the_error_is_that_of_the_band_of_a_difference():
    """Where tokens of the group vary so much more than others that it is the larger one."""
    rng = np.random.default_rng(2)
    source, label = rng.integers(0, 30, 3_000), rng.integers(-1, 3, 3_000)
    change = rng.normal(0, 1, len(source)) * np.where(label == 1, 9, 1)
    line = group_differences(label, 3, change, source).iloc[1]
    whole = Summation(LossMatrix(np.arange(1), [change[:, None].astype(np.float32)]), source)
    one, rest = whole.pair(np.flatnonzero(label == 1), np.flatnonzero(label != 1))
    band = difference_band(one, rest, "cr1")
    assert line["difference"] == pytest.approx(band.estimate[0], rel=1e-5)
    reach = band.high[0] - band.estimate[0]
    assert line["standard_error"] == pytest.approx(reach / stats.t.ppf(0.975, 29), rel=1e-5)
    assert line["degrees"] == one.n_docs - 1 == 29


def test_variances_are_those_made_up():
    rng = np.random.default_rng(0)
    source = rng.integers(0, 300, 30_000)
    change = rng.normal(0, 0.5, 300)[source] + rng.normal(0, 2, len(source))
    between, within = variances(change, source)
    assert (between, within) == pytest.approx((0.25, 4), rel=0.2)
    assert variances(np.array([1.0, 3.0]), np.array([0, 0])) == (0.0, 2.0)


def test_many_groups_are_as_each_alone():
    rng = np.random.default_rng(1)
    label, source = rng.integers(-1, 300, 5_000), rng.integers(0, 20, 5_000)
    change = rng.normal(0, 1, 5_000)
    together = group_differences(label, 300, change, source)
    for group in (0, 127, 128, 299):
        alone = group_differences(np.where(label == group, 0, -1), 1, change, source)
        pd.testing.assert_series_equal(together.loc[group], alone.loc[0], check_names=False)


def test_what_cannot_be_explained_gets_a_sentence(store):
    with pytest.raises(QueryError, match="no group with 9,999 or more tokens"):
        explain(store, (0, 8), min_count=9_999)
    with pytest.raises(QueryError, match="expected the earlier step first"):
        explain(store, (8, 0))

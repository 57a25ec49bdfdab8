"""Summaries equal pandas and numpy over the members in the long format."""

import numpy as np
import pytest

from queries import GroupError, QueryError
from queries.engine.matrix import LossMatrix
from queries.engine.sums import Summation
from queries.stats.distribution import summary


@pytest.mark.parametrize("clause", ["true", "is_word_start", "doc < 2", "row in (3, 9)"])
def test_a_summary_equals_pandas(store, plain, clause):
    losses = plain.members(clause).astype({"loss": float}).groupby("checkpoint")["loss"]
    got = store.summary(clause)
    assert got["checkpoint"].tolist() == store.steps
    expected = {
        "mean_loss": losses.mean(),
        "standard_deviation": losses.std(),
        "q25": losses.quantile(0.25),
        "q50": losses.median(),
        "q75": losses.quantile(0.75),
        "perplexity": np.exp(losses.mean()),
        "bits": losses.mean() / 0.6931471805599453,
        "n_tokens": losses.size(),
        "n_docs": plain.means(clause).set_index("checkpoint")["n_docs"],
    }
    assert got.columns.tolist() == ["checkpoint", *expected]
    for name, column in expected.items():
        np.testing.assert_allclose(got[name], column, rtol=1e-6, err_msg=name)


def test_other_quantiles_are_named_by_their_percent(store, plain):
    got = store.summary("true", (0, 0.025, 0.9, 1))
    losses = plain.members("true").groupby("checkpoint")["loss"]
    for name, share in (("q0", 0), ("q2.5", 0.025), ("q90", 0.9), ("q100", 1)):
        np.testing.assert_allclose(got[name], losses.quantile(share), rtol=1e-6)


def test_several_blocks_and_many_rows_equal_numpy():
    rng = np.random.default_rng(0)
    losses = rng.exponential(3, (5_000, 150)).astype(np.float32)
    blocks = [np.ascontiguousarray(losses[:, at : at + 64]) for at in (0, 64, 128)]
    matrix = LossMatrix(np.arange(150), blocks)
    rows = np.sort(rng.choice(5_000, 3_001, replace=False))
    sums = Summation(matrix, rng.integers(0, 7, 5_000)).group(rows)
    got = summary(matrix, rows, sums, (0.1, 0.5))
    expected = np.quantile(losses[rows].astype(float), (0.1, 0.5), axis=0).T
    np.testing.assert_allclose(got[["q10", "q50"]], expected, rtol=1e-6)
    deviation = losses[rows].std(axis=0, ddof=1, dtype=float)
    np.testing.assert_allclose(got["standard_deviation"], deviation)


def test_one_token_has_quantiles_but_no_standard_deviation(store, plain):
    got = store.summary("row = 3")
    losses = plain.members("row = 3").sort_values("checkpoint")["loss"]
    assert got["standard_deviation"].isna().all()
    for name in ("q25", "q50", "q75"):
        np.testing.assert_allclose(got[name], losses)


@pytest.mark.parametrize("share", [-0.1, 1.5, 50, float("nan")])
def test_a_quantile_that_is_none_is_refused(store, share):
    with pytest.raises(QueryError, match="expected numbers from 0 to 1"):
        store.summary("true", (0.5, share))


def test_an_empty_group_is_refused(store):
    with pytest.raises(GroupError, match="selects none"):
        store.summary("row < 0")

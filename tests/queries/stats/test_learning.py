"""Acquisition, forgetting and Rho-1's categories: by hand, against plain SQL, and in groups."""

import numpy as np
import pandas as pd
import pytest

from queries import GroupError, QueryError, rho_1
from queries.engine.matrix import BLOCK, LossMatrix
from queries.stats.acquisition import acquisition, averages, forgetting
from tests.queries.support.simulated import blank_store, with_losses

STEPS = np.array([0, 1, 4, 9])
LOSSES = np.array([[8, 6, 5, 4], [8, 2, 7, 3], [3, 3, 5, 3], [2, 1, 0, 4]], dtype=np.float32)


def wide(losses: np.ndarray, steps: np.ndarray) -> LossMatrix:
    parts = range(0, losses.shape[1], BLOCK)
    blocks = [np.ascontiguousarray(losses[:, p : p + BLOCK]) for p in parts]
    return LossMatrix(steps, blocks)


def test_by_hand():
    matrix, rows = wide(LOSSES, STEPS), np.array([0, 1, 2, 3])
    assert acquisition(matrix, rows).tolist() == [1, 1, -1, 1]
    assert forgetting(matrix, rows, 9).tolist() == [0, 1, 0, 4]
    assert forgetting(matrix, rows, 4).tolist() == [0, 5, 2, 0]
    assert forgetting(matrix, rows[1:2], 0).tolist() == [0]


def test_over_several_blocks_and_pieces_of_rows_as_one_array():
    rng = np.random.default_rng(0)
    losses = rng.exponential(2, (5_000, 150)).astype(np.float32)
    matrix, rows = wide(losses, np.arange(150)), rng.permutation(5_000)[:4_500]
    chosen = losses[rows]
    for at in (3, 63, 64, 149):
        lowest = np.minimum.accumulate(chosen, axis=1)[:, at]
        np.testing.assert_array_equal(forgetting(matrix, rows, at), chosen[:, at] - lowest)
    half = (chosen[:, 0] + chosen.min(axis=1)) / 2
    first = [
        next(i for i, x in enumerate(line) if x <= h) for line, h in zip(chosen, half, strict=True)
    ]
    never = chosen.min(axis=1) == chosen[:, 0]
    np.testing.assert_array_equal(acquisition(matrix, rows), np.where(never, -1, first))
    weights = rng.normal(0, 1, (150, 3))
    np.testing.assert_allclose(averages(matrix, rows, weights), chosen @ weights, atol=1e-3)


def test_groups_can_be_made_of_them(store, plain):
    lowest = "least(at_0, at_1, at_2, at_4, at_8)"
    query = f"select row from facts where checkpoint = 0 and at_8 - {lowest} > 1 order by row"
    expected = [row for (row,) in plain.connection.sql(query).fetchall()]
    assert store.members("forgetting_at(row, 8) > 1").tolist() == expected
    early = store.members("acquisition(row) <= 4")
    steps = acquisition(store.matrix, np.arange(store.manifest.n_tokens))
    assert early.tolist() == np.flatnonzero((steps >= 0) & (steps <= 4)).tolist()
    assert store.members("acquisition(row) is null").tolist() == np.flatnonzero(steps < 0).tolist()
    assert store.members("forgetting_at(row - 1, 8) is null").tolist() == [0]
    assert store.members("acquisition(row - 1) is null and row = 0").tolist() == [0]
    with pytest.raises(GroupError, match="checkpoint 300 is not in the store"):
        store.members("forgetting_at(row, 300) > 2")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Tokens of Rho-1's four categories in turn: falling, low, high, rising."""
    root = tmp_path_factory.mktemp("stores") / "planted"
    n_tokens = blank_store(root, sources=10)
    kind, at = np.arange(n_tokens) % 4, np.arange(20) / 19
    ends = np.array([[6, 1], [1, 1], [6, 6], [1, 6]], dtype=float)[kind]
    losses = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * at
    noise = np.random.default_rng(0).normal(0, 0.3, losses.shape)
    return with_losses(root, np.abs(losses + noise * (kind != 1)[:, None] / 2))


@pytest.mark.parametrize("log", [False, True])
def test_planted_categories_are_recovered(planted, log):
    found = rho_1(planted, log=log)
    tokens = found.members
    truth = np.array(["H->L", "L->L", "H->H", "L->H"])[np.arange(len(tokens)) % 4]
    assert (tokens["category"] == truth).mean() > (0.9 if log else 0.97)
    lines = found.frame.set_index("category")
    assert lines["n_tokens"].sum() == len(tokens) and lines["share"].sum() == pytest.approx(1)
    assert lines.loc["L->H", "mean_end"] - lines.loc["L->H", "mean_start"] > 2


def test_tokens_that_stay_are_told_apart_by_their_own_last_loss(tmp_path):
    """A jump at the last checkpoint leaves the line low, but not the loss there."""
    n_tokens = blank_store(tmp_path / "jump", sources=2)
    losses = np.ones((n_tokens, 41))
    losses[::2, -1] = 3
    tokens = rho_1(with_losses(tmp_path / "jump", losses)).members
    assert tokens["end"].max() < losses[:, -1].mean()
    assert set(tokens["category"][::2]) == {"H->H"} and set(tokens["category"][1::2]) == {"L->L"}


def test_the_line_is_that_of_least_squares(planted):
    """The steps are even here, but for the ends, which stand for half as much of the axis."""
    losses = planted.matrix.rows(np.arange(planted.manifest.n_tokens)).astype(float)
    weights = np.sqrt([0.5, *[1] * (len(planted.steps) - 2), 0.5])
    slope, start = np.polyfit(planted.steps, losses.T, 1, w=weights)
    tokens = rho_1(planted).members
    np.testing.assert_allclose(tokens["start"], start, atol=1e-4)
    np.testing.assert_allclose(tokens["end"], start + slope * planted.steps[-1], atol=1e-4)


def test_categories_of_a_group_become_a_feature(planted):
    tokens = rho_1(planted, where="is_word_start").members
    planted.features.save("rho", tokens["category"], rows=tokens["row"])
    falling = tokens.loc[tokens["category"] == "H->L", "row"]
    assert planted.members("rho = 'H->L'").tolist() == falling.tolist()
    others = planted.members("not is_word_start").tolist()
    assert planted.members("rho is null").tolist() == others
    planted.features.delete("rho")
    with pytest.raises(QueryError, match="found 2 values, expected one for each of 3"):
        planted.features.save("rho", pd.Series([1, 2]), rows=np.array([1, 2, 3]))


def test_one_checkpoint_is_too_few(tmp_path):
    n_tokens = blank_store(tmp_path / "one", sources=2)
    store = with_losses(tmp_path / "one", np.ones((n_tokens, 1)))
    with pytest.raises(QueryError, match="expected at least two"):
        rho_1(store)
    assert len(store.members("acquisition(row) is null")) == n_tokens

"""Sums by source document, on both sides of a half of the tokens and over several blocks."""

import numpy as np
import pytest

from queries.engine.matrix import LossMatrix
from queries.engine.sums import Summation

RNG = np.random.default_rng(1)
LOSSES = RNG.exponential(3, (500, 150)).astype(np.float32)
SOURCE = RNG.integers(0, 7, 500)
BLOCKS = [np.ascontiguousarray(LOSSES[:, at : at + 64]) for at in (0, 64, 128)]


@pytest.fixture(scope="module")
def summation() -> Summation:
    return Summation(LossMatrix(np.arange(150), BLOCKS), SOURCE)


@pytest.mark.parametrize("size", [1, 2, 249, 250, 251, 499, 500])
def test_sums_equal_numpy(summation: Summation, size: int) -> None:
    members = np.sort(np.random.default_rng(size).choice(500, size, replace=False))
    group = summation.group(members)
    sums = [LOSSES[members[SOURCE[members] == s]].sum(axis=0, dtype=float) for s in range(7)]
    np.testing.assert_allclose(group.sums, sums, atol=1e-9)
    assert group.counts.tolist() == np.bincount(SOURCE[members], minlength=7).tolist()
    assert group.n_tokens == size
    assert group.n_docs == len(np.unique(SOURCE[members]))
    np.testing.assert_allclose(group.mean, LOSSES[members].mean(axis=0, dtype=float), rtol=1e-9)


def test_influences_sum_to_zero(summation: Summation) -> None:
    np.testing.assert_allclose(summation.group(np.arange(99)).influence.sum(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("sizes", [(3, 5), (250, 250), (400, 30), (30, 490), (500, 499), (1, 500)])
def test_a_pairs_sums_equal_those_of_each_group_alone(
    summation: Summation, sizes: tuple[int, int]
) -> None:
    rng = np.random.default_rng(sum(sizes))
    groups = [np.sort(rng.choice(500, size, replace=False)) for size in sizes]
    for members, read in zip(groups, summation.pair(*groups), strict=True):
        sums = [LOSSES[members[SOURCE[members] == s]].sum(axis=0, dtype=float) for s in range(7)]
        np.testing.assert_allclose(read.sums, sums, atol=1e-9)
        assert read.n_tokens == len(members)


def test_sums_of_a_group_and_its_complement(summation: Summation) -> None:
    inside, outside = summation.pair(np.arange(100), np.arange(100, 500))
    np.testing.assert_allclose((inside + outside).sums, summation.everything.sums)
    assert (inside + outside).n_tokens == 500

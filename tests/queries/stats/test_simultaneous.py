"""Bands for all checkpoints at once: hold in 95 of 100 made-up texts, and find what is planted."""

from dataclasses import replace

import numpy as np
import pytest

from queries.engine.sums import GroupSums
from queries.stats.bands import difference_band
from queries.stats.simultaneous_bands import FEWEST_DOCS, simultaneous_band

STEPS = 40
TEXTS = 300


def text(rng: np.random.Generator, counts: np.ndarray, shift: float = 0.0) -> GroupSums:
    """A group of no effect but `shift` in the second half; documents drift by themselves."""
    n = len(counts)
    level = rng.normal(0, 0.5, (n, 1)) + 0.1 * rng.normal(0, 1, (n, STEPS)).cumsum(axis=1)
    means = level + rng.normal(0, 1, (n, STEPS)) / np.sqrt(counts)[:, None]
    means[:, STEPS // 2 :] += shift
    return GroupSums(counts, counts[:, None] * means)


def counts(rng: np.random.Generator, n: int, spread: float) -> np.ndarray:
    return np.maximum(1, 8 * np.exp(rng.normal(0, spread, n))).astype(np.int64)


def claimed(band) -> bool:
    return bool(((band.low > 0) | (band.high < 0)).any())


@pytest.mark.parametrize(("n_docs", "spread"), [(6, 0.1), (12, 1.0), (30, 0.1), (30, 1.3)])
def test_no_effect_is_claimed_in_five_percent_of_texts(n_docs, spread):
    rng = np.random.default_rng(n_docs)
    wide = pointwise = 0
    for _ in range(TEXTS):
        pair = [text(rng, counts(rng, n_docs, spread)) for _ in range(2)]
        wide += claimed(simultaneous_band(*pair))
        pointwise += claimed(difference_band(*pair))
    # 5% of 300 is 15, give or take 3.8; looking at every step by itself claims far more often.
    assert wide / TEXTS < 0.1
    assert pointwise / TEXTS > 0.2


def test_a_planted_effect_is_found_where_it_is():
    rng = np.random.default_rng(1)
    pair = text(rng, counts(rng, 30, 0.3), shift=-2.0), text(rng, counts(rng, 30, 0.3))
    band = simultaneous_band(*pair)
    assert not claimed(replace(band, low=band.low[: STEPS // 2], high=band.high[: STEPS // 2]))
    assert (band.high[STEPS // 2 :] < 0).mean() > 0.8


def test_it_is_wider_than_the_band_of_one_step_and_the_same_each_time():
    rng = np.random.default_rng(2)
    pair = [text(rng, counts(rng, 20, 0.5)) for _ in range(2)]
    wide, narrow = simultaneous_band(*pair), difference_band(*pair)
    np.testing.assert_array_equal(wide.estimate, narrow.estimate)
    assert (wide.low < narrow.low).all() and (wide.high > narrow.high).all()
    np.testing.assert_array_equal(wide.low, simultaneous_band(*pair).low)


def test_too_few_documents_give_no_band():
    rng = np.random.default_rng(3)
    few = text(rng, counts(rng, FEWEST_DOCS - 1, 0.1))
    assert np.isnan(simultaneous_band(few, few).low).all()
    half = np.array([5, 5, 5, 0, 0, 0, 0, 0])
    assert np.isnan(
        simultaneous_band(
            text(rng, half + 1), GroupSums(half, half[:, None] * np.ones((8, STEPS)))
        ).high
    ).all()


def test_a_group_against_itself_never_differs():
    rng = np.random.default_rng(4)
    one = text(rng, counts(rng, 10, 0.5))
    band = simultaneous_band(one, one)
    assert (band.low == 0).all() and (band.high == 0).all()

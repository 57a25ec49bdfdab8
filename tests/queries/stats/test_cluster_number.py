"""The number of clusters: gaps between centres, and one cluster where there is a continuum."""

import numpy as np
import pytest

from queries import QueryError
from queries.stats.cluster_number import centres, choose, gap, points
from tests.calibrate.cross_section import curves


def pair(distance: float, n: int = 4_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, (n, 3))
    values[: n // 2, 0] += distance
    return values


def test_a_gap_is_the_density_between_centres_over_that_at_them():
    for distance, expected in ((4.0, 2 * np.exp(-2)), (6.0, 2 * np.exp(-4.5))):
        values = pair(distance)
        # Between two normal clusters there are 2 exp(-d^2 / 8) of what is at either, and errors.
        assert expected < gap(values, centres(values, 2, 0)) < 1.6 * expected + 0.05
    whole = pair(0.0)
    assert gap(whole, centres(whole, 2, 0)) > 0.8


def test_few_points_do_not_look_like_a_gap():
    values = pair(0.0, 40)
    assert gap(values, centres(values, 4, 0)) > 0.6


def test_planted_clusters_are_counted_and_a_continuum_is_one():
    rng = np.random.default_rng(0)
    losses, _ = curves("3 times", rng)
    source = rng.integers(0, 20, len(losses))
    found = choose(losses, source, by_shape=True)
    assert found.k == 3 and found.verdict == ""
    line = found.tried.set_index("k").loc[3]
    assert line["stability"] > 0.95 and line["gap"] < line["null_gap"]
    losses, _ = curves("white noise", rng)
    none = choose(losses, source, by_shape=True)
    assert none.k == 1 and none.verdict.startswith("no clusters: a continuum")


def test_the_same_seed_gives_the_same_answer():
    rng = np.random.default_rng(0)
    losses, _ = curves("2 times", rng, n=600)
    source = rng.integers(0, 20, len(losses))
    one, two = (choose(losses, source, True, seed=3).tried for _ in range(2))
    assert one.equals(two)


def test_equal_trajectories_are_refused():
    with pytest.raises(QueryError, match="all trajectories are the same"):
        points(np.ones((50, 12)), by_shape=False)

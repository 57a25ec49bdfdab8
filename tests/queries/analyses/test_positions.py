"""Loss by position and step equals plain SQL; slopes equal planted ones, and bands cover them."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from queries import GroupError, Store, in_context_score, position_slope, positions
from queries.analyses.positions import position_edges
from queries.stats.bands import t_quantile
from tests.queries.support.simulated import blank_store, with_losses
from tests.queries.support.stores import PlainSql

SLOPE = -0.4
RUNS = 200


def test_ranges_are_those_of_plain_sql(store: Store, plain: PlainSql) -> None:
    found = positions(store, where="is_word_start", per_doubling=1).frame
    theirs = plain.connection.sql("""
        select pow(2, floor(log2("position")))::bigint as first_position, checkpoint,
            avg(loss) as mean_loss, count(*) as n_tokens
        from facts where is_word_start group by all order by all""").df()
    assert found["first_position"].tolist() == theirs["first_position"].tolist()
    assert found["checkpoint"].tolist() == theirs["checkpoint"].tolist()
    assert found["n_tokens"].tolist() == theirs["n_tokens"].tolist()
    np.testing.assert_allclose(found["mean_loss"], theirs["mean_loss"], rtol=1e-6)
    assert (found["last_position"] == 2 * found["first_position"] - 1).all()


def test_edges_are_integers_and_cover_every_position() -> None:
    assert position_edges(8, 1).tolist() == [1, 2, 4, 8, 16]
    assert position_edges(7, 1).tolist() == [1, 2, 4, 8]
    assert position_edges(1, 3).tolist() == [1, 2]
    for last in (1, 2, 3, 500, 1023, 1024):
        for per_doubling in (1, 2, 5):
            edges = position_edges(last, per_doubling)
            assert edges[0] == 1 and edges[-2] <= last < edges[-1]
            assert (np.diff(edges) > 0).all()


@pytest.fixture(scope="module")
def sloped(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A hundred runs of one slope, as if they were checkpoints; and one without a slope."""
    root = tmp_path_factory.mktemp("stores") / "sloped"
    n_tokens = blank_store(root, sources=50)
    tokens = pq.read_table(root / "tokens.parquet").to_pandas()
    docs = pq.read_table(root / "docs.parquet").to_pandas()
    source = tokens.merge(docs, on="doc")["source"].astype("category").cat.codes.to_numpy()
    x, rng = np.log2(tokens["position"].to_numpy())[:, None], np.random.default_rng(0)
    level, own = rng.normal(0, 0.3, (2, 50, RUNS))
    losses = 6 + (SLOPE + own[source] / 3) * x + level[source]
    losses += rng.exponential(1, (n_tokens, RUNS))
    losses[:, 0] = 5
    return with_losses(root, losses)


def test_slopes_are_those_of_least_squares_and_bands_cover_them(sloped: Store) -> None:
    found = position_slope(sloped).frame
    position = sloped.evaluate("position").to_numpy()
    losses = sloped.matrix.rows(np.arange(len(position))).astype(float)
    expected = np.polyfit(np.log2(position), losses, 1)[0]
    np.testing.assert_allclose(found["slope"], expected, atol=1e-5)
    covered = ((found["low"] <= SLOPE) & (found["high"] >= SLOPE))[1:]
    assert 0.9 <= covered.mean() <= 0.98
    assert abs(found["slope"][0]) < 1e-5


def test_the_standard_error_is_that_of_leaving_out_each_source(sloped: Store) -> None:
    frame = position_slope(sloped).frame
    x, source = np.log2(sloped.evaluate("position").to_numpy()), sloped.source_of_row
    losses = sloped.matrix.rows(np.arange(len(x)))[:, 1:].astype(float)
    kept = [source != s for s in range(50)]
    moved = [np.polyfit(x[k], losses[k], 1)[0] for k in kept] - frame["slope"].to_numpy()[1:]
    error = np.sqrt(49 / 50 * (moved**2).sum(axis=0))
    free = t_quantile(frame["n_docs_effective"][0] - 1)
    reach = (frame["high"] - frame["slope"]).to_numpy()[1:]
    np.testing.assert_allclose(reach, free * error, rtol=1e-4)


def test_a_group_of_one_position_has_no_slope(store: Store) -> None:
    with pytest.raises(GroupError, match="have position 3: widen"):
        position_slope(store, where="position = 3")
    with pytest.raises(GroupError, match="expected at least 1"):
        positions(store, per_doubling=0)


def test_the_in_context_score_is_a_difference(store: Store) -> None:
    found = in_context_score(store, late=9, early=3, where="word_start").frame
    expected = store.difference("position = 9 and is_word_start", "position = 3 and is_word_start")
    assert found.equals(expected)

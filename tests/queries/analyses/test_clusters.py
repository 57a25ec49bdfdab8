"""Clusters: planted ones are recovered, and their number; their means and profiles."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import adjusted_rand_score

from queries import QueryError, Store, clusters
from queries.analyses.clusters import GIVEN, log_bins
from tests.queries.support.simulated import blank_store, with_losses
from tests.queries.support.stores import build_store

CLUSTERS = 4
STEPS = 30


@pytest.fixture(scope="module")
def truth_and_store(tmp_path_factory) -> tuple[np.ndarray, Store]:
    """Tokens that fall early, late, that rise and fall back, and that rise; levels of their own."""
    root = tmp_path_factory.mktemp("stores") / "planted"
    n_tokens = blank_store(root, sources=60, types=60)
    rng = np.random.default_rng(0)
    types = token_types(root)
    truth = types % CLUSTERS
    at = np.arange(STEPS) / (STEPS - 1)
    place = np.log10(1 + 10 * np.arange(STEPS)) / np.log10(1 + 10 * (STEPS - 1))
    shapes = np.stack(
        [
            np.clip(1 - 2 * place, 0, 1),
            np.clip(4 - 4 * place, 0, 1),
            np.exp(-(((place - 0.75) / 0.1) ** 2)),
            at,
        ]
    )
    level, height = rng.uniform(0, 6, (n_tokens, 1)), rng.uniform(1.5, 4, (n_tokens, 1))
    losses = 1 + level + height * shapes[truth] + rng.normal(0, 0.2, (n_tokens, STEPS))
    return truth, with_losses(root, losses)


def token_types(root):

    return pq.read_table(root / "tokens.parquet")["token_id"].to_numpy()


@pytest.fixture(scope="module")
def found(truth_and_store):
    return clusters(truth_and_store[1])


def test_planted_clusters_and_their_number_are_recovered(truth_and_store, found):
    truth, _ = truth_and_store
    assert len(found.frame) == CLUSTERS
    assert adjusted_rand_score(truth, found.members["cluster"]) >= 0.9
    line = found.stability.set_index("k").loc[CLUSTERS]
    assert line["stability"] > 0.95 and line["gap"] < min(0.4, line["null_gap"])
    assert line["accepted"] and found.verdict == ""
    assert found.frame["n_tokens"].is_monotonic_decreasing
    assert found.frame["n_tokens"].sum() == len(truth)


def test_a_given_number_is_taken_and_level_is_another_question(truth_and_store):
    truth, store = truth_and_store
    given = clusters(store, k=CLUSTERS)
    assert given.stability.empty and given.verdict == GIVEN
    assert adjusted_rand_score(truth, given.members["cluster"]) >= 0.9
    by_level = clusters(store, k=2, compared="level")
    means = store.matrix.rows(np.arange(len(truth))).mean(axis=1)
    high = by_level.members["cluster"] == by_level.frame.set_index("cluster")["last_loss"].idxmax()
    assert means[high].mean() - means[~high].mean() > 2.5
    assert adjusted_rand_score(truth, by_level.members["cluster"]) < 0.2


def test_a_continuum_is_one_cluster_and_can_be_divided_nevertheless(tmp_path):
    n_tokens = blank_store(tmp_path / "cloud", sources=20)
    rng = np.random.default_rng(1)
    waves = np.linalg.qr(rng.normal(0, 1, (12, 4)))[0].T
    losses = 5 + rng.normal(0, 0.5, (n_tokens, 4)) @ waves * 2
    store = with_losses(tmp_path / "cloud", losses)
    found = clusters(store, compared="level")
    assert found.verdict.startswith("no clusters: a continuum; ")
    assert found.frame[["cluster", "n_tokens", "share"]].values.tolist() == [[1, n_tokens, 1]]
    assert found.features.empty and (found.members["cluster"] == 1).all()
    assert not found.stability["accepted"].any() and len(found.typical) > 5
    assert found.means["mean_loss"].tolist() == pytest.approx(losses.mean(axis=0).tolist())
    assert len(clusters(store, compared="level", k=3).frame) == 3


def test_means_and_shapes_are_those_of_the_members(truth_and_store, found):
    _, store = truth_and_store
    rows = found.members.loc[found.members["cluster"] == 2, "row"].to_numpy()
    mean = found.means[found.means["cluster"] == 2].reset_index(drop=True)
    ours = store.trajectory(rows)
    assert mean["mean_loss"].tolist() == pytest.approx(ours["mean_loss"].tolist())
    assert mean["low"].tolist() == pytest.approx(ours["low"].tolist())
    losses = store.matrix.rows(rows).astype(float)
    curves = losses @ log_bins(np.array(store.steps))
    shapes = (losses - curves.mean(axis=1)[:, None]) / curves.std(axis=1)[:, None]
    assert mean["shape"].tolist() == pytest.approx(shapes.mean(axis=0).tolist(), abs=1e-4)


def test_typical_tokens_are_members_of_different_types(truth_and_store, found):
    _, store = truth_and_store
    cluster_of = found.members.set_index("row")["cluster"]
    for cluster, lines in found.typical.groupby("cluster"):
        assert (cluster_of[lines["row"]] == cluster).all()
        assert len(set(store.token_ids[lines["row"]])) == len(lines) > 5
        assert lines["distance"].is_monotonic_increasing
    assert len(store.context(found.typical["row"])) == len(found.typical)


def test_over_represented_groups_are_those_planted(truth_and_store, found):
    """Each cluster is 15 of 60 token types, wholly."""
    truth, store = truth_and_store
    for cluster in found.frame["cluster"]:
        lines = found.features[
            (found.features["cluster"] == cluster) & (found.features["share"] > 0.5)
        ]
        of_cluster = truth[found.members.loc[found.members["cluster"] == cluster, "row"]]
        planted = np.bincount(of_cluster).argmax()
        assert set(lines["feature"]) == {"token type"} and len(lines) >= 14
        for line in lines.itertuples():
            rows = store.members(line.clause)
            assert (truth[rows] == planted).all()
            in_cluster = (found.members["cluster"] == cluster).to_numpy()
            assert line.share == pytest.approx(in_cluster[rows].mean())
            assert line.rest_share == pytest.approx(np.delete(in_cluster, rows).mean())
    assert found.features["q_value"].max() <= 0.05


def test_clusters_of_a_group_become_a_feature(truth_and_store):
    _, store = truth_and_store
    members = clusters(store, where="is_word_start", k=3).members
    store.features.save("mine", members["cluster"], "by shape", rows=members["row"])
    first = members.loc[members["cluster"] == 1, "row"]
    assert store.members("mine = 1").tolist() == first.tolist()
    assert store.members("mine is not null").tolist() == members["row"].tolist()
    store.features.delete("mine")


def test_bins_are_of_equal_width_in_log_step():
    steps = np.array([0, 9, 99, 100, 102, 999])
    weights = log_bins(steps)
    assert weights.shape == (6, 4)
    assert weights[2:5, 2].tolist() == pytest.approx([1 / 3] * 3)
    np.testing.assert_allclose(weights.sum(axis=0), 1)


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ({"k": 1}, "got 1 clusters"),
        ({"k": 5, "where": "row < 3"}, "got 5 clusters for 3 tokens"),
        ({"where": "row < 50"}, "50 tokens are too few"),
        ({"compared": "colour"}, "expected shape or level"),
    ],
)
def test_what_cannot_be_clustered_gets_a_sentence(store, how, says):
    with pytest.raises(QueryError, match=says):
        clusters(store, **how)


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_tokens_that_are_alike_have_no_more_clusters_than_there_are(tmp_path):
    n_tokens = blank_store(tmp_path / "one", sources=2)
    losses = np.ones((n_tokens, 4))
    with pytest.raises(QueryError, match="all trajectories are the same"):
        clusters(with_losses(tmp_path / "one", losses), k=2)
    losses[::2, 1] = 3
    blank_store(tmp_path / "two", sources=2)
    with pytest.raises(QueryError, match="form 2 clusters at most: ask for fewer"):
        clusters(with_losses(tmp_path / "two", losses), k=3)


def test_two_checkpoints_have_no_shape(tmp_path):
    n_tokens = blank_store(tmp_path / "two", sources=2)
    with pytest.raises(QueryError, match="at least three checkpoints, this store has 2"):
        clusters(with_losses(tmp_path / "two", np.ones((n_tokens, 2))))


def test_a_document_with_one_token_of_the_group_gets_a_sentence(tmp_path):
    store = Store(build_store(tmp_path / "two", sources=2, longest=200))
    first = int((store.source_of_row == store.source_of_row[0]).sum())
    with pytest.raises(QueryError, match="hold 1 tokens of the group, too few to choose a number"):
        clusters(store, where=f"row <= {first}")
    assert len(clusters(store, where=f"row <= {first}", k=2).frame) == 2


def test_one_document_gives_no_evidence_on_groups(tmp_path):
    found = clusters(Store(build_store(tmp_path / "one", sources=1, longest=200)), k=2)
    assert len(found.frame) == 2 and found.features.empty

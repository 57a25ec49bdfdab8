"""Overlap of two regions' lists: counts by plain SQL, and both nulls on stores with known truth."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from queries import GroupError, QueryError, Store, StoreError, overlap
from queries.analyses.overlap import usual_regions
from tests.queries.support.simulated import blank_store, with_losses
from tests.queries.support.stores import build_store

REGIONS = [(20 * i, 20 * i + 10) for i in range(30)]
"""Pairs of checkpoints that no other pair has."""


def line(frame: pd.DataFrame, first: str, second: str) -> pd.Series:
    sides = (frame["set_in_first"] == first) & (frame["set_in_second"] == second)
    return frame[sides].squeeze()


@pytest.fixture(scope="module")
def restless(tmp_path_factory) -> Store:
    """Nothing but noise, of which some token types have much more than others."""
    root = tmp_path_factory.mktemp("stores") / "restless"
    n_tokens = blank_store(root, sources=20, types=400)
    rng = np.random.default_rng(1)
    types = pd.read_parquet(root / "tokens.parquet")["token_id"].to_numpy()
    scale = rng.lognormal(0, 1, 400)[types]
    shared = rng.normal(0, 1, (400, 60))[types]  # what all occurrences of a type do
    losses = 9 + scale[:, None] * (shared + rng.normal(0, 1, (n_tokens, 60))) / 9
    return with_losses(root, losses)


def test_counts_are_those_of_plain_sql(store, plain):
    found = overlap(store, (0, 8), (8, 400), where="is_word_start", k=6).frame
    fell, rose = (
        set(plain.changes(*r, "is_word_start").sort_values("change", ascending=a)["row"][:6])
        for r, a in (((0, 8), True), ((8, 400), False))
    )
    one = line(found, "decreased", "increased")
    n_tokens = len(store.members("is_word_start"))
    assert one["shared"] == len(fell & rose)
    assert one["expected"] == pytest.approx(36 / n_tokens)
    chance = stats.hypergeom.pmf(range(one["shared"], 7), n_tokens, 6, 6).sum()
    assert one["p_value"] == pytest.approx(chance)


def test_lists_hold_only_what_changed_that_way(store, plain):
    found = overlap(store, (0, 8), (8, 400), k=10_000).frame
    change = plain.changes(0, 8, "true")["change"]
    assert line(found, "decreased", "decreased")["k_first"] == (change < 0).sum()
    assert line(found, "increased", "decreased")["k_first"] == (change > 0).sum()


def test_types_are_compared_by_their_mean_change(store, plain):
    found = overlap(store, (0, 8), (8, 400), k=3, min_count=10).frame
    sets = []
    for region in ((0, 8), (8, 400)):
        changes = plain.changes(*region, "true").assign(token_id=store.token_ids)
        grouped = changes.groupby("token_id")["change"].agg(["mean", "size"])
        means = grouped[grouped["size"] >= 10]["mean"]
        sets.append((set(means.nsmallest(3).index), set(means.nlargest(3).index)))
    assert line(found, "decreased", "increased")["shared"] == len(sets[0][0] & sets[1][1])
    assert line(found, "increased", "increased")["shared"] == len(sets[0][1] & sets[1][1])
    assert line(found, "increased", "increased")["expected"] == pytest.approx(9 / len(means))


def test_other_regions_share_no_checkpoint_and_the_nearest_come_first():
    steps = np.arange(0, 200, 10)
    found = usual_regions(steps, (100, 120), (60, 90))
    assert found == [(130, 150), (160, 180), (30, 50), (0, 20)]
    assert usual_regions(steps, (0, 100), (0, 10)) == []
    assert len(usual_regions(np.arange(500), (100, 102), (110, 112))) == 20


@pytest.mark.parametrize(("k", "min_count"), [(30, None), (12, 2)])
def test_noise_is_as_usual_but_not_as_chance_has_it(restless, k, min_count):
    pairs = [(REGIONS[i], REGIONS[(7 * i + 11) % 30]) for i in range(30)]
    frames = [overlap(restless, a, b, k=k, min_count=min_count).frame for a, b in pairs if a != b]
    found = pd.concat(frames)
    assert (found["p_value"] < 0.05).mean() > 0.2
    assert (found["p_usual"] < 0.05).mean() <= 0.075  # of 120
    assert (found["p_usual"] < 0.25).mean() == pytest.approx(0.2, abs=0.1)
    gap = found["shared"] - found["expected_usual"]
    assert abs(gap.mean()) < 3 * gap.std() / np.sqrt(len(gap))


def test_types_that_move_twice_are_found(tmp_path, restless):
    rows = np.arange(restless.manifest.n_tokens)
    losses = restless.matrix.rows(rows).astype(float)
    moved = np.isin(restless.token_ids, np.arange(8))
    losses[moved, 21] += 3
    losses[moved, 31] += 3
    blank_store(tmp_path / "planted", sources=20, types=400)
    planted = with_losses(tmp_path / "planted", losses)
    found = overlap(planted, (200, 210), (300, 310), k=50).frame
    assert line(found, "increased", "increased")["p_usual"] < 0.001
    assert line(found, "increased", "decreased")["p_usual"] > 0.05
    types = overlap(planted, (200, 210), (300, 310), k=8, min_count=2).frame
    assert line(types, "increased", "increased")["p_usual"] < 0.01


def test_two_runs(folder, store, tmp_path):
    twin = build_store(tmp_path / "twin")
    alone = overlap(store, (0, 8), (16, 400), k=5).frame
    pd.testing.assert_frame_equal(
        overlap(store, (0, 8), (16, 400), k=5, other=Store(twin)).frame, alone
    )
    unlike = Store(build_store(tmp_path / "unlike", seed=1))
    with pytest.raises(StoreError, match="hold different tokens"):
        overlap(store, (0, 8), (16, 400), other=unlike)


def test_without_another_region_nothing_is_said_of_what_is_usual(store):
    found = overlap(store, (0, 8), (8, 1000), k=5).frame
    assert found[["expected_usual", "p_usual"]].isna().all(axis=None)
    assert (found["n_regions"] == 1).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"k": 0}, "expected at least 1"),
        ({"min_count": 10_000}, "no token type occurs 10,000 times"),
        ({"second_region": (8, 8)}, "empty"),
        ({"second_region": (8, 399)}, "the nearest are 16 and 400"),
    ],
)
def test_what_cannot_be_compared_gets_a_sentence(store, options, sentence):
    asked = {"region": (0, 8), "second_region": (8, 400)} | options
    with pytest.raises(QueryError, match=sentence):
        overlap(store, **asked)


def test_a_group_without_tokens(store):
    with pytest.raises(GroupError, match="selects none"):
        overlap(store, (0, 8), (8, 400), where="false")

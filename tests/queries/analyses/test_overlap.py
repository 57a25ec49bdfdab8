"""Overlap of two regions' lists: counts by plain SQL, and placebos on stores with known truth."""

import numpy as np
import pandas as pd
import pytest

from queries import GroupError, QueryError, Store, StoreError, overlap
from tests.queries.support.simulated import blank_store, with_losses
from tests.queries.support.stores import build_store

PAIRS = [((10 * i, 10 * i + 20), (10 * i + 30, 10 * i + 50)) for i in range(0, 55, 2)]


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
    assert not np.isfinite(one["needed"]) or one["needed"] <= 6


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


@pytest.mark.parametrize(("k", "min_count"), [(30, None), (12, 2)])
def test_noise_is_as_in_placebos_but_not_as_chance_has_it(restless, k, min_count):
    found = pd.concat([overlap(restless, *pair, k=k, min_count=min_count).frame for pair in PAIRS])
    assert found["n_placebos"].min() > 40
    assert (found["shared"] > 2 * found["expected"] + 1).mean() > 0.1
    assert (found["p_placebo"] < 0.05).mean() <= 0.05
    gap = found["shared"] - found["expected_placebo"]
    assert abs(gap.mean()) < 3 * gap.std() / np.sqrt(len(gap))
    assert (found["verdict"] == "").all()


def test_types_that_move_twice_are_found(tmp_path, restless):
    rows = np.arange(restless.manifest.n_tokens)
    losses = restless.matrix.rows(rows).astype(float)
    moved = np.isin(restless.token_ids, np.arange(8))
    losses[moved, 21] += 3
    losses[moved, 31] += 3
    blank_store(tmp_path / "planted", sources=20, types=400)
    planted = with_losses(tmp_path / "planted", losses)
    found = overlap(planted, (200, 210), (300, 310), k=50).frame
    both = line(found, "increased", "increased")
    assert both["p_placebo"] == pytest.approx(1 / (both["n_placebos"] + 1))
    assert both["shared"] >= both["needed"] > both["expected_placebo"]
    assert line(found, "increased", "decreased")["p_placebo"] > 0.05
    types = overlap(planted, (200, 210), (300, 310), k=8, min_count=2).frame
    assert line(types, "increased", "increased")["p_placebo"] < 0.05


def test_placebos_are_the_same_lists_elsewhere(restless):
    found = overlap(restless, (300, 320), (330, 350), k=40).frame
    steps = np.array(restless.steps)
    at = np.searchsorted(steps, [300, 320, 330, 350])
    counts = []
    for by in range(-at[0], len(steps) - at[3]):
        moved = at + by
        columns = {*range(moved[0], moved[1] + 1), *range(moved[2], moved[3] + 1)}
        if columns.isdisjoint({*range(at[0], at[1] + 1), *range(at[2], at[3] + 1)}):
            a, b, c, d = (restless.matrix.column(step) for step in steps[moved])
            counts.append(len(np.intersect1d(np.argsort(b - a)[:40], np.argsort(d - c)[:40])))
    fell = line(found, "decreased", "decreased")
    assert fell["n_placebos"] == len(counts) > 40
    assert fell["expected_placebo"] == pytest.approx(np.mean(counts))


def test_two_runs(folder, store, tmp_path):
    twin = build_store(tmp_path / "twin")
    alone = overlap(store, (0, 8), (16, 400), k=5).frame
    pd.testing.assert_frame_equal(
        overlap(store, (0, 8), (16, 400), k=5, other=Store(twin)).frame, alone
    )
    unlike = Store(build_store(tmp_path / "unlike", seed=1))
    with pytest.raises(StoreError, match="hold different tokens"):
        overlap(store, (0, 8), (16, 400), other=unlike)


def test_with_few_placebos_it_cannot_tell(store):
    found = overlap(store, (0, 8), (8, 1000), k=5).frame
    assert found[["p_placebo", "needed"]].isna().all(axis=None)
    assert (found["n_placebos"] == 0).all() and found["expected_placebo"].isna().all()
    assert (found["verdict"] == "cannot tell: 0 placebo pairs, at least 10 are needed").all()


def test_two_runs_are_compared_at_their_common_steps(restless, tmp_path):
    rows = np.arange(restless.manifest.n_tokens)
    losses = restless.matrix.rows(rows)[:, ::2]
    n_tokens = blank_store(tmp_path / "sparse", sources=20, types=400)
    assert n_tokens == len(rows)
    sparse = with_losses(tmp_path / "sparse", losses, every=20)
    found = overlap(restless, (200, 240), (260, 300), other=sparse, k=30).frame
    alone = overlap(sparse, (200, 240), (260, 300), k=30).frame
    pd.testing.assert_frame_equal(found, alone)
    unknown = overlap(restless, (210, 240), (260, 300), other=sparse, k=30).frame
    assert (unknown["n_placebos"] == 0).all()


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


def test_regions_that_share_checkpoints_are_not_compared(demo: Store) -> None:
    frame = overlap(demo, (1380, 1640), (1500, 2300)).frame
    assert frame["verdict"].str.startswith("cannot tell: the regions share checkpoints").all()
    assert frame[["p_placebo", "needed"]].isna().all(axis=None)

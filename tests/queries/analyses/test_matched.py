"""Matching removes a planted confound; its bands cover the truth; what it changed is reported."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from queries import GroupError, QueryError, matched
from queries.engine.matrix import LossMatrix
from queries.engine.sums import Summation
from queries.stats.bands import Band, difference_band
from queries.stats.matching import ControlSums, Strata, matched_bands
from tests.queries.support.simulated import blank_store, with_losses

EFFECT = 0.5
RUNS, TEXTS, STRATA = 100, 40, 6


def made_up(seed: int) -> tuple[Summation, Strata, np.ndarray, np.ndarray]:
    """Losses that rise with the stratum, as does the share of the group: the raw gap is too large.

    A hundred runs stand side by side as if they were checkpoints.
    """
    rng = np.random.default_rng(seed)
    source = np.repeat(np.arange(40), rng.integers(20, 120, 40))
    stratum = rng.integers(0, STRATA, len(source))
    in_group = rng.random(len(source)) < 0.02 + 0.08 * stratum * rng.uniform(0.5, 1.5, 40)[source]
    level, gap = rng.normal(0, 0.3, (2, 40, RUNS))
    losses = 3 + stratum[:, None] + level[source] + EFFECT * in_group[:, None]
    losses += gap[source] * in_group[:, None] + rng.exponential(1, losses.shape) - 1
    summation = Summation(LossMatrix(np.arange(RUNS), [losses.astype(np.float32)]), source)
    rows, others = np.flatnonzero(in_group), np.flatnonzero(~in_group)
    strata = Strata(STRATA, rows, stratum[rows], others, stratum[others])
    return summation, strata, rows, others


def bands(summation: Summation, strata: Strata) -> tuple[Band, Band]:
    source = summation.source_of_row
    sums = ControlSums(
        summation.by_slot(strata.controls, strata.of_control, strata.n),
        summation.by_slot(strata.controls, source[strata.controls], 40, strata.weights),
    )
    return matched_bands(strata, strata.weights, source, summation.group(strata.rows), sums)


def test_bands_cover_the_effect_and_the_unmatched_difference_does_not():
    covered, controls, raw = [], [], []
    for seed in range(TEXTS):
        summation, strata, rows, others = made_up(seed)
        difference, control = bands(summation, strata)
        covered += [(difference.low <= EFFECT) & (difference.high >= EFFECT)]
        truth = 3 + (strata.shares * np.arange(STRATA)).sum()
        controls += [(control.low <= truth) & (control.high >= truth)]
        before = difference_band(*summation.pair(rows, others))
        raw += [(before.low <= EFFECT) & (before.high >= EFFECT)]
        assert difference.estimate.mean() == pytest.approx(EFFECT, abs=0.15)
        assert before.estimate.mean() > 2 * EFFECT
    assert 0.92 <= np.mean(covered) <= 0.97
    # The shares are fixed in these runs, and the band of the curve takes them for sampled.
    assert np.mean(controls) >= 0.93
    assert np.mean(raw) < 0.05


def test_the_difference_is_the_mean_over_strata_and_its_influences_those_of_the_formula():
    summation, strata, _, _ = made_up(0)
    losses = summation.matrix.blocks[0].astype(float)
    difference, control = bands(summation, strata)
    mean = np.array(
        [losses[strata.controls[strata.of_control == s]].mean(axis=0) for s in range(STRATA)]
    )
    own = losses[strata.rows]
    expected = own.mean(axis=0) - mean[strata.of_row].mean(axis=0)
    np.testing.assert_allclose(difference.estimate, expected, atol=1e-5)
    np.testing.assert_allclose(control.estimate, mean[strata.of_row].mean(axis=0), atol=1e-5)
    influence = np.zeros((40, RUNS))
    np.add.at(
        influence,
        summation.source_of_row[strata.rows],
        (own - mean[strata.of_row] - expected) / len(own),
    )
    off = strata.weights[:, None] * (losses[strata.controls] - mean[strata.of_control])
    np.add.at(influence, summation.source_of_row[strata.controls], -off)
    # The jackknife is a little wider than the plain error of these influences.
    plain = np.sqrt(40 / 39 * (influence**2).sum(axis=0))
    assert (
        (difference.standard_error / plain > 1) & (difference.standard_error / plain < 1.15)
    ).all()


@pytest.fixture(scope="module")
def confounded(tmp_path_factory):
    """Loss falls with the position, and most of the group `rare` stands late."""
    root = tmp_path_factory.mktemp("stores") / "confounded"
    n_tokens = blank_store(root, sources=60)
    position = pq.read_table(root / "tokens.parquet")["position"].to_numpy()
    rng = np.random.default_rng(0)
    rare = rng.random(n_tokens) < position / 50
    losses = 5 - 0.1 * position[:, None] + rng.normal(0, 0.3, (n_tokens, 24))
    losses[:, 20] += np.where(rare, EFFECT, 0)
    store = with_losses(root, losses)
    store.features.save("rare", rare)
    return store


def test_a_planted_confound_is_removed_and_the_effect_stays(confounded):
    found = matched(confounded, "rare", on=["position"], bins=20)
    line = found.difference.set_index("checkpoint")
    assert line.loc[0, "before_high"] < -0.5
    assert line.loc[0, "low"] < 0 < line.loc[0, "high"] < 0.1
    assert line.loc[200, "low"] < EFFECT < line.loc[200, "high"]
    position = found.balance.squeeze()
    assert position["before"] > 0.5 and abs(position["after"]) < 0.1
    means = found.trajectories.set_index(["token_group", "checkpoint"])["mean_loss"]
    gap = means["matched_group", 200] - means["control", 200]
    assert gap == pytest.approx(line.loc[200, "difference"])
    raw = means["group", 200] - means["rest", 200]
    assert raw == pytest.approx(line.loc[200, "before"])


def test_tokens_without_a_control_are_counted_and_left_out(confounded):
    found = matched(confounded, "position > 30 or row < 100", on=["position"], bins=1_000)
    late = len(confounded.members("position > 30"))
    early = confounded.members("row < 100 and position <= 30")
    assert found.n_unmatched == late
    shown = found.trajectories.groupby("token_group")["n_tokens"].first()
    assert shown["matched_group"] == len(early)
    assert shown["group"] == len(early) + late
    assert found.balance["after"].squeeze() == pytest.approx(0, abs=1e-9)


def test_texts_and_truths_are_matched_exactly(confounded):
    found = matched(confounded, "rare", on=["token_str", "is_word_start", "initial_loss"])
    lines = found.balance.set_index("covariate")
    assert lines.loc[["token_str", "is_word_start"], "measure"].tolist() == ["distance"] * 2
    assert lines.loc[["token_str", "is_word_start"], "after"].max() < 1e-9
    assert lines.loc["token_str", "before"] > 0.01
    assert lines.loc["initial_loss", "after"] < lines.loc["initial_loss", "before"] or (
        abs(lines.loc["initial_loss", "after"]) < 0.2
    )


def test_missing_values_match_each_other(confounded):
    found = matched(confounded, "rare", on=["case when position < 9 then null else position end"])
    assert found.n_unmatched == 0
    assert abs(found.balance["after"].squeeze()) < 0.3


@pytest.mark.parametrize(
    ("group", "how", "error", "says"),
    [
        ("true", {}, GroupError, "leaves no other token"),
        ("rare", {"on": []}, GroupError, "no covariate was named"),
        ("rare", {"on": ["nothing"]}, GroupError, "no column nothing"),
        ("rare", {"bins": 0}, QueryError, "got 0 bins"),
        ("position = 2", {"on": ["position"]}, QueryError, "no token of `position = 2` has 5 con"),
    ],
)
def test_what_cannot_be_matched_gets_a_sentence(confounded, group, how, error, says):
    with pytest.raises(error, match=says):
        matched(confounded, group, **how)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained model that learns nothing more: the group's tokens are harder, and losses noisy."""
    root = tmp_path_factory.mktemp("stores") / "trained"
    n_tokens = blank_store(root, sources=60)
    rng = np.random.default_rng(1)
    hard = rng.random(n_tokens) < 0.3
    level = 4 + rng.normal(0, 1, n_tokens) + hard
    store = with_losses(root, level[:, None] + rng.normal(0, 1, (n_tokens, 36)))
    store.features.save("hard", hard)
    return store


def test_a_constant_gap_is_matched_away_at_all_checkpoints(trained):
    found = matched(trained, "hard", on=["initial_loss"]).difference
    assert (found["verdict"] == "").all()
    assert ((found["low"] < 0) & (found["high"] > 0)).mean() > 0.85
    assert abs(found["difference"].mean()) < 0.1 < 0.9 < found["before"].mean()


def test_while_losses_fall_the_first_checkpoints_are_not_compared(trained, tmp_path):
    losses = trained.matrix.rows(np.arange(trained.manifest.n_tokens)).astype(float)
    losses += 5 * np.exp(-np.arange(36) / 6)
    blank_store(tmp_path / "learning", sources=60)
    store = with_losses(tmp_path / "learning", losses)
    found = matched(store, "seen_before = 0", on=["initial_loss"])
    first, later = found.difference[:12], found.difference[12:]
    assert first[["difference", "low", "high", "detectable"]].isna().all(axis=None)
    assert first["verdict"].str.startswith("cannot tell: initial_loss is measured there").all()
    assert first[["before", "before_low", "before_high"]].notna().all(axis=None)
    assert later.drop(columns="verdict").notna().all(axis=None) and (later["verdict"] == "").all()
    counts = found.trajectories.set_index(["token_group", "checkpoint"])["n_tokens"]
    assert counts["matched_group", 0] == 0 < counts["matched_group", 350]


def test_few_checkpoints_have_no_initial_loss(tmp_path):
    n_tokens = blank_store(tmp_path / "few", sources=8)
    store = with_losses(tmp_path / "few", np.ones((n_tokens, 3)))
    with pytest.raises(QueryError, match="initial_loss: 3 checkpoints are too few"):
        matched(store, "is_word_start")

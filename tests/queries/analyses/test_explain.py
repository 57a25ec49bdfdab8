"""The leaderboard: planted groups top it, the false discovery rate holds, its numbers are right."""

import numpy as np
import pandas as pd
import pytest

from queries import QueryError, explain
from queries.stats.two_way import false_discovery
from tests.queries.support.simulated import blank_store, with_losses

TRIALS = 30


@pytest.fixture(scope="module")
def quiet(tmp_path_factory):
    """Thirty regions in which documents and tokens move, skewed as losses do, and no group does."""
    root = tmp_path_factory.mktemp("stores") / "quiet"
    n_tokens = blank_store(root, sources=40, types=60)
    rng = np.random.default_rng(0)
    source = np.minimum(np.arange(n_tokens) // 45, 39)
    moves = rng.exponential(1, (n_tokens, TRIALS)) + rng.normal(0, 0.3, (40, TRIALS))[source]
    losses = np.full((n_tokens, 2 * TRIALS), 10.0)
    losses[:, 1::2] += moves
    return with_losses(root, losses)


def test_where_no_group_moved_hardly_any_is_named(quiet):
    found = [explain(quiet, (20 * i, 20 * i + 10)).frame for i in range(TRIALS)]
    assert np.mean([(frame["q_value"] < 0.05).any() for frame in found]) <= 0.075
    p_values = pd.concat(found)["p_value"].dropna()
    assert len(p_values) > 8 * TRIALS
    assert 0.005 < (p_values < 0.05).mean() < 0.07


def test_a_claim_about_these_very_words_is_not_made_of_noise_either(quiet):
    found = [explain(quiet, (20 * i, 20 * i + 10), claim="documents").frame for i in range(TRIALS)]
    assert found[0]["p_value"].notna().sum() > 40
    assert np.mean([(frame["q_value"] < 0.05).any() for frame in found]) <= 0.075


def planted(tmp_path, quiet, clause, by):
    losses = quiet.matrix.rows(np.arange(quiet.manifest.n_tokens)).astype(float)
    losses[quiet.members(clause), 1] += by
    blank_store(tmp_path / "planted", sources=40, types=60)
    return with_losses(tmp_path / "planted", losses)


@pytest.mark.parametrize(
    ("clause", "by", "claim"),
    [
        ("token_id = 7", 2.0, "documents"),
        ("is_word_start", 0.6, "both"),
        ("seen_before = 0", -0.8, "both"),
        ("position between 8 and 15", 0.8, "both"),
        ("source = 'source 3'", 3.0, "types"),
    ],
)
def test_a_planted_group_tops_the_list(tmp_path, quiet, clause, by, claim):
    found = explain(planted(tmp_path, quiet, clause, by), (0, 10), claim=claim).frame
    assert clause in found.head(3)["clause"].tolist()  # others hold the same tokens, or the rest
    line = found[found["clause"] == clause].squeeze()
    assert line["q_value"] < 0.01
    assert line["difference"] == pytest.approx(by, abs=0.7)


def test_each_line_is_what_its_clause_selects(demo):
    found = explain(demo, (1380, 1640)).frame
    assert found["p_value"].dropna().is_monotonic_increasing
    assert found["p_value"].isna().equals(found["verdict"] != "")
    assert not (found["q_value"] < found["p_value"]).any()
    changes = demo.zoom(1380, 1640).changes["change"].to_numpy(np.float64)
    lines = pd.concat([found.groupby("kind").head(3), found[found["token_group"] == "copyable"]])
    assert lines["kind"].nunique() == found["kind"].nunique() >= 7
    for line in lines.itertuples():
        rows = demo.members(line.clause)
        rest = np.delete(changes, rows)
        assert line.n_tokens == len(rows)
        assert line.mean_change == pytest.approx(changes[rows].mean(), abs=1e-6)
        assert line.difference == pytest.approx(changes[rows].mean() - rest.mean(), abs=1e-6)


def test_one_type_or_document_says_nothing_about_others(demo):
    found = explain(demo, (1380, 1640)).frame.set_index("kind")
    for kind, what in (("token type", "token types"), ("document", "source documents")):
        verdicts = found.loc[kind, "verdict"]
        assert verdicts.str.startswith("cannot tell: ").all()
        assert verdicts.str.contains(f"1.0 effective {what}").mean() > 0.9
        assert found.loc[kind, ["p_value", "q_value", "detectable"]].isna().all(axis=None)
    types = explain(demo, (1380, 1640), claim="documents").frame.set_index("kind")
    assert types.loc["token type", "p_value"].notna().any()
    assert types.loc["document", "p_value"].isna().all()
    documents = explain(demo, (1380, 1640), claim="types").frame.set_index("kind")
    assert documents.loc["document", "p_value"].notna().all()


def test_q_values_under_any_dependence_are_larger(demo):
    found = explain(demo, (1380, 1640), fdr="by").frame
    expected = false_discovery(found["p_value"].to_numpy(), "by")
    np.testing.assert_allclose(found["q_value"], expected)
    usual = explain(demo, (1380, 1640)).frame["q_value"]
    assert (found["q_value"] >= usual).sum() == usual.notna().sum()


def test_what_could_have_been_seen_is_seen_four_times_in_five(tmp_path, quiet):
    """Of the smallest difference that a test usually detects, in thirty regions."""
    line = explain(quiet, (0, 10)).frame.set_index("token_group").loc["word_start"]
    losses = quiet.matrix.rows(np.arange(quiet.manifest.n_tokens)).astype(float)
    losses[quiet.members("word_start"), 1::2] += line["detectable"]
    blank_store(tmp_path / "planted", sources=40, types=60)
    store = with_losses(tmp_path / "planted", losses)
    frames = [explain(store, (20 * i, 20 * i + 10)).frame for i in range(TRIALS)]
    found = [frame.set_index("token_group").loc["word_start", "p_value"] < 0.05 for frame in frames]
    assert 0.6 <= np.mean(found) <= 0.97


def test_what_cannot_be_explained_gets_a_sentence(store):
    with pytest.raises(QueryError, match="no group with 9,999 or more tokens"):
        explain(store, (0, 8), min_count=9_999)
    with pytest.raises(QueryError, match="expected the earlier step first"):
        explain(store, (8, 0))
    with pytest.raises(QueryError, match="there is no claim 'all': expected both or documents or"):
        explain(store, (0, 8), claim="all")
    with pytest.raises(QueryError, match="there is no method 'fdr': expected bh or by"):
        explain(store, (0, 8), fdr="fdr")

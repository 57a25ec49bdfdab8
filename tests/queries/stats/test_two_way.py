"""Two-way clustering: against plain loops, and its answers where nothing can be said."""

import numpy as np
import pytest
from scipy import stats

from queries.stats.two_way import Changes, components, false_discovery, group_differences


def sample(n: int = 4_000, docs: int = 12, types: int = 60, seed: int = 0) -> Changes:
    rng = np.random.default_rng(seed)
    source, token_type = rng.integers(0, docs, n), rng.integers(0, types, n)
    change = rng.normal(0, 0.5, docs)[source] + rng.normal(0, 0.3, types)[token_type]
    return Changes(change + rng.normal(0, 1, n), source, token_type)


def jackknife(changes: Changes, member: np.ndarray, cluster: np.ndarray) -> float:
    """The variance of the difference, by leaving out one cluster after another."""
    found = []
    for one in np.unique(cluster):
        kept = cluster != one
        y, group = changes.change[kept], member[kept]
        found.append(y[group].mean() - y[~group].mean())
    whole = changes.change[member].mean() - changes.change[~member].mean()
    n = len(found)
    return float((n - 1) / n * ((np.array(found) - whole) ** 2).sum())


def cell_variance(changes: Changes, member: np.ndarray) -> float:
    y = changes.change
    residual = np.where(
        member,
        (y - y[member].mean()) / member.sum(),
        -(y - y[~member].mean()) / (~member).sum(),
    )
    cells = changes.source * 1_000 + changes.token_type
    return float(sum(residual[cells == cell].sum() ** 2 for cell in np.unique(cells)))


def test_variances_are_those_of_plain_loops():
    changes = sample()
    member = changes.token_type % 3 == 0
    found = group_differences(np.where(member, 0, -1), 1, changes).iloc[0]
    by_document = jackknife(changes, member, changes.source)
    by_type = jackknife(changes, member, changes.token_type)
    own = max(by_document, by_type, by_document + by_type - cell_variance(changes, member))
    assert found["standard_error"] >= np.sqrt(own) * (1 - 1e-9)
    documents = group_differences(np.where(member, 0, -1), 1, changes, "documents").iloc[0]
    assert documents["standard_error"] >= np.sqrt(by_document) * (1 - 1e-9)
    quiet = Changes(changes.change * np.where(member, 30, 1), changes.source, changes.token_type)
    by_document = jackknife(quiet, member, changes.source)
    by_type = jackknife(quiet, member, changes.token_type)
    own = by_document + by_type - cell_variance(quiet, member)
    found = group_differences(np.where(member, 0, -1), 1, quiet).iloc[0]
    assert found["standard_error"] == pytest.approx(np.sqrt(own))
    assert found["difference"] == pytest.approx(
        quiet.change[member].mean() - quiet.change[~member].mean()
    )


def test_components_are_those_that_were_drawn():
    found = [components(sample(20_000, 200, 300, seed)) for seed in range(5)]
    assert np.mean([c.document for c in found]) == pytest.approx(0.25, rel=0.2)
    assert np.mean([c.token_type for c in found]) == pytest.approx(0.09, rel=0.2)
    assert np.mean([c.occurrence for c in found]) == pytest.approx(1.0, rel=0.03)


def test_a_single_type_or_document_says_nothing_about_others():
    changes = sample()
    types = group_differences(changes.token_type, 60, changes)
    assert types[["standard_error", "p_value"]].isna().all(axis=None)
    assert types["verdict"].str.startswith("cannot tell: 1.0 effective token types").all()
    assert types["difference"].notna().all()
    assert group_differences(changes.token_type, 60, changes, "documents")["p_value"].notna().all()
    assert group_differences(changes.source, 12, changes)["p_value"].isna().all()
    assert group_differences(changes.source, 12, changes, "types")["p_value"].notna().all()


def test_effective_documents_and_types_are_the_fewer_of_the_two_sides():
    changes = sample()
    member = changes.source < 9
    found = group_differences(np.where(member, 0, -1), 1, changes).iloc[0]
    counts = np.bincount(changes.source[~member])
    assert found["n_docs_effective"] == pytest.approx(counts.sum() ** 2 / (counts**2).sum())
    assert found["n_docs"] == 9 and found["n_tokens"] == member.sum()
    assert found["verdict"].startswith("cannot tell: 3.0 effective source documents")


def test_groups_of_one_kind_are_the_same_one_by_one():
    changes = sample()
    label = changes.token_type % 5
    together = group_differences(label, 5, changes)
    for group in range(5):
        alone = group_differences(np.where(label == group, 0, -1), 1, changes).iloc[0]
        assert alone["p_value"] == pytest.approx(together["p_value"][group])
        assert alone["standard_error"] == pytest.approx(together["standard_error"][group])


def test_a_planted_difference_is_found():
    changes = sample()
    member = changes.token_type % 4 == 0
    shifted = Changes(changes.change - 0.8 * member, changes.source, changes.token_type)
    found = group_differences(np.where(member, 0, -1), 1, shifted).iloc[0]
    assert found["p_value"] < 0.001 and found["difference"] == pytest.approx(-0.8, abs=0.3)


def test_q_values_ignore_what_was_not_tested():
    p_values = np.array([0.01, np.nan, 0.02, 0.5])
    tested = p_values[[0, 2, 3]]
    for method in ("bh", "by"):
        found = false_discovery(p_values, method)
        assert np.isnan(found[1])
        expected = stats.false_discovery_control(tested, method=method)
        np.testing.assert_allclose(found[[0, 2, 3]], expected)
    assert np.isnan(false_discovery(np.array([np.nan]))).all()

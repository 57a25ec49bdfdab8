"""Features computed after ingest are columns of tokens; stale and damaged ones are refused."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ingest.verify import verify
from queries import GroupError, QueryError, Store
from queries.engine import remote
from store.features import Feature, write_feature
from store.layout import Layout
from tests.queries.support.catalogs import ask
from tests.queries.support.stores import build_store

COLUMN = "select parity from tokens order by row"


@pytest.fixture
def asked(own: Path) -> Store:
    return Store(own)


def parity(store: Store) -> list[str]:
    return ["even" if row % 2 == 0 else "odd" for row in range(store.manifest.n_tokens)]


def test_a_saved_feature_is_a_column_at_once_and_after_reopening(asked: Store, own: Path) -> None:
    asked.features.save("parity", parity(asked), "even rows and odd ones")
    for store in (asked, Store(own)):
        assert store.members("parity = 'odd'").tolist() == store.members("row % 2 = 1").tolist()
        assert store.sql("select parity from tokens order by row")["parity"].tolist() == parity(
            store
        )
        line = store.features.all().squeeze()
        assert line[["name", "type", "description"]].tolist() == [
            "parity",
            "string",
            "even rows and odd ones",
        ]
        assert line["n_tokens"] == store.manifest.n_tokens and line["problem"] is None


def test_missing_values_are_null(asked: Store) -> None:
    values = np.arange(asked.manifest.n_tokens, dtype=float)
    values[3] = np.nan
    asked.features.save("number", values)
    assert asked.members("number is null").tolist() == [3]
    assert asked.members("number > 4").tolist() == asked.members("row > 4").tolist()
    assert asked.features.all()["n_tokens"].squeeze() == asked.manifest.n_tokens - 1


def test_cached_answers_are_recomputed_after_a_change(asked: Store) -> None:
    asked.features.save("mine", [row < 5 for row in range(asked.manifest.n_tokens)])
    before = asked.trajectories({"": "mine"})
    asked.features.save("mine", [row < 9 for row in range(asked.manifest.n_tokens)], overwrite=True)
    assert asked.trajectories({"": "mine"})["n_tokens"].unique().tolist() == [9]
    assert before["n_tokens"].unique().tolist() == [5]


def test_changes_by_other_processes_are_followed(asked: Store, own: Path) -> None:
    other, before = Store(own), asked.features.version
    assert not asked.features.follow()
    other.features.save("parity", parity(other))
    assert asked.features.follow() and not asked.features.follow()
    assert asked.features.version not in (before, ())
    assert asked.members("parity = 'odd'").tolist() == asked.members("row % 2 = 1").tolist()
    other.features.delete("parity")
    assert asked.features.follow()
    assert "parity" not in asked.token_columns and asked.features.version == before


def test_a_deleted_feature_is_not_a_column(asked: Store, own: Path) -> None:
    asked.features.save("parity", parity(asked))
    asked.features.delete("parity")
    assert not list(Layout(own).features.iterdir())
    with pytest.raises(GroupError, match="no column parity"):
        asked.members("parity = 'odd'")
    with pytest.raises(QueryError, match="there is no feature parity: none has been saved"):
        asked.features.delete("parity")


def test_the_catalog_has_the_features(asked: Store, own: Path) -> None:
    asked.features.save("parity", parity(asked))
    asked.groups.save("odd", "parity = 'odd'")
    catalog = Layout(own).catalog
    assert ask(catalog, "select parity from tokens order by row")["parity"].tolist() == parity(
        asked
    )
    assert len(ask(catalog, "from odd")) == asked.manifest.n_tokens // 2
    asked.features.delete("parity")
    assert "parity" not in ask(catalog, "from tokens")


def test_a_store_with_a_feature_of_other_tokens_opens_without_it(own: Path, tmp_path: Path) -> None:
    other = Store(build_store(tmp_path / "other", seed=1))
    other.features.save("parity", parity(other))
    Layout(own).features.mkdir()
    path = Layout(own).features / "parity.parquet"
    path.write_bytes((Layout(other.path).features / "parity.parquet").read_bytes())
    store = Store(own)
    with pytest.raises(GroupError, match=r"parity cannot be used: .* computed for other tokens"):
        store.members("parity = 'odd'")
    assert "computed for other tokens" in store.features.all()["problem"].squeeze()
    assert any("computed for other tokens" in problem for problem in verify(own))
    store.features.save("parity", parity(store), overwrite=True)
    assert len(store.members("parity = 'odd'"))
    assert not any("parity" in problem for problem in verify(own))


def test_a_damaged_feature_is_reported_and_can_be_deleted(asked: Store, own: Path) -> None:
    asked.features.save("parity", parity(asked))
    path = Layout(own).features / "parity.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    assert "does not have the columns" in Store(own).features.all()["problem"].squeeze()
    path.write_bytes(b"no Parquet")
    store = Store(own)
    assert "cannot be read" in store.features.all()["problem"].squeeze()
    store.features.delete("parity")
    assert store.features.all().empty


def test_a_file_with_a_columns_name_does_not_hide_the_column(own: Path) -> None:
    store = Store(own)
    values = Feature("position", store.facts["row"].to_numpy() * 0, "")
    write_feature(Layout(own), store.manifest, values)
    again = Store(own)
    assert again.members("position > 0").tolist() == store.members("position > 0").tolist()
    assert "name of another column" in again.features.all()["problem"].squeeze()


@pytest.mark.parametrize(
    ("name", "values", "says"),
    [
        ("Kind", [1], "cannot be the name of a feature"),
        ("select", [1], "reserved word of SQL"),
        ("position", [1], "name of another column"),
        ("year", [1], "name of another column"),
        ("loss", [1], "name of another column"),
        ("copyable", [1], "a group has that name"),
        ("few", [1, 2], "found 2 values, expected one for each"),
    ],
)
def test_values_that_cannot_be_saved_get_a_sentence(
    asked: Store, name: str, values: list[int], says: str
) -> None:
    values = values * asked.manifest.n_tokens if len(values) == 1 else values
    with pytest.raises(QueryError, match=says):
        asked.features.save(name, values)
    assert asked.features.all().empty


def test_mixed_and_nested_values_and_existing_names_are_refused(asked: Store) -> None:
    n = asked.manifest.n_tokens
    with pytest.raises(QueryError, match="cannot be saved"):
        asked.features.save("mixed", [1] + ["a"] * (n - 1))
    with pytest.raises(QueryError, match="cannot be saved"):
        asked.features.save("lists", [[1]] * n)
    asked.features.save("kept", [1] * n)
    with pytest.raises(QueryError, match="the feature kept exists already"):
        asked.features.save("kept", [2] * n)


def test_features_are_copied_from_a_url(asked: Store) -> None:
    assert remote._belongs("features/parity.parquet")
    assert not remote._belongs("features/.parity.parquet.1-2.tmp")


def test_groups_are_resolved_while_features_change(asked: Store) -> None:
    """From other threads: each answer is the one before the change or the one after it."""
    n = asked.manifest.n_tokens
    asked.features.save("mine", [row < 5 for row in range(n)])
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(lambda: len(asked.members("mine"))) for _ in range(60)]
        for size in (9, 5, 9, 5, 9):
            asked.features.save("mine", [row < size for row in range(n)], overwrite=True)
        assert {answer.result(timeout=60) for answer in answers} <= {5, 9}
    assert len(asked.members("mine")) == 9

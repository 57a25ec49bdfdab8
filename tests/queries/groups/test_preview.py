"""A preview counts a group and shows tokens that are in it."""

from pathlib import Path

import pytest

from queries import GroupError, Store
from queries.text import preview


def test_counts_and_sample(store: Store) -> None:
    found = preview(store, "word_start", k=4)
    truth = store.sql(
        "select count(*) as n, count(distinct source) as d from tokens where is_word_start"
    )
    assert (found.n_tokens, found.n_docs) == (truth["n"][0], truth["d"][0])
    of_band = store.trajectories({"g": "word_start"})["n_docs_effective"][0]
    assert found.n_docs_effective == pytest.approx(of_band)
    assert len(found.sample) == 4
    assert set(found.sample["row"]) <= set(store.members("word_start").tolist())
    assert found.sample.equals(preview(store, "word_start", k=4).sample)


def test_a_small_group_is_shown_completely_and_an_empty_one_is_refused(store: Store) -> None:
    rows = store.members("word_start")[:2].tolist()
    assert preview(store, f"row in {tuple(rows)}").sample["row"].tolist() == rows
    with pytest.raises(GroupError, match="selects none"):
        preview(store, "position > 10000")


def test_a_stores_own_groups_are_distinguished_from_shared_ones(own: Path) -> None:
    groups = Store(own).groups
    assert groups.own == set()
    groups.save("mine", "position = 3")
    assert groups.own == {"mine"}

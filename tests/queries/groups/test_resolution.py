"""A group is resolved once, and the same way by every question; errors use the user's name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from queries import GroupError, QueryError, Store, events, explain
from queries import store as store_module
from queries.engine.sums import Summation

QUESTIONS: dict[str, Callable[[Store, str], object]] = {
    "members": lambda store, group: store.members(group),
    "trajectories": lambda store, group: store.trajectories({"shown": group}),
    "difference": lambda store, group: store.difference("true", group),
    "ratio": lambda store, group: store.ratio(group, "true"),
    "change": lambda store, group: store.change(group, 4),
    "summary": lambda store, group: store.summary(group),
    "zoom": lambda store, group: store.zoom(0, 8, group),
    "save": lambda store, group: store.groups.save("copy", group),
    "script": lambda store, group: store.groups.clause(group),
}
by_every_question = pytest.mark.parametrize("question", QUESTIONS.values(), ids=QUESTIONS)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Groups in files: a condition on a column, a name of a group, a mistake, an empty group."""
    from tests.queries.support.stores import build_store

    root = build_store(tmp_path_factory.mktemp("stores") / "own", sources=3, longest=15)
    (root / "groups").mkdir()
    for name, text in {
        "starts": "is_word_start",
        "alias": "word_start",
        "mistaken": "-- A mistake\npositoin = 3",
        "empty": "position > 9_999",
    }.items():
        (root / "groups" / f"{name}.sql").write_text(text)
    return Store(root)


@by_every_question
def test_a_group_that_names_another_group_gets_one_sentence(
    store: Store, question: Callable[..., Any]
) -> None:
    says = (
        "the group alias holds the name of another group, word_start, in place of a condition: "
        "write its condition, is_word_start"
    )
    with pytest.raises(GroupError) as caught:
        question(store, "alias")
    assert str(caught.value) == says


def test_a_group_that_names_a_column_is_a_condition(store: Store) -> None:
    assert store.members("starts").tolist() == store.members("is_word_start").tolist()
    assert store.trajectories({"": "starts"}).equals(store.trajectories({"": "is_word_start"}))


@by_every_question
def test_a_mistake_in_a_named_group_is_reported_with_its_name(
    store: Store, question: Callable[..., Any]
) -> None:
    if question is QUESTIONS["script"]:
        return  # which evaluates nothing
    with pytest.raises(GroupError) as caught:
        question(store, "mistaken")
    assert "the group mistaken (`positoin = 3`) at character 1: tokens have no column" in str(
        caught.value
    )


def test_a_named_group_without_tokens_is_reported_with_its_name(store: Store) -> None:
    for question in (QUESTIONS["trajectories"], QUESTIONS["zoom"], events):
        with pytest.raises(
            GroupError, match=r"the group empty \(`position > 9_999`\) selects none"
        ):
            question(store, "empty")
    with pytest.raises(GroupError, match=r"^`position > 8_888` selects none"):
        store.trajectories({"mine": "position > 8_888"})


def test_analyses_over_all_groups_give_the_same_error(store: Store) -> None:
    with pytest.raises(GroupError, match="holds the name of another group"):
        explain(store, (0, 8))


def test_an_unknown_engine_is_refused(own: Path) -> None:
    with pytest.raises(QueryError, match="there is no engine 'sprak': expected matrix or spark"):
        Store(own, engine="sprak")


def test_a_change_by_spark_builds_no_matrix(
    own: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Spark itself is replaced, as it needs Java: by sums over another copy's matrix."""
    from tests.queries.support.stores import build_store

    copy = Store(build_store(tmp_path / "copy", sources=3, longest=15))

    def local(files: dict[int, Path], source_of_row: np.ndarray) -> Summation:
        return Summation(copy.matrix, source_of_row)

    monkeypatch.setattr(store_module, "SparkSummation", local)
    by_spark = Store(own, engine="spark")
    assert by_spark.change("is_word_start", 4).equals(copy.change("is_word_start", 4))
    with pytest.raises(QueryError, match="checkpoint 5 is not in the store"):
        by_spark.change("is_word_start", 5)
    assert not list(own.rglob("*.f32")) and list(copy.path.rglob("*.f32"))

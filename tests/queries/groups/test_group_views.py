"""Macros and named groups in Store.sql: the catalog's answers, and groups that change."""

import threading
from pathlib import Path

import pandas as pd
import pytest

from queries import GroupError, QueryError, Store
from store.layout import Layout
from tests.queries.support.catalogs import ask

CALLS = [
    "from trajectory('word_start')",
    "from difference('word_start', 'copyable')",
    "from ratio('word_start', 'copyable')",
    "from in_context_score()",
    "from zoom(8, 1000)",
    'select * from loss_rows where "row" < 9 order by all',
    "select count(*) as n from loss_rows join copyable using (row)",
]


@pytest.mark.parametrize("query", CALLS)
def test_macros_and_groups_answer_as_in_the_catalog(demo: Store, query: str) -> None:
    demo.make_catalog()
    query = query.replace("8, 1000", "400, 1000")
    theirs = ask(Layout(demo.path).catalog, query)
    pd.testing.assert_frame_equal(demo.sql(query), theirs, check_dtype=False)


def test_group_views_follow_their_files(own: Path) -> None:
    store = Store(own)
    with pytest.raises(QueryError, match="early"):
        store.sql("from early")
    store.groups.save("early", "position < 3")
    assert store.sql("select max(position) as p from early")["p"][0] == 2
    (own / "groups" / "early.sql").write_text("-- by hand\nposition < 4")
    assert store.sql("select max(position) as p from early")["p"][0] == 3
    store.groups.rename("early", "earlier")
    assert len(store.sql("from trajectory('earlier')")) == len(store.steps)
    with pytest.raises(QueryError, match="early"):
        store.sql("from early")
    store.groups.delete("earlier")
    with pytest.raises(QueryError, match="earlier"):
        store.sql("from earlier")


def test_a_group_never_hides_a_table_of_the_store(own: Path) -> None:
    store = Store(own)
    n_tokens = store.manifest.n_tokens
    (own / "groups").mkdir(exist_ok=True)
    for name in ("tokens", "Losses", "loss_rows", "t_quantiles", "token_rows"):
        (own / "groups" / f"{name}.sql").write_text("-- another\nposition = 1")
    assert store.sql("select count(*) as n from tokens")["n"][0] == n_tokens
    assert len(store.sql("from trajectory('word_start')")) == len(store.steps)


def test_invalid_groups_and_files_do_not_affect_other_queries(own: Path) -> None:
    store = Store(own)
    (own / "groups").mkdir(exist_ok=True)
    (own / "groups" / "wrong.sql").write_text("-- wrong\npositoin = 1")
    (own / "groups" / "written.sql").write_text("-- writes\ntrue); drop view tokens; select (true")
    assert store.sql("select 1 as one")["one"][0] == 1
    for name in ("wrong", "written"):
        with pytest.raises(QueryError, match=name):
            store.sql(f"from {name}")
    (own / "groups" / "broken.sql").write_text("-- nothing but a comment")
    with pytest.raises(GroupError):
        _ = store.named_groups
    assert len(store.sql("from word_start"))


def test_a_groups_view_uses_the_reloaded_function(own: Path, tmp_path: Path) -> None:
    functions = tmp_path / "mine.py"
    functions.write_text("def mine(position: int) -> bool:\n    return position < 3\n")
    store = Store(own, functions=functions)
    store.groups.save("mine_only", "mine(position)")
    assert store.sql("select max(position) as p from mine_only")["p"][0] == 2
    functions.write_text("def mine(position: int) -> bool:\n    return position < 2\n")
    store.reload_functions()
    assert store.sql("select max(position) as p from mine_only")["p"][0] == 1
    store.groups.save("lost", "loss_at(row, 1000) > 3")
    found = store.sql('select "row" from lost order by all')["row"]
    assert found.tolist() == store.members("loss_at(row, 1000) > 3").tolist()


def test_many_threads_query_groups_while_they_change(own: Path) -> None:
    store = Store(own)
    troubles: list[Exception] = []

    def ask_for_it() -> None:
        try:
            for _ in range(10):
                assert len(store.sql("from trajectory('word_start')")) == len(store.steps)
        except Exception as error:
            troubles.append(error)

    threads = [threading.Thread(target=ask_for_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for n in range(15):
        store.groups.save("changing", f"position > {n}", overwrite=True)
        store.sql("select count(*) from changing")
    for thread in threads:
        thread.join()
    assert troubles == []


def test_no_users_statement_changes_a_view(own: Path) -> None:
    store = Store(own)
    store.sql("from word_start limit 1")
    for query in (
        "drop view token_groups.word_start",
        "create view x as select 1",
        "set search_path = 'main'",
        "create macro f() as 1",
    ):
        with pytest.raises(QueryError):
            store.sql(query)
    assert len(store.sql("from word_start"))


def test_a_groups_view_has_the_current_features(own: Path) -> None:
    store = Store(own)
    assert "half" not in store.sql("from word_start limit 0").columns
    store.features.save("half", store.facts["position"].to_numpy() / 2)
    assert "half" in store.sql("from word_start limit 0").columns
    store.groups.save("late", "half > 3")
    assert store.sql("select min(position) as p from late")["p"][0] == 7

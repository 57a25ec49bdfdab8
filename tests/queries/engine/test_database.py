"""What users may send to a store: one SELECT that only reads, within limits of time and size."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queries import QueryError, Store
from queries.engine import database
from tests.queries.support.hostile import CLAUSES, ENDLESS_CLAUSES, ENDLESS_STATEMENTS, STATEMENTS
from tests.queries.support.stores import build_store, hashes


@pytest.fixture(scope="module")
def exposed(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store next to a folder that it must not read."""
    root = tmp_path_factory.mktemp("exposed")
    (root / "outside").mkdir()
    for name in ("secret.txt", "secret.csv"):
        (root / "outside" / name).write_text("a,b\n1,2\n")
    return Store(build_store(root / "store"))


@pytest.fixture
def unharmed(exposed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """After the test everything is as before: files, tables, and the next answer."""
    monkeypatch.chdir(tmp_path)
    root = exposed.path.parent
    before = hashes(root), _state(exposed)
    yield exposed
    assert (hashes(root), _state(exposed)) == before
    assert list(tmp_path.iterdir()) == []  # what DuckDB might leave in the working directory


def _state(store: Store) -> list[object]:
    counts = store.sql(
        "select (select count(*) from tokens), (select count(*) from docs),"
        " (select count(*) from losses), (select count(*) from checkpoints)"
    )
    return [counts.to_numpy().tolist(), len(store.members("is_word_start"))]


def _aimed(text: str, store: Store) -> str:
    outside = store.path.parent / "outside"
    return text.replace("STORE", str(store.path)).replace("OUTSIDE", str(outside))


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda s: ascii(s[:50]))
def test_hostile_statements_are_refused(unharmed: Store, statement: str) -> None:
    with pytest.raises(QueryError):
        unharmed.sql(_aimed(statement, unharmed))


@pytest.mark.parametrize("clause", CLAUSES, ids=lambda s: ascii(s[:50]))
def test_hostile_clauses_are_refused(unharmed: Store, clause: str) -> None:
    with pytest.raises(QueryError):
        unharmed.members(_aimed(clause, unharmed))


@pytest.mark.parametrize("statement", ENDLESS_STATEMENTS)
def test_statements_that_do_not_end_are_stopped(
    unharmed: Store, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(database, "TIME_LIMIT", 0.5)
    began = time.monotonic()
    with pytest.raises(QueryError, match=r"was stopped|larger than"):
        unharmed.sql(statement)
    assert time.monotonic() - began < 10
    monkeypatch.undo()


@pytest.mark.parametrize("clause", ENDLESS_CLAUSES)
def test_clauses_that_do_not_end_are_stopped(
    unharmed: Store, monkeypatch: pytest.MonkeyPatch, clause: str
) -> None:
    monkeypatch.setattr(database, "TIME_LIMIT", 0.5)
    with pytest.raises(QueryError, match="ran longer than 0 s and was stopped"):
        unharmed.members(clause)
    monkeypatch.undo()


def test_a_query_above_the_memory_limit_is_stopped_without_spilling(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(database, "MEMORY_LIMIT", "64MB")
    store = Store(own)
    with pytest.raises(QueryError, match="more than 64MB of memory"):
        store.sql("select md5(range::varchar) as m from range(5000000) order by m")
    assert list(tmp_path.iterdir()) == [own]
    assert len(store.members("true")) == store.manifest.n_tokens


def test_a_huge_result_is_refused_and_not_truncated(
    exposed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "ANSWER_LIMIT", 2**20)
    with pytest.raises(QueryError, match="larger than 1 MB: aggregate it, or add a limit"):
        exposed.sql("from range(1000000)")
    assert len(exposed.sql("from range(100000)")) == 100_000


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("select count(*) from tokens -- all of them", None),
        ("with a as (select max(loss) as m from losses) select m > 0 from a;", True),
        (
            "with recursive r as (select 1 as n union all select n + 1 from r where n < 9)"
            " select max(n) from r",
            9,
        ),
        ("from docs select min(source) union all select max(source) from docs", "source 0"),
        ("describe losses", "checkpoint"),
        ("summarize tokens", "row"),
        ("values (7)", 7),
        ("select sum(unnest) from unnest([1, 2])", 3),
        ("select 1 as a where false", None),
    ],
)
def test_read_only_statements_are_answered(exposed: Store, query: str, first: Any) -> None:
    found = exposed.sql(query)
    if first is not None:
        assert found.iloc[0, 0] == first


def test_files_of_the_store_can_be_read(exposed: Store) -> None:
    for query in (
        f"select count(*) from '{exposed.path}/losses/*.parquet'",
        f"select count(*) from read_parquet('{exposed.path}/losses/*.parquet')",
    ):
        assert exposed.sql(query).iloc[0, 0] == 8 * exposed.manifest.n_tokens


def test_long_results_equal_those_of_duckdb(exposed: Store) -> None:
    query = """
        select range as i, case when range > 30000 then range end as n, range % 2 = 0 as even,
            case when range % 3 = 0 then 'text' end as t, [range] as list,
            date '2020-01-01' as day, sum(range) over (order by range) as total
        from range(70000) order by range desc"""
    assert exposed.sql(query).equals(exposed._database.frame(query))


def test_an_unknown_table_and_a_syntax_error_get_sentences(exposed: Store) -> None:
    with pytest.raises(QueryError, match="no table or group token: did you mean tokens"):
        exposed.sql("from token")
    with pytest.raises(QueryError, match="ends after where, where SQL needs more"):
        exposed.sql("select from where")


def test_a_query_leaves_no_thread_behind(exposed: Store) -> None:
    before = threading.active_count()
    for _ in range(20):
        exposed.sql("select 1")
    time.sleep(0.2)
    assert threading.active_count() <= before + 1


def test_the_working_directory_of_a_relative_store_may_change(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(own.parent)
    store = Store(Path(own.name))
    (tmp_path / "else").mkdir()
    monkeypatch.chdir(tmp_path / "else")
    assert store.sql("select count(*) from losses").iloc[0, 0] == 8 * store.manifest.n_tokens
    assert len(store.trajectories({"a": "true"})) == 8


SLOW = "select count(*) from range(3000000) a, range({}) b where hash(a.range + b.range) % 7 = 1"


def test_a_query_reports_its_progress(exposed: Store) -> None:
    shares: list[float] = []
    exposed.sql(SLOW.format(60), progress=shares.append)
    assert len(set(shares)) > 1
    assert shares[-1] > shares[0]
    assert all(0 <= share <= 1 for share in shares)


def test_a_cancelled_query_stops_and_the_next_one_works(exposed: Store) -> None:
    for _ in range(database.CONCURRENT + 1):  # each cursor of the pool is usable again
        cancel = threading.Event()
        threading.Timer(0.05, cancel.set).start()
        began = time.monotonic()
        with pytest.raises(QueryError, match="was cancelled"):
            exposed.sql(SLOW.format(1_000_000), cancel=cancel)
        assert time.monotonic() - began < 10
    assert exposed.sql("select 1 as x")["x"].tolist() == [1]


def test_more_queries_than_cursors_wait_their_turn(exposed: Store) -> None:
    found: list[int] = []

    def ask(number: int) -> None:
        found.append(int(exposed.sql(f"select {number} as x")["x"][0]))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(3 * database.CONCURRENT)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(3 * database.CONCURRENT))


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("select 1 frm tokens", "at character 14"),
        ("\nselect nothing_such\nfrom tokens", "at line 2, character 8"),
        ("select 1,\n  'naïve' || nothing_such\nfrom tokens", "at line 2, character 14"),
    ],
)
def test_an_error_says_where_it_is(store: Store, query: str, where: str) -> None:
    with pytest.raises(QueryError, match=rf"\({where}\)$"):
        store.sql(query)

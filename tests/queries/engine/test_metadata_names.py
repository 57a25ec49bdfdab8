"""Metadata of the text may have any name that our SQL uses: every answer stays the same."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import queries
from queries import Store
from queries.analyses.registry import ANALYSES, Analysis
from queries.catalog import sql_scripts
from queries.errors import QueryError
from queries.questions import Question, questions
from store import schema
from store.layout import Layout
from tests.queries.support.catalogs import ask
from tests.queries.support.stores import STEPS, build_store

SQL = sorted(Path(queries.__file__).parent.rglob("*.sql"))
OF_THE_STORE = {
    *(name for s in (schema.TOKENS, schema.DOCS, schema.LOSSES) for name in s.names),
    "doc_tokens",  # ingest renames these
}
FIRST, LAST = STEPS[1], STEPS[-1]
MACROS = [
    "trajectory('later_ones')",
    "difference('later_ones', 'word_start')",
    "ratio('later_ones', 'word_start')",
    "in_context_score()",
    f"zoom({FIRST}, {LAST})",
    "leave_one_out('later_ones')",
    "(select loss_at(row, 400) as loss_400 from tokens order by row)",
]
ONE_STORE = [analysis for analysis in ANALYSES if not analysis.of_runs]


def identifiers() -> list[str]:
    """Every word of our SQL, keywords, functions, aliases and parameters among them."""
    words = {w.lower() for path in SQL for w in re.findall(r"[A-Za-z_]\w*", path.read_text())}
    return sorted(words - OF_THE_STORE)


def with_metadata(root: Path, values: Any) -> Path:
    """Give a store's docs a column for each identifier."""
    docs = pq.read_table(Layout(root).docs)
    for name in identifiers():
        docs = docs.append_column(name, pa.array(values(docs.num_rows)))
    pq.write_table(docs, Layout(root).docs)
    return root


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return opened(build_store(tmp_path_factory.mktemp("plain") / "store"))


@pytest.fixture(scope="module", params=["numbers", "texts"])
def named(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = build_store(tmp_path_factory.mktemp("named") / "store")
    numbers = request.param == "numbers"
    return opened(
        with_metadata(root, lambda n: [-1e6 * d if numbers else f"x{d}" for d in range(n)])
    )


def opened(root: Path) -> Store:
    store = Store(root)
    store.groups.save("later_ones", "position > 3")
    store.make_catalog()
    return store


def without_metadata(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns=[c for c in frame if c in identifiers()], errors="ignore")


def test_there_are_identifiers_to_try() -> None:
    assert {"n", "first", "change", "before", "select", "token_group", "t"} <= set(identifiers())


@pytest.mark.parametrize("macro", MACROS)
def test_macros_answer_in_both_databases(plain: Store, named: Store, macro: str) -> None:
    query = f"from {macro} order by all"
    expected = plain.sql(query)
    pd.testing.assert_frame_equal(named.sql(query), expected)
    pd.testing.assert_frame_equal(ask(Layout(named.path).catalog, query), expected)


@pytest.mark.parametrize("question", questions(), ids=lambda question: question.name)
def test_questions_have_the_same_answers(plain: Store, named: Store, question: Question) -> None:
    expected = plain.sql(question.text)
    pd.testing.assert_frame_equal(named.sql(question.text), expected)
    pd.testing.assert_frame_equal(ask(Layout(named.path).catalog, question.text), expected)


@pytest.mark.parametrize("analysis", ONE_STORE, ids=lambda analysis: analysis.name)
def test_analyses_and_their_scripts_have_the_same_answers(
    plain: Store, named: Store, analysis: Analysis
) -> None:
    expected, found = result_of(analysis, plain), result_of(analysis, named)
    if isinstance(expected, str):
        assert found == expected
        return
    pd.testing.assert_frame_equal(found.frame, expected.frame)
    if found.language == "sql":
        ours = ask(Layout(plain.path).catalog, expected.script())
        pd.testing.assert_frame_equal(ask(Layout(named.path).catalog, found.script()), ours)


def test_the_scripts_behind_charts_have_the_same_answers(plain: Store, named: Store) -> None:
    def frames(store: Store) -> list[pd.DataFrame]:
        texts = [
            sql_scripts.trajectories(store, {"a": "later_ones"}),
            sql_scripts.comparison(store, "ratio", {"a": "later_ones"}, "word_start"),
            sql_scripts.histogram(store, (FIRST, LAST), "later_ones"),
            sql_scripts.token_trajectories([1, 2]),
        ]
        return [ask(Layout(store.path).catalog, text) for text in texts]

    for theirs, ours in zip(frames(named), frames(plain), strict=True):
        pd.testing.assert_frame_equal(theirs, ours)


def test_the_store_answers_from_its_tokens_and_docs(plain: Store, named: Store) -> None:
    for name in ("facts", "checkpoints"):
        pd.testing.assert_frame_equal(getattr(named, name), getattr(plain, name))
    pd.testing.assert_frame_equal(named.context(range(9)), plain.context(range(9)))
    assert named.sql('select max("n") as n from tokens where "select" is not null').size == 1
    assert len(named.members('"order" is not null and position = 3'))


@cache
def result_of(analysis: Analysis, store: Store) -> Any:
    """Its result, or the message if the store lacks what it needs."""
    regions = iter([(1, 8), (16, 400)])
    values = {
        a.name: next(regions) if a.role == "region" else "later_ones"
        for a in analysis.arguments
        if a.required
    }
    try:
        return analysis.function(store, **values)
    except QueryError as error:
        return str(error).replace(str(store.path), "STORE")

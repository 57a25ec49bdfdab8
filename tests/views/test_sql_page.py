"""The SQL page in one process: results of every shape, limits, links, abandoned queries."""

import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from queries import Store
from queries.charts import quick
from queries.questions import questions
from views.pages import sql
from views.pages.sql import RunningQuery

Open = Callable[..., AppTest]

FOREVER = "select sum(a.position * b.position) from tokens as a, tokens as b, range(100_000_000)"


def draw(path: str) -> None:
    """The script of a page."""
    from queries import Store
    from views.pages import sql

    sql.page(Store(path))


@pytest.fixture
def opened(folder: Path) -> Open:
    """Opens the page on a small store, with a query string's parameters."""

    def run(**state: str) -> AppTest:
        app = AppTest.from_function(draw, default_timeout=60, kwargs={"path": str(folder)})
        for name, value in state.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception
        return ended(app)

    return run


def ended(app: AppTest) -> AppTest:
    """The page after the query has ended; only in a browser does it refresh by itself."""
    for _ in range(100):
        if "sql_running" not in app.session_state or app.session_state["sql_running"][1].done:
            break
        time.sleep(0.1)
    app.run()
    assert not app.exception
    return app


def ask(app: AppTest, query: str) -> AppTest:
    app.session_state["sql_text"] = query  # what the editor sends
    app.button(key="sql_run").click().run()
    return ended(app)


def given(app: AppTest) -> dict[str, Any]:
    """What the editor was given."""
    (component,) = app.get("bidi_component")
    found: dict[str, Any] = json.loads(component.proto.json)
    return found


@pytest.mark.parametrize(
    "query",
    [
        "select 1 as one",
        "select * from tokens where false",
        'select 1 as a, 2 as a, 3 as "A"',
        "select [1, 2] as list, {'a': 1} as struct, map {'k': 1} as map from range(3)",
        "select null as nothing, position from tokens limit 5",
        "select 'nan'::double as x, 'inf'::double as y from range(3)",
        "select 170141183460469231731687303715884105727::hugeint as x, range from range(3)",
        "select now() as t, interval 1 day as i, 'a'::blob as b, true as yes from range(3)",
        'select position as "a.b[0]: c", doc as " " from tokens limit 9',
        "select token_str, checkpoint, loss from losses limit 50",
        "describe tokens",
        "select 1.5::decimal(9, 2) as d, uuid() as u, date '2020-01-01' as day from range(4)",
    ],
)
def test_results_of_any_shape_are_shown_charted_and_saved(opened: Open, query: str) -> None:
    app = opened(query=query)
    assert not app.error and len(app.dataframe) == 2
    _, found = app.session_state["sql_running"]
    for mark in quick.MARKS:
        columns = [str(c) for c in found.answer.columns]
        quick.draw(found.answer.head(50), columns[0], columns[-1], columns[0], mark).to_dict()
    for button in app.get("download_button"):
        assert button.proto.label in ("CSV", "Parquet") or str(button.key).startswith("quick")


def test_the_result_is_that_of_the_store(opened: Open) -> None:
    app = opened(query="select checkpoint, avg(loss) as mean from losses group by all order by all")
    _, found = app.session_state["sql_running"]
    pd.testing.assert_frame_equal(app.dataframe[1].value, found.answer)
    assert "**8 rows** in " in " ".join(str(m.value) for m in app.markdown)
    assert len(app.get("vega_lite_chart")) == 1
    assert app.selectbox(key="x").value == "checkpoint" and app.selectbox(key="y").value == "mean"


def test_a_long_result_is_truncated_with_a_note(opened: Open) -> None:
    app = opened(query="select range as n, range % 7 as week from range(25_000)")
    assert len(app.dataframe[1].value) == 10_000
    said = " ".join(str(e.value) for e in [*app.markdown, *app.caption])
    assert "**25,000 rows**" in said and "The first 10,000 are shown" in said
    assert "The first 5,000 of 25,000 rows are drawn" in said


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("select positoin from tokens", "did you mean position?"),
        ("select\n  1 a b", "at line 2"),
        ("drop table checkpoints", "only SELECT is allowed"),
        ("select 1; select 2", "Found 2 statements"),
        ("from read_csv('/etc/passwd')", "read_csv is not allowed"),
        ("from read_text('/etc/passwd')", "file system operations are disabled"),
        ("-- nothing", "Found 0 statements"),
    ],
)
def test_a_query_that_is_refused_gets_a_message(opened: Open, query: str, sentence: str) -> None:
    app = opened(query=query)
    (error,) = app.error
    assert sentence in error.value and "Traceback" not in error.value
    assert len(app.dataframe) == 1


def test_an_example_is_put_into_the_field_and_run(opened: Open) -> None:
    app = opened()
    assert given(app)["text"].startswith("-- When does the model")
    question = questions()[0]
    app.selectbox(key="example").set_value(question.title).run()
    assert given(app)["text"] == question.text
    ask(app, question.text)
    assert app.query_params["query"] == question.text and not app.error


def test_the_editor_knows_the_names_of_the_store_and_the_place_of_an_error(opened: Open) -> None:
    app = opened(query="select positoin from tokens")
    found = given(app)
    assert found["mark"] == {"text": "select positoin from tokens", "at": 7}
    assert "position" in found["columns"]["tokens"] and "loss" in found["columns"]["losses"]
    assert "trajectory" in found["macros"] and "word_start" in found["groups"]
    ask(app, "select position from tokens limit 1")
    assert given(app)["mark"] is None


def test_a_long_query_is_not_put_into_the_url(opened: Open) -> None:
    app = opened(query="select 1 as one")
    ask(app, f"select 2 as two -- {'long ' * 400}")
    assert "query" not in app.query_params
    assert app.dataframe[1].value["two"].tolist() == [2]
    assert "too long for the page's address" in " ".join(str(m.value) for m in app.markdown)


def test_a_query_stops_when_its_page_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql, "ABANDONED", 0.5)
    running = RunningQuery(Store(folder), FOREVER)
    for _ in range(10):
        running.look(0.1)
    assert not running.done  # as long as a page asks for it
    for _ in range(100):
        if running.done:
            break
        time.sleep(0.05)
    assert running.done and running.cancelled and running.answer is None


def test_a_query_is_cancelled_and_another_one_run(opened: Open) -> None:
    app = opened()
    app.session_state["sql_text"] = FOREVER
    app.button(key="sql_run").click().run()
    _, first = app.session_state["sql_running"]
    assert not first.done
    app.button(key="sql_cancel").click().run()
    ended(app)
    assert "Cancelled after" in app.warning[0].value
    ask(app, "select 3 as three")
    assert app.dataframe[1].value["three"].tolist() == [3] and not app.warning


def test_a_new_query_stops_the_previous_one(opened: Open) -> None:
    app = opened()
    app.session_state["sql_text"] = FOREVER
    app.button(key="sql_run").click().run()
    _, first = app.session_state["sql_running"]
    ask(app, "select 4 as four")
    first.look(5)
    assert first.done and first.cancelled


def test_files_contain_the_whole_result() -> None:
    answer = pd.DataFrame({"n": range(12_000), "text": ['a,\n"b"'] * 12_000})
    assert pd.read_csv(io.BytesIO(sql.csv(answer)))["n"].tolist() == list(range(12_000))
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO(sql.parquet(answer))), answer)

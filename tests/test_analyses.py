"""The analyses' pages run, say what is seen and what is wrong, on small stores."""

from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from tests.queries.stores import build_store
from tests.test_figures_sql import script


@pytest.fixture
def small(tmp_path) -> Path:
    return build_store(tmp_path / "small", sources=12)


def shown(folder: Path, page: str, **query: object) -> AppTest:
    app = AppTest.from_function(script, args=(str(folder), page), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    found = [*app.error, *app.warning, *app.info, *app.caption, *app.success, *app.markdown]
    return " ".join(str(element.value) for element in found)


def n_charts(app: AppTest) -> int:
    return len(app.get("vega_lite_chart"))


def test_a_comparison_tells_how_many_tokens_have_no_control(small):
    app = shown(small, "fair", compared="seen_before = 0", alike_in="position", bins="2")
    assert n_charts(app) == 3
    assert "have controls" in said(app) or "have no control" in said(app)
    assert not app.error


def test_an_expression_can_be_matched_on_and_a_mistake_gets_a_sentence(small):
    app = shown(small, "fair", compared="seen_before = 0", alike_in="position % 2")
    assert n_charts(app) == 3
    app = shown(small, "fair", compared="seen_before = 0", alike_in="positoin")
    assert "positoin" in app.error[0].value
    assert n_charts(app) == 0


def test_a_group_of_all_tokens_has_nothing_to_be_compared_with(small):
    app = shown(small, "fair", compared="true")
    assert "leaves no other token" in app.error[0].value


def test_many_lost_tokens_are_a_warning(small):
    app = shown(small, "fair", compared='"row" % 2 = 0 and position < 9', alike_in="position",
                among="position < 4")  # fmt: skip
    assert "have no control" in app.warning[0].value
    assert "others alone" in app.warning[0].value
    assert n_charts(app) == 3

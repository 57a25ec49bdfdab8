"""The Text page on small stores: another store's choices, one checkpoint, text without a loss."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from store.layout import Layout
from tests.queries.support.stores import build_store

Open = Callable[..., AppTest]


def draw(path: str) -> None:
    """The script of a page."""
    import streamlit as st

    from queries import Store
    from views import state
    from views.pages import text

    store = Store(st.session_state.get("other_store", path))
    state.follow(store, [], "text")
    text.page(store)


@pytest.fixture
def opened() -> Open:
    """Opens the page on a store, with a query string's parameters."""

    def run(path: Path, **state: str) -> AppTest:
        app = AppTest.from_function(draw, default_timeout=60, kwargs={"path": str(path)})
        for name, value in state.items():
            app.query_params[name] = value
        app.run()
        assert not app.exception
        return app

    return run


def shown(app: AppTest) -> dict[str, Any]:
    """What the reader was given."""
    texts = (found.proto.json for found in app.get("bidi_component"))
    components = [json.loads(text) for text in texts if text]
    (found,) = (data for data in components if "tokens" in data)  # the others are buttons
    result: dict[str, Any] = found
    return result


def test_the_reader_gets_every_token_and_its_value(opened: Open, folder: Path) -> None:
    app = opened(folder, colour="loss", step="400")
    tokens = pd.read_parquet(Layout(folder).tokens).query("doc == 0")
    losses = pd.read_parquet(Layout(folder).loss_file(400)).query("doc == 0")["loss"]
    given = pd.DataFrame(shown(app)["tokens"], columns=["row", "before", "token", "value", "in"])
    assert given["token"].tolist() == tokens["token_str"].tolist()
    assert given["value"].tolist() == pytest.approx(losses.tolist(), abs=6e-4)
    assert shown(app)["kind"] == "loss" and shown(app)["selected"] is None


def test_text_without_a_loss_is_shown_as_not_scored(opened: Open, small: Path) -> None:
    docs = pd.read_parquet(Layout(small).docs)
    tokens = pd.read_parquet(Layout(small).tokens)
    docs["text"] = "seen, not scored" + docs["text"]
    tokens[["char_start", "char_end"]] += len("seen, not scored")
    docs.to_parquet(Layout(small).docs)
    tokens.to_parquet(Layout(small).tokens)
    before = [token[1] for token in shown(opened(small))["tokens"]]
    assert before[0] == "seen, not scored" and set(before[1:]) <= {""}


def test_one_checkpoint_has_losses_and_no_change(opened: Open, tmp_path: Path) -> None:
    root = build_store(tmp_path / "one", sources=12, steps=(7,))
    app = opened(root)
    assert "this store has one checkpoint" in app.error[0].value
    app.segmented_control(key="colour").set_value("loss").run()
    assert not app.error and shown(app)["kind"] == "loss"


def test_choices_that_the_store_lacks_are_reset(opened: Open, tmp_path: Path) -> None:
    app = opened(build_store(tmp_path / "large", sources=30), source="source 29")
    last = shown(app)["tokens"][-1][0]
    app.query_params["token"] = str(last)
    app.run()
    assert shown(app)["selected"] == last
    app.session_state["other_store"] = str(build_store(tmp_path / "little", sources=2))
    app.run()
    assert not app.exception and shown(app)["selected"] is None
    assert app.selectbox(key="source").value == "source 0"


def test_a_selected_token_has_facts_and_a_trajectory(opened: Open, folder: Path) -> None:
    app = opened(folder, token="1")
    token = pd.read_parquet(Layout(folder).tokens).iloc[1]
    assert shown(app)["selected"] == 1
    assert len(app.get("vega_lite_chart")) == 1
    said = " ".join(str(m.value) for m in app.markdown)
    assert f"`{token['position']}`" in said and f"`{token['corpus_count']}`" in said
    assert "nats**, the " in said

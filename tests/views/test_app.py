"""The pages run, with messages for invalid input, on the bundled store and on small ones."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import fsspec
import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from queries import Store
from tests.queries.support.probed import write_probes
from tests.queries.support.stores import add_checkpoint, build_store, random_losses
from tests.views.apps import n_charts, said
from views.answers import version_of

ROOT = Path(__file__).parents[2]
Open = Callable[..., AppTest]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Open:
    """Opens the app with arguments, as `streamlit run app.py -- ARGUMENTS` does."""

    def run(*arguments: object) -> AppTest:
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr("sys.argv", ["app.py", *map(str, arguments)])
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60).run()
        assert not app.exception
        return app

    return run


def test_the_first_page_draws_two_charts(opened: Open) -> None:
    assert n_charts(opened("data/demo")) == 2


def test_a_missing_store_gets_a_message(opened: Open, tmp_path: Path) -> None:
    app = opened(tmp_path / "nothing")
    assert "does not exist" in said(app)


def test_new_checkpoints_are_offered_and_shown(opened: Open, small: Path) -> None:
    app = opened(small)
    assert "8 checkpoints" in said(app)
    add_checkpoint(small, 5000, random_losses(small, 1))
    app.run()
    assert "8 checkpoints" in said(app)
    app.button(key="show_new").click().run()
    assert "9 checkpoints" in said(app)


def test_a_feature_that_the_command_line_saved_is_a_column_at_the_next_run(
    opened: Open, small: Path
) -> None:
    app = opened(small)
    app.query_params["group"] = ["mine > 3", "true"]
    app.run()
    assert "mine" in said(app) and n_charts(app) == 1
    Store(small).features.save("mine", range(Store(small).manifest.n_tokens))
    app.run()
    assert n_charts(app) == 2 and not app.error


def test_added_probes_are_shown_after_checking_again(opened: Open, small: Path) -> None:
    app = opened(small)
    version = version_of(str(small))
    write_probes(small, Store(small).steps, np.ones((8, 2)), None)
    assert version_of(str(small)) == version
    version_of.clear()
    assert version_of(str(small)) != version
    assert not app.run().exception


def test_an_invalid_group_file_gets_a_message(opened: Open, small: Path) -> None:
    (small / "groups").mkdir()
    (small / "groups" / "broken.sql").write_text("-- nothing but a comment")
    app = opened(small)
    assert "broken.sql contains no expression" in said(app)
    (small / "groups" / "broken.sql").unlink()
    assert n_charts(app.run()) > 0


def test_changed_functions_are_offered_and_loaded(
    opened: Open, small: Path, tmp_path: Path
) -> None:
    functions = tmp_path / "mine.py"
    functions.write_text("def mine(position: int) -> bool:\n    return position > 3\n")
    app = opened(small, "--functions", functions)
    functions.write_text("def mine(position: int) -> bool:\n    return position > 3 and\n")
    os.utime(functions, (1, 1))
    app.run()
    app.button(key="load_functions").click().run()
    assert "cannot be loaded" in said(app)
    functions.write_text("def mine(position: int) -> bool:\n    return position > 5\n")
    app.button(key="load_functions").click().run()
    assert "load_functions" not in [button.key for button in app.button]


def test_a_store_at_a_url_is_drawn(
    opened: Open, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_TRAILS_CACHE", str(tmp_path / "cache"))
    fsspec.filesystem("memory").put(str(small), "/app/run", recursive=True)
    app = opened("memory://app/run")
    assert "8 checkpoints" in said(app)
    assert n_charts(app) > 0


def test_a_replaced_store_is_reported_and_reopened(
    opened: Open, small: Path, tmp_path: Path
) -> None:
    app = opened(small)
    shutil.rmtree(small)
    build_store(small, sources=3, seed=7)
    app.run()
    assert "files changed" in said(app)
    app.button(key="show_new").click().run()
    assert "files changed" not in said(app)
    assert f"{Store(small).manifest.n_tokens:,} tokens" in said(app)

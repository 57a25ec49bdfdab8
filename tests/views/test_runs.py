"""Several runs: distinct names, what cannot be compared, Loss by position and Zoom."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from queries import Store
from queries.analyses.compare import compare_changes
from queries.analyses.positions import positions_of_runs
from queries.errors import StoreError
from tests.queries.support.stores import add_checkpoint, build_store, random_losses
from tests.views.apps import said
from views.widgets.figure import FIGURES
from views.widgets.runs import distinct_names


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs of the same tokens in folders of the same name; the second lacks step 100."""
    folder = tmp_path_factory.mktemp("seeds")
    roots = [build_store(folder / seed / "probe", sources=12, steps=()) for seed in "ab"]
    for seed, root in enumerate(roots):
        for step in (0, 10, 100)[: 3 - seed]:
            add_checkpoint(root, step, random_losses(root, 100 * seed + step))
    return roots


def script(paths: list[str], page: str) -> None:
    """A page of the first store, with all others open."""
    import streamlit as st

    from queries import Store
    from views import about, pages, state
    from views.widgets import figure

    figure.reset()
    store, others = Store(paths[0]), list(paths[1:])
    st.session_state["pages"] = pages.pages(store, others, default=page)
    shown = st.navigation(list(st.session_state["pages"].values()))
    state.follow(store, others, page)
    about.say_which_differ(page, store, others)
    shown.run()
    state.tell(st)


def shown(paths: Sequence[Path], page: str, **query: str) -> AppTest:
    app = AppTest.from_function(script, args=([*map(str, paths)], page), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception and not app.error
    return app


def test_equal_names_of_folders_get_the_folders_above_them() -> None:
    paths = ["runs/a/probe", "runs/b/probe/", "runs/c", "other/x/b/probe"]
    assert list(distinct_names(paths).values()) == ["a/probe", "runs/b/probe", "c", "x/b/probe"]


def test_a_map_for_each_run_or_its_difference(seeds: list[Path]) -> None:
    app = shown(seeds, "positions", runs=str(seeds[1]))
    figures = app.session_state[FIGURES]
    found = figures["heat_map_0"].frame
    own, other = positions_of_runs([Store(root) for root in seeds])
    assert [*found["checkpoint"].unique()] == [0, 10]
    expected = other["mean_loss"] - own[own["checkpoint"] < 100]["mean_loss"].to_numpy()
    np.testing.assert_allclose(found["difference"], expected)
    app.segmented_control(key="by_run").set_value("value").run()
    maps = [name for name in app.session_state[FIGURES] if name.startswith("heat_map")]
    assert len(maps) == 2 and not app.exception


def test_zoom_compares_the_changes_of_every_run(seeds: list[Path]) -> None:
    app = shown(seeds, "zoom", region="0-10")
    found = app.session_state[FIGURES]["run_changes"].frame
    assert found.groupby("run")["share"].sum().to_numpy() == pytest.approx([1, 1])
    lacking = shown(seeds, "zoom", region="10-100")
    assert "Without the checkpoints 10 and 100: b/probe." in said(lacking)


def test_changes_of_runs_are_those_of_the_same_tokens(seeds: list[Path]) -> None:
    stores = [Store(root) for root in seeds]
    group = "loss_at(row, 10) > 1"  # of the first store
    found = compare_changes(stores, 0, 10, group, k=5)
    rows = stores[0].members(group)
    changes = [s.matrix.column(10)[rows] - s.matrix.column(0)[rows] for s in stores]
    assert found.frame["mean_change"].to_numpy() == pytest.approx([c.mean() for c in changes], 1e-5)
    assert found.frame["correlation"][1] == pytest.approx(np.corrcoef(*changes)[0, 1], 1e-4)
    assert found.frame["shared_increased"][0] == 5
    top = [{*np.argsort(c)[-5:]} for c in changes]
    assert found.frame["shared_increased"][1] == len(top[0] & top[1])


def test_stores_of_other_tokens_are_named_with_the_reason(
    seeds: list[Path], tmp_path: Path
) -> None:
    other = build_store(tmp_path / "other", sources=3)
    sentence = said(shown([*seeds, other], "trajectories"))
    assert f"Not comparable with `{seeds[0]}` token by token: `{other}`: it holds" in sentence
    with pytest.raises(StoreError, match="different tokens"):
        compare_changes([Store(seeds[0]), Store(other)], 0, 10)

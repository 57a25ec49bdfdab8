"""The Report page draws the report's figures, and the SQL behind each gives its data."""

import numpy as np
from streamlit.testing.v1 import AppTest

from queries import Store
from queries.report import report
from tests.queries.catalogs import ask_command_line, needs_command_line
from tests.queries.stores import build_store
from tests.views.test_figures_sql import drawn, folder, script

__all__ = ["folder"]  # a fixture


def test_it_draws_every_figure_and_says_what_is_missing(folder):
    found = report(Store(folder))
    app = AppTest.from_function(script, args=(str(folder), "report"), default_timeout=60).run()
    assert not app.exception and not app.error
    assert len(app.session_state["figures"]) == len(found.exhibits) > 8
    shown = " ".join(block.value for block in app.markdown)
    for section in found.sections:
        assert all(sentence in shown for sentence in (*section.seen, *section.missing))
    assert [h.value for h in app.subheader][-1] == "What this store does not show"


@needs_command_line
def test_sql_behind_equals_the_data(folder):
    for figure in drawn(folder, "report", {}):
        theirs = ask_command_line(folder / "catalog.duckdb", figure.script, folder)
        ours = figure.frame
        if "row" in theirs:
            theirs = theirs[theirs["checkpoint"].isin(ours["checkpoint"])]
            ours = ours.drop_duplicates(["row", "checkpoint"]).sort_values(["row", "checkpoint"])
        assert len(theirs) == len(ours), figure.title
        shared = [c for c in theirs if c in ours and theirs[c].dtype.kind in "fiu"]
        assert len(shared) >= 3
        for column in shared:
            np.testing.assert_allclose(theirs[column], ours[column], rtol=1e-6, atol=1e-9)


def test_one_checkpoint_is_no_failure(tmp_path):
    root = build_store(tmp_path / "run", steps=(4,))
    app = AppTest.from_function(script, args=(str(root), "report"), default_timeout=60).run()
    assert not app.exception and not app.error

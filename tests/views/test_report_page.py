"""The Report page draws the report's figures and says what the store does not show."""

from pathlib import Path

from queries import Store
from queries.report import report
from tests.queries.support.stores import build_store
from tests.views.apps import shown
from views.widgets.figure import FIGURES


def test_every_figure_is_drawn_and_what_is_missing_is_listed(folder: Path) -> None:
    found = report(Store(folder))
    app = shown(folder, "report")
    assert not app.error
    assert len(app.session_state[FIGURES]) == len(found.exhibits) > 8
    text = " ".join(block.value for block in app.markdown)
    for section in found.sections:
        assert all(sentence in text for sentence in (*section.seen, *section.missing))
    assert [h.value for h in app.subheader][-1] == "What this store does not show"


def test_a_store_with_one_checkpoint_is_drawn(tmp_path: Path) -> None:
    assert not shown(build_store(tmp_path / "run", steps=(4,)), "report").error

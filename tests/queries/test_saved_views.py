"""Named views: files in the store, and what happens where they cannot be written."""

from pathlib import Path

import pytest

from queries import QueryError, Store, saved_views
from queries.saved_views import View

VIEW = View("The spike", "zoom", {"region": ["400", "700"]}, {"k": 9, "bands": False})


def test_a_view_is_saved_replaced_listed_and_deleted(own: Path) -> None:
    store = Store(own)
    saved_views.save(store, VIEW)
    (own / "views" / "no view.json").write_text("[1")
    assert saved_views.saved(store) == [VIEW]
    changed = View("The spike", "text", {}, {})
    saved_views.save(store, changed)
    assert saved_views.saved(store) == [changed]
    assert {path.name for path in (own / "views").iterdir()} == {
        "The spike.json",
        "no view.json",
    }
    saved_views.delete(store, "The spike")
    assert saved_views.saved(store) == []


@pytest.mark.parametrize("name", ["../out", "", "a/b", ".hidden", 81 * "x", "a\nb"])
def test_a_name_that_is_no_file_name_is_refused(own: Path, name: str) -> None:
    with pytest.raises(QueryError, match="cannot be the name of a view"):
        saved_views.save(Store(own), View(name, "zoom", {}, {}))
    assert not (own / "views").exists()


def test_a_store_that_cannot_be_written_says_so(own: Path) -> None:
    (own / "views").write_text("a file where the folder should be")
    with pytest.raises(QueryError, match="cannot be written"):
        saved_views.save(Store(own), VIEW)

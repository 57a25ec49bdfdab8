"""The app is open while a run is recorded: the curve grows, and what the user chose stays."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import rmtree

import pytest
from playwright.sync_api import Page, expect

from ingest.recorder import Recorder
from tests.browser.actions import brush_region, groups, has_charts, has_query, opened, query
from tests.browser.conftest import settled
from tests.models import CONTEXT, PROSE, byte_level, tiny

Record = Callable[[int], None]
GROUPS = ("position < 9", "position >= 9")


@pytest.fixture
def growing(folder: Path, tmp_path: Path) -> Iterator[tuple[Path, Record]]:
    """A store that is being recorded, with steps 0 to 5, and what records one more."""
    text = tmp_path / "text.txt"
    text.write_text(PROSE * 4)
    recorder = Recorder(folder / "growing", text, byte_level(), CONTEXT)

    def record(step: int) -> None:
        recorder.record(tiny("gpt2", seed=step), step)

    for step in range(6):
        record(step)
    yield folder / "growing", record
    rmtree(folder / "growing")


def rows_of_data(page: Page) -> str:
    """What the first chart shows, by its downloads."""
    page.get_by_role("button", name="Data, picture, SQL").first.click()
    found = page.get_by_text(re.compile("rows of data")).first.inner_text()
    page.keyboard.press("Escape")
    settled(page)
    return found


def test_a_run_is_followed_while_it_is_recorded(
    page: Page, folder_app: str, growing: tuple[Path, Record]
) -> None:
    store, record = growing
    opened(page, f"{folder_app}/?store={store}&{groups(*GROUPS)}")
    has_charts(page, 2)
    follow = page.get_by_role("switch", name="Follow")
    expect(follow).to_be_checked()
    region = brush_region(page, 0.4, 0.8)
    view = page.locator('[data-testid="stMain"]')
    view.evaluate("e => e.scrollTo(0, 300)")
    scrolled = view.evaluate("e => e.scrollTop")
    assert scrolled > 50
    for step in (6, 8):
        record(step)
        expect(page.get_by_text(f"Last step {step}, scored")).to_be_visible(timeout=20_000)
    settled(page)
    expect(page.get_by_text("8 checkpoints, steps 0 to 8")).to_be_visible()
    assert view.evaluate("e => e.scrollTop") == scrolled
    has_charts(page, 2)
    assert query(page)["group"] == [*GROUPS]
    has_query(page, "region", f"{region[0]}-{region[1]}")
    assert rows_of_data(page) == "16 rows of data"

    page.get_by_text("Follow", exact=True).click()
    settled(page)
    record(9)
    page.wait_for_timeout(4_000)
    expect(page.get_by_text("Last step 8, scored")).to_be_visible()

"""The Zoom page: a spike's story in one click, a brush that filters all, the nearest line."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.actions import (
    CHARTS,
    TABLES,
    brush,
    choose,
    has_charts,
    has_query,
    opened,
    query,
    reload,
)
from tests.browser.conftest import new_context, settled

FITS = """e => [...e.querySelectorAll('*')].every(
  x => !x.clientWidth || x.scrollWidth <= x.clientWidth + 16)"""
OVERLAP = ["changed most", "shared", "in placebos", "p (placebos)"]


def test_one_click_on_a_spike_tells_its_story(page: Page, app: str) -> None:
    opened(page, f"{app}/zoom?region=0-1")
    expect(page.get_by_text("The region was chosen by hand")).to_be_visible()
    page.get_by_role("radio", name="Spike: rises from step 1,380 to 1,640").click()
    settled(page)
    has_query(page, "region", "1380-1640")
    has_query(page, "second", "1660-2300")
    expect(page.get_by_role("heading", name="Spike in steps 1,380 to 2,300")).to_be_visible()
    story = page.get_by_text("From step 1,380 to 1,640 the mean loss")
    for part in ("get worse", "tested groups", "increased most", "decreased most in steps 1,660"):
        expect(story).to_contain_text(part)
    has_charts(page, 2)
    for name in ("Tokens in their text", "Token types", "Which groups", "Do the same tokens"):
        expect(page.get_by_role("heading", name=name)).to_be_visible()
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save the story").click()
    html = saved.value.path().read_text(encoding="utf-8")
    assert "The recovery: steps 1,660 to 2,300" in html and "<script" not in html


def test_the_regions_stay_in_the_url(page: Page, app: str) -> None:
    opened(page, f"{app}/zoom")
    choose(page, "Rise: first step", "0")
    has_query(page, "region", "0-1640")
    reload(page)
    expect(page.get_by_role("heading", name="Change in loss from step 0 to")).to_be_visible()


def test_a_brush_filters_lists_lines_and_types_and_nothing_else(page: Page, app: str) -> None:
    opened(page, f"{app}/zoom")
    types = page.get_by_text(re.compile(r"token types occur at least 20 times"))
    lines = page.locator(CHARTS).nth(1)
    story = page.get_by_text("From step 1,380 to 1,640 the mean loss")
    story.evaluate("e => { e.dataset.marked = 'yes' }")
    before, drawn = types.inner_text(), lines.screenshot()
    brush(page, 0.62, 0.95)
    found = page.get_by_text(re.compile(r"^Changed by \+.+ nats: [\d,]+ of 51,100 tokens$"))
    expect(found).to_be_visible()
    assert types.inner_text() != before
    assert lines.screenshot() != drawn
    page.get_by_role("tab", name="Most decreased", exact=True).click()
    expect(page.get_by_text("No token of the group changed in this direction.")).to_be_visible()
    expect(story).to_have_attribute("data-marked", "yes")


def test_the_nearest_line_names_its_token_wherever_the_pointer_is(page: Page, app: str) -> None:
    opened(page, f"{app}/zoom")
    lines = page.locator(CHARTS).nth(1)
    lines.scroll_into_view_if_needed()
    settled(page)
    box = lines.bounding_box()
    assert box
    tip = page.locator("#vg-tooltip-element")
    for across, down in ((0.35, 0.3), (0.6, 0.45), (0.9, 0.6)):
        page.mouse.move(box["x"] + box["width"] * across, box["y"] + box["height"] * down, steps=4)
        expect(tip).to_contain_text(re.compile(r"in its text.*⟦.+⟧.*step", re.DOTALL))


@pytest.mark.parametrize("width", [1024, 1280])
def test_placebos_come_first_and_are_never_cut(browser: Browser, app: str, width: int) -> None:
    context = new_context(browser, width, 900)
    page = opened(context.new_page(), f"{app}/zoom")
    table = page.locator(TABLES).last
    table.scroll_into_view_if_needed()
    settled(page)
    heads = table.locator("th")  # the table that screen readers are given
    for at, name in enumerate(OVERLAP):
        expect(heads.nth(at)).to_have_text(name)
    # A table scrolls sideways if it is wider than its place.
    assert table.evaluate(FITS)
    context.close()


def test_no_recovery_is_said(page: Page, app: str) -> None:
    opened(page, f"{app}/zoom?region=2900-3000")
    expect(page.get_by_text("so there is no recovery to compare with")).to_be_visible()
    expect(page.get_by_text("There is no recovery to compare with:")).to_be_visible()
    assert "second" not in query(page)

"""What a user does: open, choose groups, brush, zoom, reload the URL; and what goes wrong."""

import re
from urllib.parse import parse_qs, urlencode, urlparse

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import settled

WRITE = "Write SQL …"


def query(page: Page) -> dict[str, str]:
    return {k: v[0] for k, v in parse_qs(urlparse(page.url).query).items()}


def choose(page: Page, label: str, option: str) -> None:
    box = page.get_by_role("combobox", name=label, exact=True)
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).click()
    settled(page)


def brush(page: Page, start: float, end: float) -> None:
    """Drag over the first chart, between two shares of its width."""
    area = page.locator('[data-testid="stVegaLiteChart"]').first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box
    y = box["y"] + box["height"] * 0.6
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * (start + end) / 2, y, steps=5)
    page.mouse.move(box["x"] + box["width"] * end, y, steps=5)
    page.mouse.up()
    settled(page)


def has_charts(page: Page, count: int) -> None:
    expect(page.locator('[data-testid="stVegaLiteChart"] svg.marks')).to_have_count(count)


def test_the_first_page_shows_two_charts_and_says_what_they_count(page, app):
    page.goto(app)
    settled(page)
    has_charts(page, 2)
    expect(page.get_by_text(re.compile(r"tokens in \d+ source documents")).first).to_be_visible()


def test_a_chosen_group_is_drawn_and_its_url_restores_it(page, app):
    page.goto(app)
    settled(page)
    choose(page, "Baseline", "Word start")
    assert query(page)["baseline"] == "Word start"
    page.reload()
    settled(page)
    expect(page.get_by_text("is_word_start", exact=True).first).to_be_visible()
    has_charts(page, 2)


def test_a_written_group_is_drawn_and_restored(page, app):
    page.goto(app)
    settled(page)
    choose(page, "Comparison", WRITE)
    field = page.get_by_role("textbox", name="Comparison: SQL condition")
    field.fill("is_palindrome(word)")
    field.press("Control+Enter")
    settled(page)
    assert query(page)["comparison_sql"] == "is_palindrome(word)"
    has_charts(page, 2)
    page.reload()
    settled(page)
    expect(page.get_by_role("textbox", name="Comparison: SQL condition")).to_have_value(
        "is_palindrome(word)"
    )


@pytest.mark.parametrize(
    ("clause", "sentence"),
    [
        ("positoin = 50", "did you mean position"),
        ("position", "not true or false"),
        ("position = 100000", "selects none of the"),
        ("loss > 2", "loss_at"),
        ("true) or (false", "expected one condition"),
    ],
)
def test_a_bad_group_gets_a_sentence_and_the_other_stays(page, app, clause, sentence):
    page.goto(f"{app}/?{urlencode({'baseline': WRITE, 'baseline_sql': clause})}")
    settled(page)
    expect(page.get_by_role("alert").get_by_text(sentence)).to_be_visible()
    has_charts(page, 1)
    field = page.get_by_role("textbox", name="Baseline: SQL condition")
    field.fill("position = 60")
    field.press("Control+Enter")
    settled(page)
    has_charts(page, 2)


def test_a_brushed_region_leads_to_its_zoom(page, app):
    page.goto(app)
    settled(page)
    brush(page, 0.6, 0.9)
    first, last = query(page)["region"].split("-")
    assert int(first) < int(last)
    page.get_by_role("link", name="Zoom into steps").click()
    page.wait_for_url("**/zoom*")
    settled(page)
    title = f"Change in loss from step {int(first):,} to {int(last):,}"
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    page.reload()  # the URL names the region, or omits what is the page's own suggestion
    settled(page)
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    has_charts(page, 2)


def test_a_reloaded_region_is_still_brushed(page, app):
    page.goto(app)
    settled(page)
    brush(page, 0.6, 0.9)
    url = page.url
    page.goto(url)
    settled(page)
    assert page.url == url
    expect(page.get_by_role("link", name="Zoom into steps")).to_be_visible()


def test_zoom_shows_lists_overlap_and_keeps_its_state_in_the_url(page, app):
    page.goto(f"{app}/zoom")
    settled(page)
    has_charts(page, 2)
    for name in ("Most decreased", "Most increased", "Random"):
        page.get_by_role("tab", name=name).click()
        expect(page.locator('[data-testid="stDataFrame"]:visible').first).to_be_visible()
    choose(page, "Region: first step", "0")
    assert query(page)["first"] == "0"
    page.reload()
    settled(page)
    expect(page.get_by_role("heading", name="Change in loss from step 0 to")).to_be_visible()


def test_a_reversed_region_gets_a_sentence(page, app):
    page.goto(f"{app}/zoom?first=1000&last=0")
    settled(page)
    expect(page.get_by_role("alert").get_by_text("is empty")).to_be_visible()


def test_groups_stay_chosen_when_the_page_is_changed_and_back(page, app):
    page.goto(app)
    settled(page)
    choose(page, "Baseline", "Word start")
    page.get_by_role("link", name="Zoom", exact=True).click()
    page.wait_for_url("**/zoom*")
    settled(page)
    page.get_by_role("link", name="Trajectories", exact=True).click()
    settled(page)
    expect(page.get_by_role("combobox", name="Baseline")).to_have_value("Word start")


def test_an_unknown_value_in_the_url_falls_back(page, app):
    page.goto(f"{app}/?baseline=nonsense&axis=nonsense&region=9-1")
    settled(page)
    has_charts(page, 2)

"""What a user does on every page: open, follow a link, reload it; and what goes wrong."""

import re
from urllib.parse import parse_qs, urlencode, urlparse

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import settled


def query(page: Page) -> dict[str, list[str]]:
    return parse_qs(urlparse(page.url).query)


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    settled(page)
    return page


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).last.click()
    settled(page)


def choose(page: Page, label: str, option: str) -> None:
    box = page.get_by_role("combobox", name=label, exact=True).last
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).click()
    settled(page)


def brush(page: Page, start: float, end: float, chart: int = 0) -> None:
    """Drag over a chart, between two shares of its width."""
    area = page.locator('[data-testid="stVegaLiteChart"]').nth(chart)
    area.scroll_into_view_if_needed()
    area.locator("svg, canvas").first.wait_for()
    settled(page)
    box = area.bounding_box()
    assert box
    y = box["y"] + box["height"] * 0.6
    page.mouse.move(box["x"] + box["width"] * start, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * (start + end) / 2, y, steps=5)
    page.mouse.move(box["x"] + box["width"] * end, y, steps=5)
    page.mouse.up()
    settled(page)


def brush_region(page: Page, start: float, end: float) -> tuple[int, int]:
    """Brush the first chart; the region that the URL names then."""
    brush(page, start, end)
    page.wait_for_url("**region=**")
    first, last = query(page)["region"][0].split("-")
    return int(first), int(last)


def has_charts(page: Page, count: int) -> None:
    """Drawn ones; Streamlit draws those with many points on a canvas, the others as SVG."""
    expect(page.locator('[data-testid="stVegaLiteChart"] .marks')).to_have_count(count)


def tick(page: Page, table: int, until: Locator) -> None:
    """Tick the first line of a table, again where the table was not drawn yet."""
    frame = page.locator('[data-testid="stDataFrame"]').nth(table)
    frame.scroll_into_view_if_needed()
    expect(frame.locator("canvas").first).to_be_visible()
    for _ in range(5):
        box = frame.bounding_box()
        assert box
        page.mouse.click(box["x"] + 18, box["y"] + 50)
        settled(page)
        if until.is_visible():
            return
        page.wait_for_timeout(1_000)
    raise AssertionError("the line was ticked five times, and nothing came of it")


def groups(*values: str) -> str:
    return urlencode([("group", value) for value in values])


def test_the_first_page_shows_two_charts_and_says_what_they_count(page, app):
    opened(page, app)
    has_charts(page, 2)
    expect(page.get_by_text(re.compile(r"tokens in \d+ source documents")).first).to_be_visible()


@pytest.mark.parametrize(
    ("clause", "sentence"),
    [
        ("positoin = 50", "did you mean position"),
        ("position", "not true or false"),
        ("position = 100000", "selects none of the"),
        ("loss > 2", "loss_at"),
        ("true) or (false", "expected one condition"),
        ('{"built":{"kind":"nonsense"}}', "tokens have no column nonsense"),
    ],
)
def test_a_bad_group_gets_a_sentence_and_the_other_stays(page, app, clause, sentence):
    opened(page, f"{app}/?{groups(clause, 'copyable')}")
    expect(page.get_by_role("alert").get_by_text(sentence)).to_be_visible()
    has_charts(page, 1)


def test_a_brushed_region_leads_to_its_zoom(page, app):
    opened(page, app)
    first, last = brush_region(page, 0.6, 0.9)
    assert first < last
    page.get_by_role("link", name="Zoom into steps").click()
    page.wait_for_url("**/zoom*")
    settled(page)
    title = f"Change in loss from step {first:,} to {last:,}"
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    page.reload()  # the URL names the region, or omits what is the page's own suggestion
    settled(page)
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    has_charts(page, 2)


def test_a_reloaded_region_is_still_brushed(page, app):
    opened(page, app)
    brush_region(page, 0.6, 0.9)
    url = page.url
    opened(page, url)
    assert page.url == url
    expect(page.get_by_role("link", name="Zoom into steps")).to_be_visible()


def test_groups_stay_chosen_when_the_page_is_changed_and_back(page, app):
    opened(page, f"{app}/?{groups('word_start', 'position < 9')}")
    page.get_by_role("link", name="Zoom", exact=True).click()
    page.wait_for_url("**/zoom*")
    settled(page)
    page.get_by_role("link", name="Trajectories", exact=True).click()
    settled(page)
    assert query(page)["group"] == ["word_start", "position < 9"]
    has_charts(page, 2)


def test_unknown_values_in_the_url_fall_back(page, app):
    opened(page, f"{app}/?axis=nonsense&region=9-1&below=nonsense&smooth=x&events=no")
    has_charts(page, 2)


@pytest.mark.parametrize(
    "address",
    [
        '/?group={"text":"copyable","color":"red; <script>"}',
        '/?group={"built":{"kind":"changed","first":400,"last":700,"least":1'
        + 400 * "0"
        + ',"how":"rose"}}&group=copyable',
        "/?region=1-" + 5_000 * "9",
        "/text?token=" + 5_000 * "9",
    ],
    ids=["colour", "number", "region", "token"],
)
def test_nonsense_in_the_url_breaks_no_page(page, app, address):
    opened(page, app + address)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("encountered an error")).to_have_count(0)
    assert page.locator('[data-testid="stVegaLiteChart"]').count() > 0 or "text" in address


def test_zoom_shows_lists_overlap_and_keeps_its_state_in_the_url(page, app):
    opened(page, f"{app}/zoom")
    has_charts(page, 2)
    for name in ("Most decreased", "Most increased", "Random"):
        page.get_by_role("tab", name=name).click()
        expect(page.locator('[data-testid="stDataFrame"]:visible').first).to_be_visible()
    choose(page, "Region: first step", "0")
    assert query(page)["first"] == ["0"]
    page.reload()
    settled(page)
    expect(page.get_by_role("heading", name="Change in loss from step 0 to")).to_be_visible()


def test_a_detected_event_becomes_the_region(page, app):
    opened(page, f"{app}/zoom?first=0&last=1")
    box = page.get_by_role("combobox", name="Take a detected event of the mean loss")
    box.click()
    page.get_by_role("option").first.click()
    settled(page)
    assert query(page).get("last") != ["1"]


def test_a_reversed_region_gets_a_sentence(page, app):
    opened(page, f"{app}/zoom?first=1000&last=0")
    expect(page.get_by_role("alert").get_by_text("is empty")).to_be_visible()


@pytest.mark.parametrize(
    ("address", "tab", "link"),
    [
        ("/zoom", "Most increased", "“Most increased, 1,380 to 1,640” as a group on Trajectories"),
        (
            "/zoom?lists_of=types",
            "Most decreased",
            "“Most decreased types, 1,380 to 1,640” as a group on Trajectories",
        ),
    ],
)
def test_a_list_becomes_a_group(page, app, address, tab, link):
    opened(page, app + address)
    page.get_by_role("tab", name=tab).click()
    page.get_by_role("link", name=link).click()
    expect(page.get_by_role("heading", name="Trajectories")).to_be_visible()
    settled(page)
    assert len(query(page)["group"]) == 3
    has_charts(page, 2)


def test_brushed_bars_become_a_group(page, app):
    opened(page, f"{app}/zoom")
    brush(page, 0.7, 0.95)
    page.get_by_role("link", name=re.compile("“Changed by")).click()
    settled(page)
    assert "changed_between" in query(page)["group"][2]


def test_a_line_of_the_leaderboard_becomes_a_group(page, app):
    opened(page, f"{app}/zoom?explain=true")
    link = page.get_by_role("link", name=re.compile("“position between .*” as a group"))
    tick(page, table=3, until=link)
    link.click()
    settled(page)
    assert len(query(page)["group"]) == 3


def test_the_tour_leads_to_each_finding(page, app):
    opened(page, app)
    page.get_by_role("link", name="New here?").click()
    page.wait_for_url("**/tour*")
    settled(page)
    links = page.get_by_role("link", name=re.compile(r"^(.* )?Show it"))
    assert links.count() == 4
    links.first.click()
    settled(page)
    assert query(page)["group"] == ["position_50", "position_500"]
    has_charts(page, 2)


def test_a_token_of_a_list_is_read_in_its_text(page, app):
    opened(page, f"{app}/zoom")
    link = page.get_by_role("link", name=re.compile("^(.* )?Read row"))
    tick(page, table=0, until=link)
    link.click()
    page.wait_for_url("**/text*")
    settled(page)
    expect(page.get_by_text(re.compile("the largest fall of all")).first).to_be_visible()

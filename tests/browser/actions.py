"""What a user does with mouse and keys, each followed by a wait until the page is settled."""

import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlencode, urlparse

from playwright.sync_api import Locator, Page, expect
from playwright.sync_api import TimeoutError as NotInTime

from tests.browser.conftest import settled

CHARTS = '[data-testid="stVegaLiteChart"]'
TABLES = '[data-testid="stDataFrame"]'


def groups(*values: str) -> str:
    """The query string of groups on Trajectories."""
    return urlencode([("group", value) for value in values])


def query(page: Page) -> dict[str, list[str]]:
    """The query string of the page's address."""
    return parse_qs(urlparse(page.url).query)


def has_query(page: Page, name: str, *values: str) -> None:
    """Wait until the address has these values of a parameter, and the page is settled."""
    try:
        page.wait_for_url(lambda url: parse_qs(urlparse(url).query).get(name, []) == [*values])
    except NotInTime:
        assert query(page).get(name, []) == [*values]
    settled(page)


def opened(page: Page, address: str) -> Page:
    """Open an address."""
    page.goto(address)
    settled(page)
    return page


def reload(page: Page) -> None:
    """Reload the page."""
    page.reload()
    settled(page)


def back(page: Page) -> None:
    """Go back one step of the browser's history."""
    page.go_back()
    settled(page)


def press(page: Page, name: str) -> None:
    """Press the last button of this name."""
    page.get_by_role("button", name=name, exact=True).last.click()
    settled(page)


def in_rail(page: Page, place: int, item: str) -> None:
    """Choose an item of the menu of the group at `place` in the rail."""
    page.locator(".rail .row").nth(place).get_by_role("button", name="Menu of").click()
    page.get_by_role("menuitem", name=item, exact=True).click()
    settled(page)


def navigate(page: Page, title: str, path: str) -> None:
    """Follow the navigation to a page."""
    page.get_by_role("link", name=title, exact=True).click()
    page.wait_for_url(f"**/{path}*")
    settled(page)


def choose(page: Page, label: str, option: str) -> None:
    """Choose an option of a select box."""
    box = page.get_by_role("combobox", name=label, exact=True).last
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).click()
    settled(page)


def switch(page: Page, name: str) -> None:
    """Choose one value of a segmented control."""
    page.get_by_role("radio", name=name).click()
    settled(page)


def write(page: Page, label: str, text: str) -> None:
    """Fill a text field and commit it."""
    field = page.get_by_label(label, exact=True).last
    field.fill(text)
    field.press("Control+Enter")
    settled(page)


def brush(page: Page, start: float, end: float, chart: int = 0) -> None:
    """Drag over a chart, between two shares of its width."""
    area = page.locator(CHARTS).nth(chart)
    area.scroll_into_view_if_needed()
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
    settled(page)
    first, last = query(page)["region"][0].split("-")
    return int(first), int(last)


def has_charts(page: Page, count: int) -> None:
    """Expect `n` charts; Streamlit draws some in two layers, with a canvas for the marks."""
    charts = page.locator(CHARTS)
    expect(charts.filter(has=page.locator(".marks"))).to_have_count(count)


def select_row(page: Page, table: int, row: int, until: Locator) -> None:
    """Select a row of a visible table, again if the table was not ready; tables are canvases."""
    frame = page.locator(f"{TABLES}:visible").nth(table)
    frame.scroll_into_view_if_needed()
    expect(frame.locator("canvas").first).to_be_visible()
    for _ in range(5):
        settled(page)
        frame.click(position={"x": 18, "y": 35 * (row + 1) + 18})
        settled(page)
        try:
            until.wait_for(timeout=1_000)
            return
        except NotInTime:
            continue
    raise AssertionError("the row was clicked five times without an effect")


def eventually(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for what the page cannot show, such as a file that the server writes or deletes."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)

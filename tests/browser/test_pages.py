"""What a user does on every page: open, follow a link, reload it; and what goes wrong."""

import json
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.actions import (
    CHARTS,
    back,
    brush,
    brush_region,
    choose,
    groups,
    has_charts,
    has_query,
    in_rail,
    navigate,
    opened,
    query,
    reload,
    select_row,
    switch,
)
from tests.browser.conftest import settled


def test_the_first_page_shows_two_charts_and_the_sizes_of_groups(page: Page, app: str) -> None:
    opened(page, app)
    has_charts(page, 2)
    expect(page.locator(".rail .size")).to_have_text(["47,627", "3,473"])


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
def test_an_invalid_group_gets_a_message_and_the_other_is_still_drawn(
    page: Page, app: str, clause: str, sentence: str
) -> None:
    opened(page, f"{app}/?{groups(clause, 'copyable')}")
    expect(page.get_by_role("alert").get_by_text(sentence)).to_be_visible()
    has_charts(page, 1)


def test_a_brushed_region_leads_to_its_zoom(page: Page, app: str) -> None:
    opened(page, app)
    first, last = brush_region(page, 0.6, 0.9)
    assert first < last
    page.get_by_role("link", name="Zoom into steps").click()
    page.wait_for_url("**/zoom*")
    settled(page)
    title = f"Change in loss from step {first:,} to {last:,}"
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    reload(page)  # the URL names the region, or omits the page's own suggestion
    expect(page.get_by_role("heading", name=title)).to_be_visible()
    has_charts(page, 2)


def test_a_reloaded_region_is_still_brushed(page: Page, app: str) -> None:
    opened(page, app)
    brush_region(page, 0.6, 0.9)
    url = page.url
    opened(page, url)
    assert page.url == url
    expect(page.get_by_role("link", name="Zoom into steps")).to_be_visible()


def test_groups_stay_selected_on_another_page_and_back(page: Page, app: str) -> None:
    opened(page, f"{app}/?{groups('word_start', 'position < 9')}")
    navigate(page, "Zoom", "zoom")
    navigate(page, "Trajectories", "")
    has_query(page, "group", "word_start", "position < 9")
    has_charts(page, 2)


def test_unusable_values_in_the_url_are_named_and_replaced_by_defaults(
    page: Page, app: str
) -> None:
    opened(page, f"{app}/?axis=nonsense&region=1640-1380&compare=nonsense&foo=1&runs=x")
    has_charts(page, 2)
    alerts = page.get_by_role("alert")
    for sentence in (
        "axis=nonsense in the link is not usable: available here: symlog, linear, tokens seen.",
        "region=1640-1380 in the link is not usable: step 1,640 is not before step 1,380.",
        "compare=nonsense in the link is not available here. Shown instead: difference.",
        "The link's parameter foo has no effect on this page.",
        "runs=x in the link is not among the other open stores.",
    ):
        expect(alerts.get_by_text(sentence)).to_be_visible()
    switch(page, "linear")
    expect(alerts).to_have_count(0)
    opened(page, f"{app}/text?source=xxx")
    expect(alerts.get_by_text("source=xxx in the link is not available here")).to_be_visible()


def test_back_undoes_one_change_and_returns_to_the_last_page(page: Page, app: str) -> None:
    opened(page, app)
    switch(page, "linear")
    in_rail(page, 1, "Make baseline")
    navigate(page, "Zoom", "zoom")
    choose(page, "Rise: first step", "0")
    has_query(page, "region", "0-1640")
    back(page)
    expect(page.get_by_role("combobox", name="Rise: first step", exact=True)).to_have_value("1,380")
    back(page)
    expect(page.get_by_role("heading", name="Trajectories")).to_be_visible()
    expect(page.locator(".rail .name")).to_have_text(["Copyable", "Not copyable"])
    back(page)
    expect(page.locator(".rail .name")).to_have_text(["Not copyable", "Copyable"])
    expect(page.get_by_role("radio", name="linear")).to_be_checked()
    back(page)
    expect(page.get_by_role("radio", name="symlog")).to_be_checked()


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
def test_no_page_fails_on_invalid_values_in_the_url(page: Page, app: str, address: str) -> None:
    opened(page, app + address)
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.get_by_text("encountered an error")).to_have_count(0)
    assert page.locator('[data-testid="stVegaLiteChart"]').count() > 0 or "text" in address


def test_a_reversed_region_gets_a_message(page: Page, app: str) -> None:
    opened(page, f"{app}/zoom?region=1000-0")
    expect(page.get_by_role("alert").get_by_text("step 1,000 is not before step 0")).to_be_visible()


@pytest.mark.parametrize(
    ("address", "tab", "link"),
    [
        ("/zoom", "Most increased", "Show “Most increased, 1,380 to 1,640” on Trajectories"),
        (
            "/zoom",
            "Most decreased types",
            "Show “Most decreased types, 1,380 to 1,640” on Trajectories",
        ),
    ],
)
def test_a_list_becomes_a_group(page: Page, app: str, address: str, tab: str, link: str) -> None:
    opened(page, app + address)
    page.get_by_role("tab", name=tab, exact=True).click()
    page.get_by_role("link", name=link).click()
    expect(page.get_by_role("heading", name="Trajectories")).to_be_visible()
    settled(page)
    assert len(query(page)["group"]) == 3
    has_charts(page, 2)


def test_brushed_bars_become_a_group(page: Page, app: str) -> None:
    opened(page, f"{app}/zoom")
    brush(page, 0.7, 0.95)
    page.get_by_role("link", name=re.compile("Show “Changed by")).click()
    settled(page)
    assert "changed_between" in query(page)["group"][2]


def test_a_row_of_the_leaderboard_becomes_a_group(page: Page, app: str) -> None:
    opened(page, f"{app}/zoom")
    link = page.get_by_role("link", name=re.compile("Show “.+” on")).last
    select_row(page, 2, 0, until=link)
    link.click()
    settled(page)
    assert len(query(page)["group"]) == 3


def test_the_tour_leads_to_each_finding(page: Page, app: str) -> None:
    opened(page, app)
    page.get_by_role("link", name="New here?").click()
    page.wait_for_url("**/tour*")
    settled(page)
    expect(page.get_by_text("Start with five questions")).to_be_visible()
    cards = page.locator('[class*="st-key-card_"]')
    assert cards.count() == 5
    expect(cards.nth(1)).to_contain_text("Show 31,918 vs. 19,182 tokens")  # continuations first
    cards.first.click(position={"x": 500, "y": 12})  # the card, far from its link
    settled(page)
    has_query(page, "group", "position_50", "position_500")
    has_charts(page, 2)


def test_a_token_of_a_list_is_read_in_its_text(page: Page, app: str) -> None:
    opened(page, f"{app}/zoom")
    link = page.get_by_role("link", name=re.compile("^(.* )?Read row"))
    select_row(page, 0, 0, until=link)
    link.click()
    page.wait_for_url("**/text*")
    settled(page)
    expect(page.get_by_text(re.compile("the largest fall of all")).first).to_be_visible()


LONG = [
    "true",
    "is_word_start",
    "word_part > 0",
    "trigram_seen_before > 0",
    "position = 50",
    "position = 500",
    "position < 9",
    "position > 99",
    "corpus_count < 10",
    "regexp_matches(token_str, '^ [A-Z]')",
    "seen_before > 0",
    "word in ('Congress', 'Government', 'people', 'country', 'war')",
]
NAME = "A very long name that someone typed without a thought for narrow screens, number"
"""Elements whose text is cut, which leave the window, or which lie on one another."""
MISPLACED = """
() => {
  const all = [...document.querySelectorAll(
    '[data-testid="stMainBlockContainer"] h1, [data-testid="stElementContainer"]')]
  const shown = all.filter((e) => e.offsetHeight > 2 && e.offsetWidth > 2 &&
    !e.querySelector('[data-testid="stElementContainer"]'))
  const rail = document.querySelector('[data-testid="stBidiComponentRegular"]')
  const found = []
  const box = (e) => e.getBoundingClientRect()
  for (const e of shown) {
    const at = box(e)
    if (at.right > innerWidth + 1 || at.left < -1) found.push(["outside", e.innerText])
  }
  for (let i = 0; i < shown.length; i++)
    for (let j = i + 1; j < shown.length; j++) {
      if (shown[i].contains(shown[j]) || shown[j].contains(shown[i])) continue
      const a = box(shown[i]), b = box(shown[j])
      const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left)
      const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
      if (wide > 2 && high > 2) found.push(["overlap", shown[i].innerText, shown[j].innerText])
    }
  if (document.documentElement.scrollWidth > innerWidth) found.push(["scrolls sideways"])
  return found
}
"""


@pytest.mark.parametrize("width", [1280, 1024])
def test_twelve_groups_with_long_names_fit(page: Page, app: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    named = [json.dumps({"text": text, "name": f"{NAME} {n}"}) for n, text in enumerate(LONG)]
    opened(page, f"{app}/?{groups(*named)}")
    assert page.evaluate(MISPLACED) == []
    rows = [row.bounding_box() for row in page.locator(".rail .row").all()]
    assert len(rows) == 12 and {round(row["height"]) for row in rows if row} <= {26, 27, 28, 29}
    for row in page.locator(".rail .row").all():
        size, menu, of_row = (
            found.bounding_box() for found in (row.locator(".size"), row.locator(".opener"), row)
        )
        assert size and menu and of_row
        assert size["x"] + size["width"] <= menu["x"] <= of_row["x"] + of_row["width"]
    title, chart = page.locator("h1").bounding_box(), page.locator(CHARTS).first.bounding_box()
    assert title and chart and title["y"] < 60 and chart["height"] >= 360
    if width == 1280:
        assert chart["y"] + chart["height"] <= 900

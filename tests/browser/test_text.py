"""Reading a text: colours, tokens selected by mouse and keys, jumps, links, invalid input."""

import re
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest
from playwright.sync_api import Page, expect

from queries import Store
from tests.browser.actions import (
    choose,
    has_query,
    opened,
    press,
    query,
    reload,
    select_row,
    switch,
)
from tests.browser.conftest import DEMO, settled
from tests.queries.support import stores

HOSTILE = [
    "<img src=x onerror='window.pwned=1'>",
    "</div><script>window.pwned=1</script>",
    "\t",
    " ",
    "\u200b",
    " **b** $x$ `",
    "<0xE2>",
    "\n",
    "&lt;",
]


@pytest.fixture
def hostile_store(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A text that would be markup if it were not escaped."""
    monkeypatch.setattr(stores, "VOCABULARY", HOSTILE)
    yield stores.build_store(folder / "hostile", sources=12)
    rmtree(folder / "hostile")


def read(page: Page, address: str) -> None:
    """Open a doc."""
    opened(page, address)
    expect(page.locator(".token").first).to_be_visible()


def selected(page: Page) -> int:
    """The place of the selected token among its doc's."""
    place: int = page.locator(".token").evaluate_all(
        "all => all.findIndex(t => t.getAttribute('aria-selected') === 'true')"
    )
    return place


def color(page: Page, at: int) -> str:
    token = page.locator(".token").nth(at)
    return str(token.evaluate("t => getComputedStyle(t).backgroundColor"))


def test_a_doc_is_shown_with_the_value_of_each_token(page: Page, app: str) -> None:
    read(page, f"{app}/text")
    expect(page.locator(".token")).to_have_count(511)
    text = page.locator(".text").inner_text()
    assert text.startswith("Fellow-Citizens of the Senate")
    name = page.locator(".text").get_attribute("aria-label")
    assert name and re.search(r"511 tokens by change in loss from step [\d,]+ to", name)
    first = page.locator(".token").first
    assert re.fullmatch(r"F, change [+−]\d+\.\d{3} nats", first.get_attribute("aria-label") or "")
    first.hover()
    expect(page.get_by_role("tooltip")).to_have_text(re.compile(r"F  change [+−]\d\.\d{3} nats"))


def test_a_clicked_token_shows_its_trajectory_and_its_link_restores_it(
    page: Page, app: str
) -> None:
    read(page, f"{app}/text")
    page.locator(".token").nth(40).click()
    settled(page)
    has_query(page, "token", "40")
    expect(page.get_by_role("heading", name="The token “reat”")).to_be_visible()
    expect(page.locator('[data-testid="stVegaLiteChart"] svg.marks')).to_have_count(1)
    expect(page.get_by_text("of this doc's 511 tokens")).to_be_visible()
    reload(page)
    expect(page.get_by_role("heading", name="The token “reat”")).to_be_visible()
    assert selected(page) == 40


def test_a_link_to_a_token_alone_opens_its_doc(page: Page, app: str) -> None:
    read(page, f"{app}/text?token=1200")  # the third doc's
    expect(page.locator('[aria-selected="true"].token')).to_be_visible()
    assert selected(page) == 1200 - 2 * 511
    expect(page.get_by_role("combobox", name="Part")).to_have_value("2")


def test_tokens_are_reached_and_selected_with_keys(page: Page, app: str) -> None:
    read(page, f"{app}/text")
    page.locator(".token").first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.get_by_role("tooltip")).to_be_visible()
    page.keyboard.press("Enter")
    settled(page)
    has_query(page, "token", "1")
    assert selected(page) == 1
    page.keyboard.press("ArrowDown")  # the focus stayed where it was
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: not url.endswith("token=1"))
    settled(page)
    assert selected(page) > 20
    assert page.locator('.token[tabindex="0"]').count() == 1


def test_a_row_of_the_largest_changes_leads_to_its_token(page: Page, app: str) -> None:
    read(page, f"{app}/text")
    select_row(page, 0, 0, page.locator('[aria-selected="true"].token'))
    has_query(page, "token", str(selected(page)))
    here = selected(page)
    change = page.locator(".token").nth(here).get_attribute("aria-label")
    assert change and "−7.1" in change
    switch(page, "the whole text")
    select_row(page, 1, 0, page.get_by_text("the largest rise of all"))
    assert query(page)["source"]
    there = page.locator('[aria-selected="true"].token')
    expect(there).to_be_in_viewport()
    expect(page.get_by_text("the largest rise of all 51,100")).to_be_visible()


def test_colours_follow_the_steps_and_the_kind(page: Page, app: str) -> None:
    read(page, f"{app}/text")
    by_change = color(page, 271)
    choose(page, "Change: last step", "1,400")
    has_query(page, "region", "1380-1400")
    assert color(page, 271) != by_change
    switch(page, "loss")
    expect(page.locator(".token.loss")).to_have_count(511)
    choose(page, "Step", "0")
    has_query(page, "step", "0")
    reload(page)
    expect(page.locator(".legend")).to_contain_text("loss 0")
    expect(page.get_by_role("heading", name="Highest losses")).to_be_visible()


def test_members_of_a_group_are_marked(page: Page, app: str) -> None:
    read(page, f"{app}/text?colour=group&focus=position+%3C+6")
    expect(page.locator(".token.member")).to_have_count(5)
    expect(page.locator(".legend")).to_contain_text("5 of the doc's 511 tokens")


def test_docs_are_browsed_and_searched(page: Page, app: str) -> None:
    read(page, f"{app}/text")
    page.locator(".token").nth(3).click()
    settled(page)
    press(page, "Next")
    has_query(page, "part", "1")
    has_query(page, "token")
    reload(page)
    expect(page.get_by_role("combobox", name="Part")).to_have_value("1")
    choose(page, "Source document", "1839-VanBuren-1")
    has_query(page, "source", "1839-VanBuren-1")
    expect(page.locator(".text")).to_have_attribute("aria-label", re.compile("1839-VanBuren-1"))


def test_a_key_on_a_link_below_the_text_opens_the_next_part(page: Page, app: str) -> None:
    read(page, f"{app}/text")
    page.get_by_role("button", name="continues in part 1").press("Enter")
    has_query(page, "part", "1")
    has_query(page, "token")
    page.get_by_role("button", name="continued from part 0").press("Enter")
    expect(page.get_by_role("button", name="continued from")).to_have_count(0)
    assert selected(page) == -1


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("region=1000-0", "step 1,000 is not before step 0"),
        ("colour=group&focus=positoin+%3D+5", "did you mean position"),
    ],
)
def test_an_invalid_choice_gets_a_message(page: Page, app: str, state: str, sentence: str) -> None:
    opened(page, f"{app}/text?{state}")
    expect(page.get_by_role("alert").get_by_text(sentence)).to_be_visible()


def test_an_unknown_token_in_a_link_is_dropped(page: Page, app: str) -> None:
    read(page, f"{app}/text?token=99999999&source=nonsense")
    has_query(page, "token")
    assert selected(page) == -1


def test_text_is_never_interpreted_as_markup(
    page: Page, folder_app: str, hostile_store: Path
) -> None:
    read(page, f"{folder_app}/text?store={hostile_store}&part=1")
    for at in range(0, page.locator(".token").count(), 3):
        page.locator(".token").nth(at).click()
        settled(page)
    assert page.evaluate("window.pwned") is None
    assert page.locator(".text img, .text script").count() == 0
    shown = page.locator(".text").inner_text()
    for piece in ("<img src=x onerror=", "</div><script>", "⇥", "<U+200B>", "<0xE2>", "↵", "&lt;"):
        assert piece in shown


def test_the_chart_stands_beside_the_text(page: Page, app: str) -> None:
    read(page, f"{app}/text?token=120")
    text, chart = (
        page.locator(where).bounding_box() for where in (".pane", '[data-testid="stVegaLiteChart"]')
    )
    assert text and chart
    assert chart["x"] > text["x"] + text["width"]
    assert chart["y"] < text["y"] + text["height"]


def test_the_slider_recolours_the_doc_through_training(page: Page, app: str) -> None:
    read(page, f"{app}/text")
    slider = page.get_by_role("slider", name="Training step")
    before = [color(page, at) for at in range(40)]
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".at")).to_contain_text("step 1,660: mean loss")
    assert [color(page, at) for at in range(40)] != before
    name = page.locator(".token").first.get_attribute("aria-label") or ""
    assert re.fullmatch(r"F, change [+−]\d+\.\d{3} nats", name)
    page.get_by_role("button", name="Play through training").click()
    expect(page.locator(".text")).to_have_attribute("data-step", "3000", timeout=20_000)
    page.get_by_role("button", name="Back to the chosen steps").click()
    assert [color(page, at) for at in range(40)] == before


def test_the_slider_shows_the_losses_of_the_store(page: Page, app: str) -> None:
    read(page, f"{app}/text?colour=loss")
    page.get_by_role("slider", name="Training step").focus()
    page.keyboard.press("Home")
    expect(page.locator(".at")).to_contain_text("step 0: mean loss")
    losses = Store(DEMO).matrix.column(0)[:511]
    expect(page.locator(".at")).to_have_text(f"step 0: mean loss {losses.mean():.2f} nats")
    name = page.locator(".token").nth(7).get_attribute("aria-label") or ""
    assert float(name.split("loss ")[1].split()[0]) == pytest.approx(float(losses[7]), abs=2e-3)


def test_a_source_continues_in_its_next_part(page: Page, app: str) -> None:
    read(page, f"{app}/text")
    page.get_by_role("button", name="continues in part 1").click()
    settled(page)
    has_query(page, "part", "1")
    expect(page.get_by_role("button", name="continued from part 0")).to_be_visible()


def test_a_phrase_is_found_and_opened(page: Page, app: str) -> None:
    read(page, f"{app}/text")
    field = page.get_by_role("searchbox", name="Find a word or phrase in the whole text")
    field.fill("act of congress")
    field.press("Enter")
    expect(page.get_by_text(re.compile(r"^\d+ places?\. Select a row"))).to_be_visible()
    select_row(page, 0, 0, until=page.get_by_role("heading", name="The token"))
    assert page.locator(".token").nth(selected(page)).inner_text().strip().lower().startswith("a")
    field.fill("no such words")
    field.press("Enter")
    expect(page.get_by_text("Nothing in the text begins with this")).to_be_visible()

"""Reading a text: colours, a token picked by mouse and by keys, jumps, links, what goes wrong."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import settled, start_app
from tests.queries import stores

HOSTILE = ["<img src=x onerror='window.pwned=1'>", "</div><script>window.pwned=1</script>", "\t",
           " ", "\u200b", " **b** $x$ `", "<0xE2>", "\n", "&lt;"]  # fmt: skip


@pytest.fixture
def hostile_app(browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An app on a text that would be markup if it were not taken as text."""
    monkeypatch.setattr(stores, "VOCABULARY", HOSTILE)
    process, url = start_app(str(stores.build_store(tmp_path / "hostile", sources=12)))
    yield url
    process.kill()
    process.wait()


def query(page: Page) -> dict[str, str]:
    return {k: v[0] for k, v in parse_qs(urlparse(page.url).query).items()}


def opened(page: Page, address: str) -> Page:
    page.goto(address)
    settled(page)
    expect(page.locator(".token").first).to_be_visible()
    return page


def choose(page: Page, label: str, option: str) -> None:
    box = page.get_by_role("combobox", name=label, exact=True)
    box.click()
    box.fill(option)
    page.get_by_role("option", name=option, exact=True).click()
    settled(page)


def selected(page: Page) -> int:
    """The place of the selected token among its doc's."""
    return page.locator(".token").evaluate_all(
        "all => all.findIndex(t => t.getAttribute('aria-selected') === 'true')"
    )


def color(page: Page, at: int) -> str:
    return page.locator(".token").nth(at).evaluate("t => getComputedStyle(t).backgroundColor")


def tick(page: Page, table: int, line: int) -> None:
    """Tick a line of one of the page's tables, which are drawn on a canvas."""
    box = page.locator('[data-testid="stDataFrame"]').nth(table)
    box.scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    box.click(position={"x": 18, "y": 35 * (line + 1) + 18})
    settled(page)


def test_a_doc_is_read_and_each_token_says_its_value(page, app):
    opened(page, f"{app}/text")
    expect(page.locator(".token")).to_have_count(511)
    text = page.locator(".text").inner_text()
    assert text.startswith("Fellow-Citizens of the Senate")
    name = page.locator(".text").get_attribute("aria-label")
    assert name and re.search(r"511 tokens by change in loss from step [\d,]+ to", name)
    first = page.locator(".token").first
    assert re.fullmatch(r"F, change [+−]\d+\.\d{3} nats", first.get_attribute("aria-label") or "")
    first.hover()
    expect(page.get_by_role("tooltip")).to_have_text(re.compile(r"F  change [+−]\d\.\d{3} nats"))


def test_a_clicked_token_shows_its_trajectory_and_its_link_restores_it(page, app):
    opened(page, f"{app}/text")
    page.locator(".token").nth(40).click()
    settled(page)
    assert query(page)["token"] == "40"
    expect(page.get_by_role("heading", name="The token “reat”")).to_be_visible()
    expect(page.locator('[data-testid="stVegaLiteChart"] svg.marks')).to_have_count(1)
    expect(page.get_by_text("of this doc's 511 tokens")).to_be_visible()
    page.reload()
    settled(page)
    expect(page.get_by_role("heading", name="The token “reat”")).to_be_visible()
    assert selected(page) == 40


def test_a_link_to_a_token_alone_opens_its_doc(page, app):
    opened(page, f"{app}/text?token=1200")  # the third doc's
    expect(page.locator('[aria-selected="true"].token')).to_be_visible()
    assert selected(page) == 1200 - 2 * 511
    expect(page.get_by_role("combobox", name="Part")).to_have_value("2")


def test_tokens_are_reached_and_chosen_with_keys(page, app):
    opened(page, f"{app}/text")
    page.locator(".token").first.focus()
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home", "ArrowRight"):
        page.keyboard.press(key)
    expect(page.get_by_role("tooltip")).to_be_visible()
    page.keyboard.press("Enter")
    settled(page)
    assert selected(page) == 1 and query(page)["token"] == "1"
    page.keyboard.press("ArrowDown")  # the focus stayed where it was
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    settled(page)
    assert selected(page) > 20
    assert page.locator('.token[tabindex="0"]').count() == 1


def test_a_largest_change_is_jumped_to_in_the_doc_and_in_the_whole_text(page, app):
    opened(page, f"{app}/text")
    tick(page, 0, 0)
    assert query(page)["token"] == str(selected(page))
    here = selected(page)
    change = page.locator(".token").nth(here).get_attribute("aria-label")
    assert change and "−7.1" in change
    page.get_by_role("radio", name="the whole text").click()
    settled(page)
    tick(page, 1, 0)
    assert query(page)["source"]
    there = page.locator('[aria-selected="true"].token')
    expect(there).to_be_in_viewport()
    expect(page.get_by_text("the largest rise of all 51,100")).to_be_visible()


def test_colours_follow_the_steps_and_the_kind(page, app):
    opened(page, f"{app}/text")
    by_change = color(page, 271)
    choose(page, "Change: last step", "1400")
    assert query(page)["last"] == "1400" and color(page, 271) != by_change
    page.get_by_role("radio", name="loss").click()
    settled(page)
    expect(page.locator(".token.loss")).to_have_count(511)
    choose(page, "Step", "0")
    assert query(page)["step"] == "0"
    page.reload()
    settled(page)
    expect(page.locator(".legend")).to_contain_text("loss 0")
    expect(page.get_by_role("heading", name="Highest losses")).to_be_visible()


def test_members_of_a_group_are_marked(page, app):
    opened(page, f"{app}/text?colour=group&member=position+%3C+6")
    expect(page.locator(".token.member")).to_have_count(5)
    expect(page.locator(".legend")).to_contain_text("5 of the doc's 511 tokens")


def test_docs_are_stepped_through_and_searched(page, app):
    opened(page, f"{app}/text")
    page.locator(".token").nth(3).click()
    settled(page)
    page.get_by_role("button", name="Next").click()
    settled(page)
    assert query(page)["part"] == "1" and "token" not in query(page)
    page.reload()
    settled(page)
    expect(page.get_by_role("combobox", name="Part")).to_have_value("1")
    choose(page, "Source document", "1839-VanBuren-1")
    assert query(page)["source"] == "1839-VanBuren-1"
    expect(page.locator(".text")).to_have_attribute("aria-label", re.compile("1839-VanBuren-1"))


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        ("first=1000&last=0", "is empty"),
        ("colour=group&member=positoin+%3D+5", "did you mean position"),
    ],
)
def test_what_makes_no_sense_gets_a_sentence(page, app, state, sentence):
    page.goto(f"{app}/text?{state}")
    settled(page)
    expect(page.get_by_role("alert").get_by_text(sentence)).to_be_visible()


def test_an_unknown_token_in_a_link_is_dropped(page, app):
    opened(page, f"{app}/text?token=99999999&source=nonsense")
    assert "token" not in query(page)
    assert selected(page) == -1


def test_text_is_text_whatever_it_holds(page, hostile_app):
    opened(page, f"{hostile_app}/text?part=1")
    for at in range(0, page.locator(".token").count(), 3):
        page.locator(".token").nth(at).click()
        settled(page)
    assert page.evaluate("window.pwned") is None
    assert page.locator(".text img, .text script").count() == 0
    shown = page.locator(".text").inner_text()
    for piece in ("<img src=x onerror=", "</div><script>", "⇥", "<U+200B>", "<0xE2>", "↵", "&lt;"):
        assert piece in shown

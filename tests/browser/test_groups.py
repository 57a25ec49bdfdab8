"""What a user does with groups: add, build, write, rename, order, remove, save; and downloads."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from queries import Store
from tests.browser.actions import (
    CHARTS,
    back,
    choose,
    eventually,
    groups,
    has_charts,
    has_query,
    in_rail,
    navigate,
    opened,
    press,
    query,
    reload,
    switch,
    write,
)
from tests.browser.conftest import DEMO, settled


def dialog(page: Page, address: str, way: str) -> Locator:
    """The dialog that adds a group in one of three ways."""
    opened(page, address)
    press(page, "Add group")
    switch(page, way)
    return page.get_by_role("dialog")


def test_a_named_group_is_previewed_and_added(page: Page, app: str) -> None:
    shown = dialog(page, app, "Named group")
    choose(page, "Named group", "Word start")
    expect(shown.get_by_text("is_word_start", exact=True)).to_be_visible()
    expect(shown.get_by_text("19,182")).to_be_visible()
    press(page, "Add")
    has_query(page, "group", "not_copyable", "copyable", "word_start")
    has_charts(page, 2)
    reload(page)
    expect(page.get_by_text("Word start", exact=True).first).to_be_visible()


def test_a_group_is_built_from_conditions_and_extended(page: Page, app: str) -> None:
    shown = dialog(page, app, "Build")
    press(page, "Add condition")
    choose(page, "Condition", "Start of a word")
    shown.get_by_role("checkbox", name="not").last.check(force=True)
    settled(page)
    sql = "position = 500 and (is_word_start) is not true"
    expect(shown.get_by_text(sql)).to_be_visible()
    press(page, "Add")
    built = json.loads(query(page)["group"][2])["built"]
    assert built["kind"] == "and" and len(built["of"]) == 2
    in_rail(page, 2, "Change")
    expect(page.get_by_role("dialog").get_by_text(sql)).to_be_visible()
    switch(page, "Write SQL")
    field = page.get_by_role("textbox", name="A condition in SQL")
    expect(field).to_have_value(sql)


def test_an_incomplete_condition_gets_a_message_and_cannot_be_added(page: Page, app: str) -> None:
    shown = dialog(page, app, "Build")
    choose(page, "Condition", "Words")
    expect(shown.get_by_text("the list of words is empty")).to_be_visible()
    expect(shown.get_by_role("button", name="Add", exact=True)).to_be_disabled()
    write(page, "words, separated by commas", "Congress, war")
    expect(shown.get_by_text("word in ('Congress', 'war')")).to_be_visible()
    expect(shown.get_by_role("button", name="Add", exact=True)).to_be_enabled()


def test_a_written_group_is_corrected_named_and_restored(page: Page, app: str) -> None:
    shown = dialog(page, app, "Write SQL")
    write(page, "A condition in SQL", "is_palindrom(word)")
    expect(shown.get_by_text("did you mean is_palindrome")).to_be_visible()
    write(page, "A condition in SQL", "is_palindrome(word)")
    write(page, "Display name (optional)", "Pal *in* dromes")
    press(page, "Add")
    added = json.loads(query(page)["group"][2])
    assert added == {"text": "is_palindrome(word)", "name": "Pal *in* dromes"}
    reload(page)
    expect(page.get_by_text("Pal *in* dromes", exact=True).first).to_be_visible()
    has_charts(page, 2)


def test_groups_are_ordered_muted_and_removed(page: Page, app: str) -> None:
    opened(page, f"{app}/?{groups('word_start', 'copyable', 'position < 9')}")
    has_charts(page, 2)
    colors = rail_colors(page)
    in_rail(page, 2, "Make baseline")
    names = page.locator(".rail .name")
    expect(names).to_have_text(["position < 9", "Word start", "Copyable"])
    assert rail_colors(page) == colors
    assert page.locator(".rail .row").first.inner_text().startswith("position < 9\nbaseline")
    in_rail(page, 1, "Mute")
    draws(page, {colors["position < 9"], colors["Copyable"]})
    in_rail(page, 1, "Remove")
    expect(names).to_have_text(["position < 9", "Copyable"])
    assert rail_colors(page) == {n: colors[n] for n in ("position < 9", "Copyable")}
    in_rail(page, 1, "Remove")
    expect(names).to_have_text(["position < 9"])
    has_charts(page, 1)
    in_rail(page, 0, "Remove")
    expect(page.get_by_text("No group yet")).to_be_visible()
    reload(page)
    expect(page.get_by_text("No group yet")).to_be_visible()


def test_a_click_on_a_name_isolates_and_with_shift_mutes(page: Page, app: str) -> None:
    opened(page, f"{app}/?{groups('word_start', 'copyable', 'position < 9')}")
    colors = rail_colors(page)
    names = page.locator(".rail .name")
    names.nth(1).click(modifiers=["Shift"])
    settled(page)
    draws(page, {colors["Word start"], colors["position < 9"]})
    names.nth(2).click()
    settled(page)
    draws(page, {colors["position < 9"]})
    names.nth(2).click()
    settled(page)
    draws(page, set(colors.values()))
    back(page)
    draws(page, {colors["position < 9"]})


def rail_colors(page: Page) -> dict[str, str]:
    """The colours of the rail, by name."""
    return {
        row.locator(".name").inner_text(): row.locator(".swatch").input_value()
        for row in page.locator(".rail .row").all()
    }


def draws(page: Page, colors: set[str]) -> None:
    """Wait until the lines of the first chart have these colours."""
    found = """([chart]) => [...chart.querySelectorAll(".mark-line path")]
        .map((line) => line.getAttribute("stroke").toLowerCase())"""
    eventually(lambda: set(page.locator(CHARTS).evaluate_all(found)) == colors)


def test_a_group_is_saved_renamed_and_deleted(page: Page, folder_app: str, own_store: Path) -> None:
    shown = dialog(page, f"{folder_app}/?store={own_store}", "Write SQL")
    shown.get_by_text("Save as a named group").click()
    write(page, "Title", "My men")
    write(page, "Name in SQL", "presidents")
    press(page, "Save")
    expect(shown.get_by_text("Saved")).to_be_visible()
    assert (own_store / "groups" / "presidents.sql").exists()
    switch(page, "Named group")
    choose(page, "Named group", "My men")
    shown.get_by_text("Rename or delete").click()
    write(page, "New name", "founders")
    press(page, "Rename")
    eventually((own_store / "groups" / "founders.sql").exists)
    choose(page, "Named group", "My men")
    if not shown.get_by_role("button", name="Delete", exact=True).is_visible():
        shown.get_by_text("Rename or delete").click()
    press(page, "Delete")
    eventually(lambda: not list((own_store / "groups").glob("*.sql")))


@pytest.mark.parametrize("compare", ["difference", "ratio"])
def test_the_data_behind_a_chart_is_the_stores(
    page: Page, app: str, compare: str, tmp_path: Path
) -> None:
    opened(page, f"{app}/?{groups('word_start', 'copyable')}&compare={compare}")
    page.get_by_role("button", name="Data, picture, SQL").last.click()
    settled(page)
    saved = {}
    for name in ("CSV", "Parquet", "PNG", "SVG", "Vega-Lite"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).last.click()
        saved[name] = tmp_path / name
        download.value.save_as(saved[name])
    found = pq.read_table(saved["Parquet"]).to_pandas()
    ours = getattr(Store(DEMO), compare)("copyable", "word_start")
    assert found[compare].tolist() == ours[compare].tolist()
    assert saved["CSV"].read_text().count("\n") == len(found) + 1
    assert saved["PNG"].read_bytes().startswith(b"\x89PNG")
    assert saved["SVG"].read_text().startswith("<svg")
    assert json.loads(saved["Vega-Lite"].read_text())["layer"]


def test_a_saved_page_draws_its_charts_without_the_app(
    page: Page, app: str, browser: Browser, tmp_path: Path
) -> None:
    opened(page, f"{app}/?{groups('word_start', '</script><b>x')}&{groups('copyable')}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this page as HTML").click()
    saved = tmp_path / "page.html"
    download.value.save_as(saved)
    with browser.new_context(offline=True) as context:
        alone = context.new_page()
        errors: list[str] = []
        alone.on("pageerror", lambda e: errors.append(str(e)))
        alone.goto(saved.as_uri())
        expect(alone.locator("svg.marks")).to_have_count(2)
        expect(alone.get_by_role("heading", name="Mean loss")).to_be_visible()
        assert errors == []


def test_all_runs_are_drawn(page: Page, folder_app: str, seeds: list[Path]) -> None:
    opened(page, f"{folder_app}/?store={seeds[0]}")
    page.get_by_role("combobox", name="Compare with runs").click()
    page.get_by_role("option").first.click()
    page.keyboard.press("Escape")
    settled(page)
    expect(page.get_by_role("heading", name="Mean loss over 2 runs")).to_be_visible()
    expect(page.get_by_role("heading", name="Difference over 2 runs")).to_be_visible()
    has_charts(page, 2)
    navigate(page, "Zoom", "zoom")
    expect(page.get_by_role("button", name="Zoom into seed-2")).to_be_visible()
    expect(page.get_by_text("This page shows one run")).to_have_count(0)
    navigate(page, "Text", "text")
    expect(page.get_by_text("This page shows one run")).to_be_visible()


def test_custom_names_and_colours_survive_a_reload(page: Page, app: str) -> None:
    group = json.dumps({"text": "copyable", "name": "Mine", "color": "#112233"})
    opened(page, f"{app}/?{groups('word_start', group)}")
    expect(page.get_by_text("Mine", exact=True).first).to_be_visible()
    assert page.locator('svg.marks path[stroke="#112233"]').count() > 0

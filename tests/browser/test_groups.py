"""What a user does with groups: add, build, write, rename, order, remove, keep; and downloads."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from queries import Store
from tests.browser.conftest import DEMO
from tests.browser.test_pages import choose, groups, has_charts, opened, press, query


def write(page, label: str, text: str) -> None:
    field = page.get_by_label(label, exact=True).last
    field.fill(text)
    field.press("Control+Enter")
    page.wait_for_timeout(600)


def dialog(page, app, way: str):
    opened(page, app)
    press(page, "Add group")
    page.get_by_role("radio", name=way).click()
    page.wait_for_timeout(600)
    return page.get_by_role("dialog")


def test_a_named_group_is_looked_at_and_added(page, app):
    shown = dialog(page, app, "Named group")
    choose(page, "Named group", "Word start")
    expect(shown.get_by_text("is_word_start", exact=True)).to_be_visible()
    expect(shown.get_by_text("19,182")).to_be_visible()
    press(page, "Add")
    assert query(page)["group"] == ["not_copyable", "copyable", "word_start"]
    has_charts(page, 2)
    page.reload()
    expect(page.get_by_text("Word start", exact=True).first).to_be_visible()


def test_a_group_is_built_from_conditions_and_built_on(page, app):
    shown = dialog(page, app, "Build")
    press(page, "Add condition")
    choose(page, "Condition", "Start of a word")
    shown.get_by_role("checkbox", name="not").last.check(force=True)
    page.wait_for_timeout(600)
    sql = "position = 500 and (is_word_start) is not true"
    expect(shown.get_by_text(sql)).to_be_visible()
    press(page, "Add")
    built = json.loads(query(page)["group"][2])["built"]
    assert built["kind"] == "and" and len(built["of"]) == 2
    page.get_by_role("button", name="Change", exact=True).last.click()
    page.wait_for_timeout(800)
    expect(page.get_by_role("dialog").get_by_text(sql)).to_be_visible()
    page.get_by_role("radio", name="Write SQL").click()
    page.wait_for_timeout(600)
    field = page.get_by_role("textbox", name="A condition in SQL")
    expect(field).to_have_value(sql)


def test_an_incomplete_condition_gets_a_sentence_and_cannot_be_added(page, app):
    shown = dialog(page, app, "Build")
    choose(page, "Condition", "Words")
    expect(shown.get_by_text("the list of words is empty")).to_be_visible()
    expect(shown.get_by_role("button", name="Add", exact=True)).to_be_disabled()
    write(page, "words, with commas between", "Congress, war")
    expect(shown.get_by_text("word in ('Congress', 'war')")).to_be_visible()
    expect(shown.get_by_role("button", name="Add", exact=True)).to_be_enabled()


def test_a_written_group_is_mended_named_and_restored(page, app):
    shown = dialog(page, app, "Write SQL")
    write(page, "A condition in SQL", "is_palindrom(word)")
    expect(shown.get_by_text("did you mean is_palindrome")).to_be_visible()
    write(page, "A condition in SQL", "is_palindrome(word)")
    write(page, "Name in the charts (optional)", "Pal *in* dromes")
    press(page, "Add")
    added = json.loads(query(page)["group"][2])
    assert added == {"text": "is_palindrome(word)", "name": "Pal *in* dromes"}
    page.reload()
    expect(page.get_by_text("Pal *in* dromes", exact=True).first).to_be_visible()
    has_charts(page, 2)


def test_groups_are_ordered_and_removed(page, app):
    opened(page, f"{app}/?{groups('word_start', 'copyable', 'position < 9')}")
    press(page, "Make baseline")
    assert query(page)["group"] == ["position < 9", "word_start", "copyable"]
    press(page, "Remove")
    assert query(page)["group"] == ["position < 9", "word_start"]
    press(page, "Remove")
    has_charts(page, 1)
    press(page, "Remove")
    expect(page.get_by_text("No group yet")).to_be_visible()
    page.reload()
    expect(page.get_by_text("No group yet")).to_be_visible()


def test_a_group_is_kept_renamed_and_deleted(page, own_app):
    app, folder = own_app
    shown = dialog(page, app, "Write SQL")
    shown.get_by_text("Keep it as a named group").click()
    write(page, "Title", "My men")
    write(page, "Name, as in SQL", "presidents")
    press(page, "Save")
    expect(shown.get_by_text("Saved")).to_be_visible()
    assert (folder / "groups" / "presidents.sql").exists()
    page.get_by_role("radio", name="Named group").click()
    page.wait_for_timeout(600)
    choose(page, "Named group", "My men")
    shown.get_by_text("Rename or delete it").click()
    write(page, "New name", "founders")
    press(page, "Rename")
    assert (folder / "groups" / "founders.sql").exists()
    choose(page, "Named group", "My men")
    if not shown.get_by_role("button", name="Delete", exact=True).is_visible():
        shown.get_by_text("Rename or delete it").click()
    press(page, "Delete")
    assert not list((folder / "groups").glob("*.sql"))


@pytest.mark.parametrize("below", ["difference", "ratio"])
def test_the_data_behind_a_chart_is_the_stores(page, app, below, tmp_path):
    opened(page, f"{app}/?{groups('word_start', 'copyable')}&below={below}")
    page.get_by_role("button", name="Data, picture, SQL").last.click()
    page.wait_for_timeout(500)
    saved = {}
    for name in ("CSV", "Parquet", "PNG", "SVG", "Vega-Lite"):
        with page.expect_download() as download:
            page.get_by_role("button", name=name, exact=True).last.click()
        saved[name] = tmp_path / name
        download.value.save_as(saved[name])
    found = pq.read_table(saved["Parquet"]).to_pandas()
    ours = getattr(Store(DEMO), below)("copyable", "word_start")
    assert found[below].tolist() == ours[below].tolist()
    assert saved["CSV"].read_text().count("\n") == len(found) + 1
    assert saved["PNG"].read_bytes().startswith(b"\x89PNG")
    assert saved["SVG"].read_text().startswith("<svg")
    assert json.loads(saved["Vega-Lite"].read_text())["layer"]


def test_a_saved_page_draws_its_charts_without_the_app(page, app, browser, tmp_path):
    opened(page, f"{app}/?{groups('word_start', '</script><b>x')}&{groups('copyable')}")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this page as HTML").click()
    saved = tmp_path / "page.html"
    download.value.save_as(saved)
    with browser.new_context(offline=True) as context:
        alone = context.new_page()
        errors = []
        alone.on("pageerror", lambda e: errors.append(str(e)))
        alone.goto(saved.as_uri())
        expect(alone.locator("svg.marks")).to_have_count(2)
        expect(alone.get_by_role("heading", name="Mean loss")).to_be_visible()
        assert errors == []


def test_all_runs_are_drawn(page, seeds_app):
    opened(page, seeds_app)
    page.get_by_role("combobox", name="Compare with runs").click()
    page.get_by_role("option").first.click()
    page.keyboard.press("Escape")
    page.wait_for_timeout(800)
    expect(page.get_by_role("heading", name="Mean loss over 2 runs")).to_be_visible()
    has_charts(page, 1)


def test_own_names_and_colours_survive_a_reload(page, app, tmp_path: Path):
    group = json.dumps({"text": "copyable", "name": "Mine", "color": "#112233"})
    opened(page, f"{app}/?{groups('word_start', group)}")
    expect(page.get_by_text("Mine", exact=True).first).to_be_visible()
    assert page.locator('svg.marks path[stroke="#112233"]').count() > 0

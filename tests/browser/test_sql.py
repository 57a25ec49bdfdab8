"""The SQL page: run by button and by keys, cancel, chart, link, files; and what goes wrong."""

from pathlib import Path
from urllib.parse import quote

import pandas as pd
import pytest
from playwright.sync_api import Page, expect

from tests.browser.actions import has_charts, has_query, navigate, opened, reload, write
from tests.browser.conftest import settled

MEANS = "select checkpoint, avg(loss) as mean from losses group by all order by all"
FOREVER = "select sum(a.position * b.position) from tokens as a, tokens as b, range(1_000_000)"


def run(page: Page, text: str) -> None:
    """Write a query and run it with keys."""
    write(page, "Query", text)


def test_an_example_is_chosen_and_run(page: Page, app: str) -> None:
    opened(page, f"{app}/sql")
    box = page.get_by_role("combobox", name="Example questions")
    box.click()
    page.get_by_role("option", name="How much does a longer context help").click()
    settled(page)
    page.get_by_role("button", name="Run").click()
    settled(page)
    expect(page.get_by_text("16 rows")).to_be_visible()
    has_charts(page, 1)


def test_a_query_is_run_with_keys_and_its_link_restores_it(page: Page, app: str) -> None:
    opened(page, f"{app}/sql")
    run(page, MEANS)
    expect(page.get_by_text("101 rows")).to_be_visible()
    has_query(page, "query", MEANS)
    reload(page)
    expect(page.get_by_text("101 rows")).to_be_visible()
    expect(page.get_by_role("textbox", name="Query")).to_have_value(MEANS)
    has_charts(page, 1)
    navigate(page, "Text", "text")
    navigate(page, "SQL", "sql")
    expect(page.get_by_text("101 rows")).to_be_visible()


def test_a_long_query_shows_that_it_runs_and_is_cancelled(page: Page, app: str) -> None:
    page.goto(f"{app}/sql?query={quote(FOREVER)}")
    page.get_by_role("button", name="Cancel").wait_for(timeout=60_000)
    expect(page.get_by_role("progressbar").first).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled after")).to_be_visible(timeout=20_000)
    run(page, "select 5 as five")
    expect(page.get_by_text("1 row", exact=False).first).to_be_visible()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("select\n  positoin from tokens", "at line 2, character 3"),
        ("drop table checkpoints", "only SELECT is allowed"),
        ("copy losses to 'x.csv'", "only SELECT is allowed"),
    ],
)
def test_an_invalid_query_gets_a_message(page: Page, app: str, text: str, sentence: str) -> None:
    opened(page, f"{app}/sql")
    run(page, text)
    expect(page.get_by_role("alert").get_by_text(sentence)).to_be_visible()
    run(page, MEANS)
    expect(page.get_by_text("101 rows")).to_be_visible()


def test_names_are_completed_and_the_place_of_an_error_is_marked(page: Page, app: str) -> None:
    opened(page, f"{app}/sql")
    field = page.get_by_role("textbox", name="Query")
    menu = page.get_by_role("listbox", name="Completions")
    field.fill("")
    for typed, offered, completed in (
        ("select t.trig", "trigram_seen_before", "select t.trigram_seen_before"),
        (" from tok", "tokens", "select t.trigram_seen_before from tokens"),
        (" as t where t.n_", "n_tokens", None),
    ):
        field.press_sequentially(typed)
        if completed is None:
            field.press("Escape")
        else:
            expect(menu.get_by_role("option").first).to_contain_text(offered)
            field.press("Tab")
            expect(field).to_have_value(completed)
        expect(menu).to_be_hidden()
    field.fill("select * from trajectory('word_")
    field.press("End")
    field.press_sequentially("s")
    expect(menu.get_by_role("option").first).to_contain_text("word_start")
    run(page, "select 1 as one,\n  positoin from tokens")
    expect(page.get_by_role("alert").get_by_text("did you mean position?")).to_be_visible()
    expect(page.locator(".wrong")).to_have_text("positoin")
    expect(page.locator(".keyword").first).to_have_text("select")


def test_a_draft_is_kept_on_another_page(page: Page, app: str) -> None:
    opened(page, f"{app}/sql")
    field = page.get_by_role("textbox", name="Query")
    field.fill("select 7 as seven")
    navigate(page, "Text", "text")
    navigate(page, "SQL", "sql")
    expect(field).to_have_value("select 7 as seven")
    field.press("Tab")  # leaves the field: it is no trap for the keyboard
    settled(page)
    expect(page.get_by_role("button", name="Run")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("1 row", exact=False).first).to_be_visible()


def test_the_answer_is_saved_and_its_chart_changed(page: Page, app: str, tmp_path: Path) -> None:
    opened(page, f"{app}/sql?query={quote(MEANS)}")
    for name, read in (("CSV", pd.read_csv), ("Parquet", pd.read_parquet)):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=name, exact=True).first.click()
        path = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(path)
        assert read(path).shape == (101, 2)
    page.get_by_role("radio", name="points").click()
    settled(page)
    has_query(page, "mark", "points")
    has_charts(page, 1)


def test_the_schema_can_be_browsed(page: Page, app: str) -> None:
    opened(page, f"{app}/sql")
    for name in ("tokens", "macros", "named groups"):
        page.get_by_role("combobox", name="Tables and columns").click()
        page.get_by_role("option", name=name, exact=True).click()
        settled(page)
        expect(page.locator('[data-testid="stDataFrame"]').first).to_be_visible()

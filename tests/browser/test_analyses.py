"""What a user does on the analyses' pages: choose, look, take what was found to Trajectories."""

import re

import numpy as np
from playwright.sync_api import Page, expect

from queries import Store
from store.layout import Layout
from tests.browser.conftest import settled
from tests.browser.test_pages import has_charts, opened, query
from tests.queries.probed import write_probes


def test_a_fair_comparison_is_found_changed_and_restored_from_its_link(page, app):
    opened(page, app)
    page.get_by_role("link", name="Fair comparison", exact=True).click()
    page.wait_for_url("**/fair*")
    settled(page)
    has_charts(page, 3)
    expect(page.get_by_text(re.compile("nats below .* of their controls")).first).to_be_visible()
    page.get_by_role("button", name="Remove position").click()
    settled(page)
    assert query(page)["alike_in"] == ["initial_loss", "corpus_count"]
    page.reload()
    settled(page)
    has_charts(page, 3)
    expect(page.get_by_role("button", name="Remove position")).to_have_count(0)
    page.get_by_role("button", name="Data, picture, SQL").first.click()
    expect(page.get_by_text("The Python behind it")).to_be_visible()


def test_a_kind_is_kept_and_becomes_a_group(page, own_app):
    url, folder = own_app
    opened(page, f"{url}/kinds?kinds_number=3")
    has_charts(page, 0)
    page.get_by_text("Find the kinds", exact=False).click()
    page.get_by_role("heading", name="Who is in them").wait_for(timeout=60_000)
    settled(page)
    has_charts(page, 2)
    page.get_by_role("tab", name=re.compile("Kind 3")).click()
    expect(page.locator('[data-testid="stDataFrame"]:visible').nth(1)).to_be_visible()
    page.get_by_role("button", name="Keep as a feature").click()
    page.get_by_role("link", name="“Kind 2 by shape” as a group on Trajectories").click()
    settled(page)
    assert (folder / "features" / "kind.parquet").exists()
    expect(page.get_by_text("Kind 2 by shape").first).to_be_visible()
    assert len(query(page)["group"]) == 3
    has_charts(page, 2)


def draws(page: Page, count: int) -> None:
    """As `has_charts`, where some are drawn in two layers: canvas for the marks, SVG for text."""
    charts = page.locator('[data-testid="stVegaLiteChart"]')
    expect(charts.filter(has=page.locator(".marks"))).to_have_count(count)


def test_positions_are_drawn_and_restored_from_their_link(page, app):
    opened(page, f"{app}/positions")
    draws(page, 3)
    page.get_by_text("loss less its step's mean").click()
    settled(page)
    field = page.get_by_role("spinbutton", name="minus position")
    field.fill("20")
    field.press("Enter")
    settled(page)
    asked = query(page)
    assert asked["colour"] == ["loss less its step's mean"] and asked["early"] == ["20"]
    opened(page, page.url)
    expect(page.get_by_text("position 500 minus at position 20")).to_be_visible()
    draws(page, 3)


def test_ngrams_are_drawn(page, app):
    opened(page, f"{app}/ngrams?where=word_start")
    has_charts(page, 2)
    expect(page.get_by_text(re.compile("Down to the loss of unigrams"))).to_be_visible()


def test_probes_are_asked_for_and_shown_once_they_are_there(page, own_app):
    url, folder = own_app
    Layout(folder).probes.unlink()
    opened(page, f"{url}/evidence")
    expect(page.get_by_role("heading", name="This store has no probes")).to_be_visible()
    steps = Store(folder).steps
    up = 1 / (1 + np.exp(np.linspace(6, -6, len(steps))))
    scores = np.stack([0 * up, up], axis=1)[:, :, None] * [0.3, 0.9] + 0.05
    write_probes(folder, steps, np.stack([9 + 0 * up, 9 - 5 * up], axis=1), scores)
    page.get_by_role("button", name="Look again").click()
    page.get_by_role("heading", name="Which moves first?").wait_for()
    settled(page)
    has_charts(page, 4)
    page.get_by_text("Minus a baseline").click()
    settled(page)
    assert query(page)["minus"] == ["false"]
    has_charts(page, 4)


def test_the_bundled_probes_are_looked_at_between_steps(page, app):
    opened(page, f"{app}/evidence?between_first=1000")
    has_charts(page, 4)
    expect(page.get_by_text("layer 0: it hardly moves")).to_be_visible()
    expect(page.get_by_text(re.compile("layer 1: half-way at step 1,658"))).to_be_visible()

"""What a user does on the analyses' pages: set options, read, show a finding on Trajectories."""

import re
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, expect

from queries import Store
from store.layout import Layout
from tests.browser.actions import (
    choose,
    has_charts,
    has_query,
    navigate,
    opened,
    press,
    query,
    reload,
    switch,
    write,
)
from tests.browser.conftest import settled
from tests.queries.support.probed import write_probes


def test_a_matched_comparison_is_found_changed_and_restored_from_its_link(
    page: Page, app: str
) -> None:
    opened(page, app)
    navigate(page, "Matched comparison", "matched")
    has_charts(page, 3)
    expect(page.get_by_text(re.compile("nats below .* of their controls")).first).to_be_visible()
    press(page, "Remove position")
    has_query(page, "on", "initial_loss", "corpus_count")
    reload(page)
    has_charts(page, 3)
    expect(page.get_by_role("button", name="Remove position")).to_have_count(0)
    page.get_by_role("button", name="Data, picture, SQL").first.click()
    expect(page.get_by_text("The Python behind it")).to_be_visible()


def test_a_cluster_is_saved_and_becomes_a_group(
    page: Page, folder_app: str, own_store: Path
) -> None:
    opened(page, f"{folder_app}/clusters?store={own_store}&n_clusters=3")
    has_charts(page, 0)
    page.get_by_text("Cluster trajectories", exact=False).click()
    page.get_by_role("heading", name="Cluster members").wait_for(timeout=60_000)
    settled(page)
    has_charts(page, 2)
    page.get_by_role("tab", name=re.compile("Cluster 3")).click()
    expect(page.locator('[data-testid="stDataFrame"]:visible').nth(1)).to_be_visible()
    press(page, "Save as a feature")
    page.get_by_role("link", name="Show “Cluster 2 by shape” on Trajectories").click()
    settled(page)
    assert (own_store / "features" / "cluster.parquet").exists()
    expect(page.get_by_text("Cluster 2 by shape").first).to_be_visible()
    assert len(query(page)["group"]) == 3
    has_charts(page, 2)


def test_positions_are_drawn_and_restored_from_their_link(page: Page, app: str) -> None:
    opened(page, f"{app}/positions")
    has_charts(page, 3)
    switch(page, "minus the mean of its step")
    field = page.get_by_role("spinbutton", name="minus position")
    field.fill("20")
    field.press("Enter")
    settled(page)
    found = query(page)
    assert found["colour"] == ["minus the mean of its step"] and found["early"] == ["20"]
    opened(page, page.url)
    expect(page.get_by_text("position 500 minus at position 20")).to_be_visible()
    has_charts(page, 3)


def test_ngrams_are_drawn(page: Page, app: str) -> None:
    opened(page, f"{app}/ngrams?where=word_start")
    has_charts(page, 2)
    expect(page.get_by_text(re.compile("First matches the unigram loss"))).to_be_visible()


def test_probes_are_requested_and_shown_once_they_exist(
    page: Page, folder_app: str, own_store: Path
) -> None:
    Layout(own_store).probes.unlink()
    opened(page, f"{folder_app}/mechanism?store={own_store}")
    expect(page.get_by_role("heading", name="This store has no probes")).to_be_visible()
    steps = Store(own_store).steps
    up = 1 / (1 + np.exp(np.linspace(6, -6, len(steps))))
    scores = np.stack([0 * up, up], axis=1)[:, :, None] * [0.3, 0.9] + 0.05
    write_probes(own_store, steps, np.stack([9 + 0 * up, 9 - 5 * up], axis=1), scores)
    press(page, "Look again")
    page.get_by_role("heading", name="Highest prefix-matching score").wait_for()
    settled(page)
    has_charts(page, 3)
    page.get_by_text("Minus a baseline").click()
    settled(page)
    has_query(page, "minus", "false")
    has_charts(page, 3)


def test_the_bundled_probes_are_compared_in_a_window(page: Page, app: str) -> None:
    opened(page, f"{app}/mechanism?region=1000-3000")
    has_charts(page, 4)
    expect(page.get_by_text("the score changes by less than 0.02")).to_be_visible()
    expect(
        page.get_by_text(re.compile("layer 1: half-way at step 1,6.*cannot tell"))
    ).to_be_visible()


def test_an_analysis_without_a_page_is_drawn_from_the_registry(page: Page, app: str) -> None:
    opened(page, app)
    navigate(page, "Events", "events")
    has_charts(page, 2)
    page.get_by_text("Group to subtract").click()
    settled(page)
    box = page.get_by_role("combobox", name="Group to analyse", exact=True)
    expect(box).to_have_value("All tokens")
    address = page.url
    reload(page)
    assert page.url == address
    navigate(page, "Overlap", "overlap")
    write(page, "Number of tokens per list", "20")
    has_query(page, "overlap_k", "20")
    choose(page, "Second region: last step", "1,920")
    has_charts(page, 1)
    expect(page.locator('[data-testid="stDataFrame"]').first).to_be_visible()

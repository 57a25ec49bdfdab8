"""What a user does on the analyses' pages: choose, look, take what was found to Trajectories."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import settled
from tests.browser.test_pages import has_charts, opened, query


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

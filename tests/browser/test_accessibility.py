"""axe-core finds no serious violation on any page, light or dark."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from queries.analyses.registry import ANALYSES
from tests.browser.actions import opened
from tests.browser.conftest import settled

LIBRARIES = {
    # list, listitem: Streamlit puts the headings of the navigation between <ul> and <li>.
    "[data-testid=stSidebarNavItems]",
    # svg-img-alt: Vega gives the role of a picture to every mark, such as an empty brush. The
    # chart itself is checked, and has a description.
    "[data-testid=stVegaLiteChart] svg > g",
}
"""Parts of pages that libraries draw, whose violations are theirs."""
SERIOUS = {"serious", "critical"}
COLOURS = ["color-contrast"]


def serious(page: Page, rules: list[str] | None = None) -> list[str]:
    """Serious violations on a page: rule, element, message."""
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if rules:
        options["runOnly"] = rules
    context = {"exclude": [[selector] for selector in sorted(LIBRARIES)]}
    found = Axe().run(page, context, options).response["violations"]
    return [
        f"{violation['id']}: {node['html'][:200]}: {node['failureSummary']}"
        for violation in found
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]


def test_no_page_has_a_serious_violation(page: Page, app: str) -> None:
    opened(page, app)
    links = page.get_by_test_id("stSidebarNavLink")
    n_pages = links.count()
    assert n_pages >= len(ANALYSES)
    found: list[str] = []
    for at in range(n_pages):
        title = links.nth(at).inner_text().strip().splitlines()[-1]
        links.nth(at).click()
        expect(page.get_by_role("heading", level=1)).to_contain_text(title)
        settled(page)
        found += [f"{title}: {line}" for line in serious(page)]
        page.emulate_media(color_scheme="dark")
        expect(page.get_by_test_id("stApp")).to_have_css("background-color", "rgb(18, 23, 29)")
        found += [f"{title}, dark: {line}" for line in serious(page, COLOURS)]
        page.emulate_media(color_scheme="light")
    assert found == []


@pytest.mark.parametrize(
    ("html", "rule"),
    [
        ("<p style='color: #999; background: #fff'>faint</p>", "color-contrast"),
        ("<input>", "label"),
        ("<iframe srcdoc='text'></iframe>", "frame-title"),
        ("<p>plain</p>", ""),
    ],
)
def test_the_check_can_fail(page: Page, html: str, rule: str) -> None:
    page.set_content(f"<html lang='en'><title>A page</title><main><h1>A page</h1>{html}</main>")
    found = serious(page)
    assert [line.partition(":")[0] for line in found] == ([rule] if rule else [])

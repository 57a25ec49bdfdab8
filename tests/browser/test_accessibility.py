"""axe-core finds no serious violation on any page, light or dark."""

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from queries import Store
from tests.browser.actions import opened
from tests.browser.conftest import DEMO
from views import pages

LIBRARIES = {
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
    found: list[str] = []
    for path in pages.pages(Store(DEMO), []):
        opened(page, f"{app}/{'' if path == pages.DEFAULT else path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        found += [f"{path}: {line}" for line in serious(page)]
        page.emulate_media(color_scheme="dark")
        expect(page.get_by_test_id("stApp")).to_have_css("background-color", "rgb(18, 23, 29)")
        found += [f"{path}, dark: {line}" for line in serious(page, COLOURS)]
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

"""Ten sessions at once, each with its own actions: none sees another's state, none fails."""

from collections.abc import Callable

from playwright.sync_api import Browser, Page, expect

from tests.browser.actions import groups, in_rail, query
from tests.browser.conftest import new_context, settled, watched


def first_group_is(clause: str) -> Callable[[Page], None]:
    return lambda page: _same(query(page)["group"][0], clause)


def _same(found: str, expected: str) -> None:
    assert found == expected


def default_groups(page: Page) -> None:
    assert "group" not in query(page)  # defaults are left out
    expect(page.locator(".rail .name")).to_have_text(["Not copyable", "Copyable"])


def remove_last(page: Page) -> None:
    in_rail(page, 1, "Remove")
    expect(page.locator(".rail .name")).to_have_text(["Copyable"])


def make_baseline(page: Page) -> None:
    in_rail(page, 1, "Make baseline")
    names = page.locator(".rail .name")
    expect(names).to_have_text(["position < 20", "position > 20"])


def to_zoom(page: Page) -> None:
    page.get_by_role("link", name="Zoom", exact=True).click()
    page.wait_for_url("**/zoom*")
    expect(page.get_by_role("heading", name="Change in loss")).to_be_visible(timeout=30_000)


def heading(text: str) -> Callable[[Page], None]:
    return lambda page: expect(page.get_by_role("heading", name=text)).to_be_visible()


SESSIONS: list[tuple[str, Callable[[Page], None]]] = [
    (f"/?{groups('position = 60', 'word_start')}", first_group_is("position = 60")),
    (f"/?{groups('copyable', 'is_palindrome(word)')}", remove_last),
    (f"/?{groups('position > 20', 'position < 20')}", make_baseline),
    (f"/?{groups('word_start')}&axis=linear", to_zoom),
    ("/?compare=ratio", heading("Ratio: each group divided by the baseline")),
    ("/?smooth=0.1&events=all+tokens", default_groups),
    ("/zoom?region=0-100", heading("Change in loss from step 0 to 100")),
    ("/zoom?region=400-700&lists_of=types", heading("Token types")),
    ("/tour", heading("Tour")),
    (
        f"/?{groups('positoin = 1')}",
        lambda page: expect(
            page.get_by_role("alert").get_by_text("did you mean position")
        ).to_be_visible(),
    ),
]


def test_ten_sessions_at_once(browser: Browser, app: str) -> None:
    assert len(SESSIONS) == 10
    contexts = [new_context(browser, height=900) for _ in SESSIONS]
    pages = [context.new_page() for context in contexts]
    errors = [watched(page) for page in pages]
    for page, (address, _) in zip(pages, SESSIONS, strict=True):
        page.goto(app + address)
    for page, (_, act) in zip(pages, SESSIONS, strict=True):
        settled(page)
        act(page)
    for page, (address, _) in zip(pages[:3], SESSIONS, strict=False):
        assert query(page)["group"] != ["not_copyable", "copyable"], address
    for context in contexts:
        context.close()
    assert [e for found in errors for e in found] == []

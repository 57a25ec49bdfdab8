"""How long the app takes in a browser: `python -m tests.bench.app [STORE] [--runs N]`.

Headless Chromium against a server of its own. Seconds, medians: a page's load, from opening the
address to the last chart drawn; from a changed group to the redrawn chart. The store's matrix is
built, and its pages are read once, before anything is measured.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.bench.large import build
from tests.browser.conftest import ROOT, launch, start_app
from tests.browser.test_pages import groups

PAGES = {"trajectories": ("/", 2), "zoom": ("/zoom", 2), "text": ("/text", 0), "sql": ("/sql", 0)}
"""Page -> address, and how many charts it draws."""


def main() -> None:
    """Print one line a page, and one for a changed group."""
    options = _options()
    process, url = start_app(str(options.store or build("report", ROOT / "build")))
    try:
        with sync_playwright() as playwright:
            browser = launch(playwright)
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            for name, (address, charts) in PAGES.items():
                load = [_load(page, url + address, charts) for _ in range(options.runs + 1)]
                _say(f"load {name}", load[1:])
            _say("changed group to redrawn chart", list(_changes(page, url, options.runs)))
    finally:
        process.kill()


def _load(page: Page, address: str, charts: int) -> float:
    started = time.perf_counter()
    page.goto(address)
    _drawn(page, charts)
    return time.perf_counter() - started


def _changes(page: Page, url: str, runs: int) -> Iterator[float]:
    """A group that was never asked for is added; the clock runs from the last click."""
    for n in range(runs):
        page.goto(f"{url}/?{groups('word_start')}")
        _drawn(page, 1)
        page.get_by_role("button", name="Add group").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("radio", name="Write SQL").click()
        field = dialog.get_by_role("textbox", name="A condition in SQL")
        field.fill(f"corpus_count > {1_000 + n} and position > {n}")
        field.press("Control+Enter")
        add = dialog.get_by_role("button", name="Add", exact=True)
        page.wait_for_timeout(2_000)
        started = time.perf_counter()
        add.click()
        _drawn(page, 2)
        yield time.perf_counter() - started


def _drawn(page: Page, charts: int) -> None:
    """All charts are there, and the script has run to its end."""
    page.wait_for_selector("h1", timeout=120_000)
    marks = page.locator('[data-testid="stVegaLiteChart"] .marks')
    expect(marks).to_have_count(charts, timeout=120_000)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def _say(what: str, seconds: list[float]) -> None:
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    print(f"{what}: {statistics.median(seconds):.2f} s ({spread}, {len(seconds)} runs)", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", nargs="?", type=Path, help="a store (the report's size, built)")
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    main()

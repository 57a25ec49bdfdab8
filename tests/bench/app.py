"""Time the app in a browser: `python -m tests.bench.app [STORE] [--size SIZE] [--runs N]`.

Headless Chromium and a server of its own. Medians in seconds: loading a page, from opening its
address to its last chart; and changing a group, from the last click to the redrawn chart. Each page
is loaded once before it is measured, which also builds the store's matrix.
"""

import argparse
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests.bench.large import SIZES, build
from tests.browser.actions import groups
from tests.browser.conftest import ROOT, launch, start_app

PAGES = {"trajectories": ("/", 2), "zoom": ("/zoom", 2), "text": ("/text", 0), "sql": ("/sql", 0)}
"""Page -> its address and its number of charts."""


def main() -> None:
    """Print one line per page, and one for a changed group."""
    options = _options()
    process, url = start_app(str(options.store or build(options.size, ROOT / "build")))
    try:
        with sync_playwright() as playwright:
            browser = launch(playwright)
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            for name, (address, charts) in PAGES.items():
                load = [_load(page, url + address, charts) for _ in range(options.runs + 1)]
                _report(f"load {name}", load[1:])
            _report("changed group to redrawn chart", list(_changes(page, url, options.runs)))
    finally:
        process.kill()


def _load(page: Page, address: str, charts: int) -> float:
    started = time.perf_counter()
    page.goto(address)
    _drawn(page, charts)
    return time.perf_counter() - started


def _changes(page: Page, url: str, runs: int) -> Iterator[float]:
    """Add a group that is not cached yet; time runs from the last click."""
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
    """Wait until all charts are drawn and the script has ended."""
    page.wait_for_selector("h1", timeout=120_000)
    marks = page.locator('[data-testid="stVegaLiteChart"] .marks')
    expect(marks).to_have_count(charts, timeout=120_000)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')


def _report(what: str, seconds: list[float]) -> None:
    spread = f"{min(seconds):.2f} to {max(seconds):.2f}"
    print(f"{what}: {statistics.median(seconds):.2f} s ({spread}, {len(seconds)} runs)", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", nargs="?", type=Path, help="a store (default: built by --size)")
    parser.add_argument("--size", choices=SIZES, default="report", help="(%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="(%(default)s)")
    return parser.parse_args()


if __name__ == "__main__":
    main()

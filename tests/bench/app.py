"""Time the app in a browser: `python -m tests.bench.app [STORE] [--size SIZE] [--runs N]`.

Headless Chromium and a server of its own. Medians in seconds: loading a page, from opening its
address to its last chart; changing a group, from the last click to the redrawn chart; brushing
Zoom's histogram, from the release of the mouse to the end of the script; and, for a store that was
built here, following it, from a new checkpoint on disk to the redrawn charts, with the processor
time of the server. And the frames a second of Text's step slider. Each page is loaded once before
it is measured, which also builds the store's matrix.
"""

import argparse
import os
import re
import shutil
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from store.layout import Layout
from tests.bench.large import SIZES, add_step, build
from tests.browser.actions import groups
from tests.browser.conftest import ROOT, launch, start_app

FILTERED = """before => {
  const texts = [...document.querySelectorAll("p")];
  const said = texts.find((p) => p.innerText.startsWith("Changed by"));
  const app = document.querySelector('[data-testid="stApp"]');
  return said && said.innerText !== before && app.dataset.testScriptState === "notRunning";
}"""
PAINTED = """(text, seconds) => new Promise((done) => {
  let frames = 0, last = text.dataset.step;
  const end = performance.now() + 1000 * seconds;
  const look = () => {
    if (text.dataset.step !== last) { frames += 1; last = text.dataset.step; }
    if (performance.now() < end) requestAnimationFrame(look); else done(frames);
  };
  requestAnimationFrame(look);
})"""
PAGES = {"trajectories": ("/", 2), "zoom": ("/zoom", 2), "text": ("/text", 0), "sql": ("/sql", 0)}
"""Page -> its address and its number of charts."""


def main() -> None:
    """Print one line per page, one for a changed group, and two for a store that grows."""
    options = _options()
    store = options.store or build(options.size, ROOT / "build")
    process, url = start_app(str(store))
    try:
        with sync_playwright() as playwright:
            browser = launch(playwright)
            page = browser.new_page(viewport={"width": 1280, "height": 1000})
            for name, (address, charts) in PAGES.items():
                load = [_load(page, url + address, charts) for _ in range(options.runs + 1)]
                _report(f"load {name}", load[1:])
            _report("changed group to redrawn chart", list(_changes(page, url, options.runs)))
            _report("brush to filtered tables", list(_brushes(page, url, options.runs)))
            print(f"step slider: {_frames(page, url):.1f} frames a second", flush=True)
            if not options.store:
                _measure_following(page, store, options.size, options.runs)
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


def _measure_following(page: Page, store: Path, size: str, runs: int) -> None:
    """With an app of its own, on a copy whose files are links."""
    copy = store.with_name("bench-growing")
    shutil.rmtree(copy, ignore_errors=True)
    ignored = shutil.ignore_patterns("catalog.duckdb*")
    shutil.copytree(store, copy, copy_function=os.link, ignore=ignored)
    process, url = start_app(str(copy))
    try:
        page.goto(url)
        _drawn(page, 2)
        page.get_by_text("Follow", exact=True).click()
        measured = [_follow(page, copy, size, process.pid) for _ in range(runs + 1)][1:]
        seconds, server = (list(column) for column in zip(*measured, strict=True))
        _report("new checkpoint to redrawn charts", seconds)
        _report("  processor time of the server", server)
    finally:
        process.kill()
        shutil.rmtree(copy)


def _follow(page: Page, store: Path, size: str, server: int) -> tuple[float, float]:
    """Seconds until one more checkpoint is drawn, and of the server's processor time."""
    page.wait_for_timeout(1_000)
    step = max(Layout(store).scored()) + 1_000
    used = _processor_time(server)
    add_step(store, size, step)
    written = time.perf_counter()
    expect(page.get_by_text(f"Last step {step:,}")).to_be_visible(timeout=120_000)
    _drawn(page, 2)
    return time.perf_counter() - written, _processor_time(server) - used


def _processor_time(process: int) -> float:
    """Of a Linux process and its threads, in seconds: user and system time, see proc(5)."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _brushes(page: Page, url: str, runs: int) -> Iterator[float]:
    """Drag over the histogram of Zoom; time runs from the release of the mouse."""
    page.goto(f"{url}/zoom")
    _drawn(page, 2)
    chart = page.locator('[data-testid="stVegaLiteChart"]').first
    chart.scroll_into_view_if_needed()
    page.wait_for_timeout(2_000)
    box = chart.bounding_box()
    assert box
    y = box["y"] + box["height"] * 0.5
    for n in range(runs):
        said = page.get_by_text(re.compile("^Changed by"))
        before = said.inner_text() if said.count() else ""
        page.mouse.move(box["x"] + box["width"] * 0.6, y)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * (0.75 + n * 0.03), y, steps=5)
        started = time.perf_counter()
        page.mouse.up()
        page.wait_for_function(FILTERED, arg=before, timeout=60_000)
        yield time.perf_counter() - started
        page.wait_for_timeout(1_000)


def _frames(page: Page, url: str, seconds: float = 3) -> float:
    """Frames a second of the step slider while it plays a doc, counted as they are painted."""
    page.goto(f"{url}/text")
    page.locator(".token").first.wait_for(timeout=120_000)
    page.wait_for_selector('[data-testid="stApp"][data-test-script-state="notRunning"]')
    page.wait_for_timeout(2_000)
    page.get_by_role("button", name="Play through training").click()
    step = page.locator(".text")
    return float(step.evaluate(PAINTED, seconds)) / seconds


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

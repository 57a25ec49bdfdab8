"""The app as a user has it: a server and headless Chromium."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    expect,
    sync_playwright,
)

from tests.queries.support.stores import add_checkpoint, build_store, random_losses

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "data" / "demo"
FRAMES = 8
"""Drawn frames without a message or a change of the page after which it is settled."""

expect.set_options(timeout=30_000)  # shared machines are slow at times

# When the page last sent a message, ran the script and changed. A message to the server is answered
# by a run of the script, or not at all: then two seconds are enough.
WATCH = """
(() => {
  const last = { sent: 0, ran: 0 };
  let quiet = 0; // frames
  const Native = window.WebSocket;
  window.WebSocket = class extends Native {
    constructor(...how) {
      super(...how);
      this.addEventListener("message", () => { quiet = 0; });
    }
    send(data) {
      quiet = 0;
      last.sent = performance.now();
      super.send(data);
    }
  };
  const app = () => document.querySelector('[data-testid="stApp"]');
  new MutationObserver(() => {
    quiet = 0;
    if (app()?.dataset.testScriptState === "running") last.ran = performance.now();
  }).observe(document, { subtree: true, childList: true, attributes: true });
  const drawn = (chart) => !chart.offsetParent || chart.querySelector(".marks");
  const ready = () =>
    app()?.dataset.testScriptState === "notRunning" &&
    document.querySelector("h1") &&
    !document.querySelector('[data-testid="stSkeleton"]') &&
    [...document.querySelectorAll('[data-testid="stVegaLiteChart"]')].every(drawn) &&
    (last.ran > last.sent || performance.now() - last.sent > 2000);
  const count = () => { quiet += 1; requestAnimationFrame(count); };
  requestAnimationFrame(count);
  window.isSettled = (frames) => Boolean(ready()) && quiet > frames;
})()
"""


def start_app(*arguments: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start the app on a free port; returns the process and its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true"]
    process = subprocess.Popen([*command, f"--server.port={port}", "--", *arguments], cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=5)
            return process, url
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise RuntimeError("the app did not start within a minute")


def running(*arguments: Path) -> Iterator[str]:
    """The address of an app on these stores, which is stopped afterwards."""
    process, url = start_app(*map(str, arguments))
    yield url
    process.kill()
    process.wait()


def launch(playwright: Playwright) -> Browser:
    """Chromium from the system, without its own background connections."""
    return playwright.chromium.launch(
        executable_path=shutil.which("chromium"),
        args=[
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
        ],
    )


def new_context(
    browser: Browser, width: int = 1280, height: int = 1000, **how: Any
) -> BrowserContext:
    """A context whose pages `settled` can wait for."""
    context = browser.new_context(viewport={"width": width, "height": height}, **how)
    context.add_init_script(WATCH)
    return context


def settled(page: Page) -> None:
    """Wait until the script has run, the charts are drawn, and nothing changes any more."""
    page.wait_for_function("frames => window.isSettled(frames)", arg=FRAMES, timeout=60_000)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not shutil.which("chromium"):
        if os.environ.get("CI"):
            pytest.fail("CI must have Chromium: .ci/run installs it")
        pytest.skip("no Chromium here: `apt-get install chromium` installs it")
    with sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


@pytest.fixture(scope="session")
def app(browser: Browser) -> Iterator[str]:
    """The address of an app on the bundled store."""
    yield from running(DEMO)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of stores; tests put theirs there."""
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(scope="session")
def folder_app(browser: Browser, folder: Path) -> Iterator[str]:
    """The address of an app on a folder of stores, opened as `/?store=PATH`."""
    build_store(folder / "first", sources=2)
    yield from running(folder)


@pytest.fixture
def own_store(folder: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy of the bundled store, to write to."""
    root = folder / request.function.__name__
    shutil.copytree(DEMO, root, ignore=shutil.ignore_patterns("checkpoints", "text"))
    yield root
    shutil.rmtree(root)


@pytest.fixture
def seeds(folder: Path) -> Iterator[list[Path]]:
    """Two runs of the same tokens."""
    roots = [build_store(folder / f"seed-{seed}", sources=12, steps=()) for seed in (1, 2)]
    for seed, root in enumerate(roots, 1):
        for step in (0, 10, 100):
            add_checkpoint(root, step, random_losses(root, 100 * seed + step))
    yield roots
    for root in roots:
        shutil.rmtree(root)


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page that must end without a console error and without a request elsewhere."""
    context = new_context(browser)
    page = context.new_page()
    errors = watched(page)
    yield page
    context.close()
    assert errors == []


def watched(page: Page) -> list[str]:
    """Errors of a page from now on, and its requests that leave this machine."""
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if _is_ours(m) else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("request", lambda r: None if _is_local(r.url) else errors.append(r.url))
    return errors


def _is_ours(message: ConsoleMessage) -> bool:
    """A real error: Streamlit requests files below the page's path before it does at the root."""
    below_path = re.search(r"/\w+/_stcore/", message.location["url"])
    return message.type == "error" and not below_path


def _is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))

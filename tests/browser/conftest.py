"""The app as a user has it: a server of its own and headless Chromium."""

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

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

from tests.queries.stores import add_checkpoint, build_store, random_losses

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "data" / "demo"

expect.set_options(timeout=30_000)  # shared machines are slow at times


def start_app(*arguments: str) -> tuple[subprocess.Popen[bytes], str]:
    """Start the app on a free port; returns the process and its address once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.headless=true",
               f"--server.port={port}", "--", *arguments]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{url}/_stcore/health", timeout=5)
            return process, url
        except OSError:
            time.sleep(0.25)
    process.kill()
    raise RuntimeError("the app did not start within a minute")


def launch(playwright: object) -> Browser:
    """Chromium from the system, without its own background connections."""
    return playwright.chromium.launch(  # type: ignore[attr-defined]
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


def settled(page: Page) -> None:
    """Wait until the script has run and the charts are drawn."""
    page.wait_for_selector("h1", timeout=60_000)
    page.wait_for_timeout(200)
    page.wait_for_selector(
        '[data-testid="stApp"][data-test-script-state="notRunning"]', timeout=60_000
    )
    page.wait_for_timeout(400)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not shutil.which("chromium"):
        if os.environ.get("CI"):
            pytest.fail("CI must have Chromium: .ci/run installs it")
        pytest.skip("no Chromium here: `apt-get install chromium` brings it")
    with sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


@pytest.fixture(scope="session")
def app(browser: Browser) -> Iterator[str]:
    """The address of an app on the bundled store."""
    yield from running(DEMO)


@pytest.fixture
def own_app(browser: Browser, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An app on a copy of the bundled store, and the copy."""
    folder = tmp_path / "own"
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("checkpoints", "text", "index"))
    yield from ((url, folder) for url in running(folder))


@pytest.fixture
def seeds_app(browser: Browser, tmp_path: Path) -> Iterator[str]:
    """An app on two runs of the same tokens."""
    for seed in (1, 2):
        root = build_store(tmp_path / f"seed-{seed}", sources=12, steps=())
        for step in (0, 10, 100):
            add_checkpoint(root, step, random_losses(root, 100 * seed + step))
    yield from running(tmp_path)


def running(*arguments: Path) -> Iterator[str]:
    process, url = start_app(*map(str, arguments))
    yield url
    process.kill()
    process.wait()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A fresh page that must end without a console error and without a request elsewhere."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    errors = watched(page)
    yield page
    context.close()
    assert errors == []


def watched(page: Page) -> list[str]:
    """What goes wrong in a page from now on: its errors, and requests that leave this machine."""
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if _is_ours(m) else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("request", lambda r: None if _here(r.url) else errors.append(r.url))
    return errors


def _is_ours(message: ConsoleMessage) -> bool:
    """An error that is not Streamlit asking below the page's path before it asks at the root."""
    asked_below = re.search(r"/\w+/_stcore/", message.location["url"])
    return message.type == "error" and not asked_below


def _here(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))

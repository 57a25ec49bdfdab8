"""A run of 609 checkpoints, in Mistral's schedule: every page draws it, and regions are chosen."""

import re
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest
from playwright.sync_api import Page, expect

from tests.bench.large import MISTRAL
from tests.browser.actions import brush_region, choose, groups, has_charts, opened
from tests.queries.support.stores import build_store


@pytest.fixture(scope="module")
def long_store(folder: Path) -> Iterator[Path]:
    yield build_store(folder / "long", sources=12, steps=tuple(MISTRAL))
    rmtree(folder / "long")


@pytest.mark.parametrize("axis", ["symlog", "linear"])
def test_trajectories_of_609_checkpoints(
    page: Page, folder_app: str, long_store: Path, axis: str
) -> None:
    opened(
        page, f"{folder_app}/?store={long_store}&{groups('word_start', 'position < 9')}&axis={axis}"
    )
    has_charts(page, 2)
    expect(page.get_by_text("609 checkpoints, steps")).to_be_visible()
    first, last = brush_region(page, 0.5, 0.8)
    assert {first, last} <= set(MISTRAL)
    assert first < last


def test_events_of_609_checkpoints_are_marked_or_absent(
    page: Page, folder_app: str, long_store: Path
) -> None:
    opened(page, f"{folder_app}/?store={long_store}&{groups('word_start')}&events=all+tokens")
    has_charts(page, 1)
    answer = page.get_by_text(re.compile("^(Events: select|No event stands out)"))
    expect(answer.first).to_be_visible()


def test_a_step_is_typed(page: Page, folder_app: str, long_store: Path) -> None:
    opened(page, f"{folder_app}/zoom?store={long_store}")
    choose(page, "Rise: first step", "1,950")
    choose(page, "Rise: last step", "399,000")
    has_charts(page, 2)
    heading = "Change in loss from step 1,950 to 399,000"
    expect(page.get_by_role("heading", name=heading)).to_be_visible()

"""A run of 609 checkpoints, in Mistral's schedule: every page draws it, and regions are chosen."""

import re

import pytest
from playwright.sync_api import expect

from tests.bench.large import MISTRAL
from tests.browser.conftest import running
from tests.browser.test_pages import brush_region, choose, groups, has_charts, opened
from tests.queries.stores import build_store


@pytest.fixture(scope="module")
def long_app(browser, tmp_path_factory):
    yield from running(
        build_store(tmp_path_factory.mktemp("long") / "run", sources=12, steps=tuple(MISTRAL))
    )


@pytest.mark.parametrize("axis", ["log-like", "linear"])
def test_trajectories_of_609_checkpoints(page, long_app, axis):
    opened(page, f"{long_app}/?{groups('word_start', 'position < 9')}&axis={axis}")
    has_charts(page, 2)
    expect(page.get_by_text("609 checkpoints")).to_be_visible()
    first, last = brush_region(page, 0.5, 0.8)
    assert {first, last} <= set(MISTRAL)
    assert first < last


def test_events_of_609_checkpoints_are_marked_or_denied(page, long_app):
    opened(page, f"{long_app}/?{groups('word_start')}&events=all+tokens")
    has_charts(page, 1)
    told = page.get_by_text(re.compile("^(Events: tick|No event stands out)"))
    expect(told.first).to_be_visible()


def test_a_step_is_typed_among_609(page, long_app):
    opened(page, f"{long_app}/zoom")
    choose(page, "Region: first step", "1950")
    choose(page, "Region: last step", "399000")
    has_charts(page, 2)
    heading = "Change in loss from step 1,950 to 399,000"
    expect(page.get_by_role("heading", name=heading)).to_be_visible()

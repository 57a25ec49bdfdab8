"""The story of a spike: its regions, its computed numbers, and what it does not claim."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from queries import Store
from queries.__main__ import main
from queries.analyses.events import Spike, spikes
from queries.report import SpikeStory, spike_story, to_html
from queries.report.numbers import plain, share
from queries.stats.changes import most_decreased, most_increased
from tests.queries.support import reported


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A spike that peaks at step 200, in most tokens."""
    return reported.made_up(tmp_path_factory.mktemp("spike") / "run", reported.spike)


@pytest.fixture(scope="module")
def story(planted: Store) -> SpikeStory:
    return spike_story(planted, spikes(planted)[0], k=20)


def test_a_spike_is_a_rise_and_a_recovery_that_share_no_checkpoint(planted: Store) -> None:
    (found, *_) = spikes(planted)
    assert found.kind == "spike" and found.recovery and found.p_value < 0.05
    assert found.rise[1] == 200
    assert found.recovery[0] == planted.steps[planted.steps.index(200) + 1]
    mean = planted.trajectories({"": "true"}).set_index("checkpoint")["mean_loss"]
    assert mean[found.rise[1]] > mean[found.rise[0]] + 0.1
    assert mean[found.recovery[1]] < mean[found.recovery[0]]


def test_every_number_of_the_paragraph_is_computed(planted: Store, story: SpikeStory) -> None:
    (first, peak), recovery = story.spike.rise, story.spike.recovery
    assert recovery
    mean = planted.trajectories({"": "true"}).set_index("checkpoint")["mean_loss"]
    assert f"rises by {plain(mean[peak] - mean[first])} nats" in story.paragraph
    rise, back = (planted.zoom(*region).changes for region in (story.spike.rise, recovery))
    assert f"{share((rise['change'] > 0).mean(), 1)} of {len(rise):,} tokens" in story.paragraph
    up, down = most_increased(rise, 20)["row"], most_decreased(back, 20)["row"]
    shared = len(np.intersect1d(up, down))
    assert f"Of the 20 tokens that increased most in steps {first} to {peak}, {shared} are" in (
        story.paragraph
    )


def test_what_the_statistics_cannot_tell_is_said(tmp_path: Path) -> None:
    store = reported.made_up(tmp_path / "run")
    assert not spikes(store) or np.isnan(spikes(store)[0].p_value)
    rise = Spike("largest_rise", (100, 200), (210, 280), 0.1, np.nan)
    told = spike_story(store, rise, k=20).paragraph
    assert "to know whether this one is more than noise" in told
    assert re.search("Which groups explain it is unknown", told)
    assert "the same tokens change and change back" not in told


def test_a_region_without_a_recovery_has_a_story(planted: Store) -> None:
    whole = planted.steps[0], planted.steps[-1]
    told = spike_story(planted, Spike("region", whole, None, 0, np.nan), k=5)
    assert "There is no recovery to compare with" in told.paragraph
    assert told.recovery is None and told.overlap.empty
    assert "There is no recovery" in to_html(told.report())


def test_the_page_holds_the_whole_story_and_escapes_texts(story: SpikeStory) -> None:
    hostile = replace(story, sentences=("<script>alert(1)</script>", *story.sentences))
    page = to_html(hostile.report())
    assert "<script" not in page and page.count("<svg") == 5
    for heading in ("The rise", "The recovery", "Groups that changed", "Overlap of the rise"):
        assert heading in page
    assert re.search(r"shared</th>\s*<th class=n>expected placebo", page)


def test_the_command_prints_the_story_and_writes_the_page(
    planted: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "spike.html"
    path = str(planted.path)
    assert main(["spike", path, "--top", "20", "--html", str(page), "--format", "json"]) == 0
    assert "get worse" in capsys.readouterr().out
    assert "The recovery" in page.read_text(encoding="utf-8")
    assert main(["spike", path, "--nth", "99"]) == 2
    assert "there is no spike 99" in capsys.readouterr().err

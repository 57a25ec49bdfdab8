"""What share of the 95% bands cover the truth, in thousands of stores made up so that it is known.

The losses are like real ones where it matters: skewed; alike within a source document by its level,
by a gap of its own between the groups, and by a drift along its text; documents of unequal length,
whose tokens are of the group more or less often.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from queries.engine.matrix import LossMatrix
from queries.engine.sums import GroupSums, Summation
from queries.stats.bands import Band, difference_band, mean_band, ratio_band

TEXTS, RUNS = 50, 100  # 5,000 stores: each text, cut and grouped at random, in 100 runs
FIRST, SECOND = 3.0, 2.0
"""The true mean losses of the group and of all other tokens, in nats."""


@dataclass(frozen=True)
class Design:
    """How a store is made up."""

    sources: int
    unequal: float
    """Standard deviation of the log of a document's length."""
    alike: float
    """Share of the losses' variance that is the document's."""


DESIGNS = {
    "40 sources": Design(40, 0.5, 0.1),
    "12 sources": Design(12, 0.3, 0.1),
    "60 unequal sources": Design(60, 0.6, 0.1),
    "30 sources, little alike": Design(30, 0.6, 0.02),
    "30 sources, much alike": Design(30, 0.5, 0.3),
}


@dataclass(frozen=True)
class Text:
    """One text in 100 runs, which stand side by side as if they were checkpoints."""

    first: GroupSums
    second: GroupSums
    losses: np.ndarray
    """Those of the first group, float32 (tokens, runs)."""


def make_text(design: Design, rng: np.random.Generator) -> Text:
    lengths = 80 * rng.lognormal(-(design.unequal**2) / 2, design.unequal, design.sources)
    source = np.repeat(np.arange(design.sources), np.maximum(lengths, 4).astype(int))
    in_first = rng.random(len(source)) < rng.beta(4, 6, design.sources)[source]
    level, gap = rng.normal(0, np.sqrt(design.alike / 2), (2, design.sources, RUNS))
    losses = level[source] + np.where(in_first, 1, -1)[:, None] * gap[source]
    losses += np.sqrt(0.2) * drift(source, rng)
    losses += np.sqrt(0.8 - design.alike) * (rng.exponential(1, losses.shape) - 1)
    losses += np.where(in_first, FIRST, SECOND)[:, None]
    whole = Summation(LossMatrix(np.arange(RUNS), [losses.astype(np.float32)]), source)
    first, second = (whole.group(np.flatnonzero(m)) for m in (in_first, ~in_first))
    return Text(first, second, losses[in_first])


def drift(source: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An autoregression along each document, of variance 1, that forgets a tenth at each token."""
    noise = rng.normal(0, 1, (len(source), RUNS))
    for i in range(1, len(source)):
        if source[i] == source[i - 1]:
            noise[i] = 0.9 * noise[i - 1] + np.sqrt(1 - 0.9**2) * noise[i]
    return noise


def make_texts(design: Design) -> list[Text]:
    rng = np.random.default_rng(0)
    return [make_text(design, rng) for _ in range(TEXTS)]


@pytest.fixture(scope="module", params=list(DESIGNS.values()), ids=list(DESIGNS))
def texts(request: pytest.FixtureRequest) -> list[Text]:
    return make_texts(request.param)


def covered(bands: list[Band], truth: float) -> float:
    return float(np.mean([(b.low <= truth) & (truth <= b.high) for b in bands]))


def by_token(text: Text) -> Band:
    """The band of a mean that takes tokens for independent."""
    mean = text.losses.mean(axis=0)
    reach = 1.96 * text.losses.std(axis=0, ddof=1) / np.sqrt(len(text.losses))
    return replace(mean_band(text.first), low=mean - reach, high=mean + reach)


def test_bands_of_means_cover_the_truth_in_93_to_97_percent_of_stores(texts):
    assert 0.93 <= covered([mean_band(t.first) for t in texts], FIRST) <= 0.97
    assert 0.93 <= covered([mean_band(t.second) for t in texts], SECOND) <= 0.97


def test_bands_of_differences_cover_the_truth_in_93_to_97_percent_of_stores(texts):
    bands = [difference_band(t.first, t.second) for t in texts]
    assert 0.93 <= covered(bands, FIRST - SECOND) <= 0.97


def test_bands_of_ratios_cover_the_truth_in_93_to_97_percent_of_stores(texts):
    bands = [ratio_band(t.first, t.second) for t in texts]
    assert 0.93 <= covered(bands, FIRST / SECOND) <= 0.97


def test_bands_that_take_tokens_for_independent_do_not(texts):
    assert covered([by_token(t) for t in texts], FIRST) < 0.85


def test_a_few_documents_that_hold_most_of_the_tokens_cost_the_plain_band_some_percent():
    """Lengths whose log has a deviation of 1: the jackknife still covers."""
    texts = make_texts(Design(40, 1.0, 0.1))
    assert covered([mean_band(t.first, "cr1") for t in texts], FIRST) < 0.93
    assert 0.925 <= covered([mean_band(t.first) for t in texts], FIRST) <= 0.98


def test_pairing_narrows_the_band_of_a_difference_where_sources_share_their_level():
    text = make_text(Design(40, 0.5, 0.0), np.random.default_rng(0))
    level = np.random.default_rng(1).normal(0, 1, (40, RUNS))
    first, second = (
        GroupSums(g.counts, g.sums + g.counts[:, None] * level) for g in (text.first, text.second)
    )
    paired, one, two = difference_band(first, second), mean_band(first), mean_band(second)
    unpaired = np.hypot(one.high - one.estimate, two.high - two.estimate)
    assert np.mean((paired.high - paired.estimate) / unpaired) < 0.6

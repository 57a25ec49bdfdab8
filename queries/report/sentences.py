"""The report's findings, as computed sentences: of pairs of groups, and of changes in a region."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from queries.engine.sums import GroupSums
from queries.report.numbers import (
    band,
    better,
    chance,
    count,
    known,
    number,
    plain,
    share,
    signed,
    span,
    step,
)
from queries.report.pairs import Pair
from queries.stats import placebo
from queries.stats.bands import mean_band
from queries.stats.changes import Region, Zoom, region_change
from queries.stats.power import detectable_beyond
from queries.store import Store

# Changes of single tokens in a region.

FEATURES = (
    ("copyable (the last three tokens occurred together earlier in the doc)", "copyable"),
    ("word starts", "word_start"),
)


def histogram(store: Store, zoom: Zoom, avoid: Region) -> list[str]:
    """How many tokens got worse or better, with a band; by how much; and what is usual."""
    change = zoom.changes["change"].to_numpy(np.float64)
    rose, fell = (change > 0).mean(), (change < 0).mean()
    low, high = share_band(change > 0, store.source_of_row[zoom.changes["row"]])
    sure = f" (95% band {share(low, 1)} to {share(high, 1)})" if np.isfinite(low) else ""
    ends = np.quantile(change, [0.01, 0.99])
    lines = [
        f"From step {step(zoom.first)} to {step(zoom.last)}, {share(rose, 1)} of {len(change):,} "
        f"tokens get worse{sure} and {share(fell, 1)} get better; the mean change is "
        f"{signed(change.mean())} nats, the median {signed(float(np.median(change)))}.",
        f"One token in a hundred changes by {number(ends[0])} nats or lower, one in a hundred by "
        f"{signed(ends[1])} or higher; the extremes are {band(change.min(), change.max())}.",
    ]
    return [*lines, *_usual(store, zoom, avoid)]


def _usual(store: Store, zoom: Zoom, avoid: Region) -> list[str]:
    """How many of the tokens get worse in other regions of the run, and how much they change."""
    change = zoom.changes["change"].to_numpy(np.float64)
    regions = placebo.placebo_regions(np.array(store.steps), (zoom.first, zoom.last), avoid)
    if not regions:
        return ["There is no other region with as many checkpoints to compare with."]
    rows = zoom.changes["row"].to_numpy()
    others = [region_change(store.matrix, rows, region) for region in regions]
    worse = [float((other > 0).mean()) for other in others]
    spread = [float(other.std()) for other in others]
    return [
        f"In the nearest {count(len(regions), 'region')} with as many checkpoints, "
        f"{share(min(worse))} to {share(max(worse))} of the tokens get worse, and changes have a "
        f"standard deviation of {plain(min(spread))} to {plain(max(spread))} nats; here it is "
        f"{plain(float(change.std()))}."
    ]


def share_band(chosen: np.ndarray, source_of_row: np.ndarray) -> tuple[float, float]:
    """95% band of the share of true values, bool (tokens,), over source documents.

    As `queries.stats.bands` has it; NaN below 4 effective documents.
    """
    _, sources = np.unique(source_of_row, return_inverse=True)
    counts, hits = np.bincount(sources), np.bincount(sources, chosen)
    band = mean_band(GroupSums(counts, hits[:, None]))
    return float(max(band.low[0], 0)), float(min(band.high[0], 1))


def trajectories(store: Store, zoom: Zoom) -> list[str]:
    """The most changed tokens: by how much they changed, what they are, and when half-way."""
    lines = []
    for name, word in (("decreased", "fell"), ("increased", "rose")):
        tokens = zoom.lists[name]
        if tokens.empty:
            lines.append(f"No token {word}.")
            continue
        change = tokens.drop_duplicates("row")["change"].abs()
        among = _features(store, tokens["row"].unique(), zoom.changes["row"].to_numpy())
        lines.append(
            f"The {len(change)} tokens that {word} most {word} by {plain(change.min())} to "
            f"{plain(change.max())} nats. {among}"
        )
    half = {name: _half_way(zoom.lists[name], zoom) for name in ("decreased", "increased")}
    if all(half.values()):
        lines.append(
            f"Half of the mean fall is reached at step {step(half['decreased'] or 0)}, half of the "
            f"mean rise at step {step(half['increased'] or 0)}. The two lists diverge by "
            "construction."
        )
    return lines


def _features(store: Store, rows: np.ndarray, everywhere: np.ndarray) -> str:
    """What share of `rows` has each of FEATURES, compared with `everywhere`."""
    whole = "all tokens" if len(everywhere) == len(store.facts) else "the group"
    parts = []
    for name, group in FEATURES:
        members = store.members(group)
        here, all_over = (float(np.isin(some, members).mean()) for some in (rows, everywhere))
        parts.append(f"{share(here)} are {name}, compared with {share(all_over)} of {whole}")
    return ". ".join(parts) + "."


def _half_way(tokens: pd.DataFrame, zoom: Zoom) -> int | None:
    """The first step at which the tokens' mean has made half of its change in the region."""
    mean = tokens.groupby("checkpoint")["loss"].mean()
    mean = mean[(mean.index >= zoom.first) & (mean.index <= zoom.last)]
    if len(mean) < 3:
        return None
    done = (mean - mean.iloc[0]) / (mean.iloc[-1] - mean.iloc[0])
    return int(done.index[int((done >= 0.5).to_numpy().argmax())])


def overlap(shared: pd.DataFrame, first: Region, second: Region) -> list[str]:
    """Lists that change in one region and back in the other, compared with placebo pairs."""
    lines = []
    for line in shared[shared["set_in_first"] != shared["set_in_second"]].to_dict("records"):
        if not min(line["k_first"], line["k_second"]):
            lines.append(f"No token {line['set_in_first']} in one of the regions.")
            continue
        lines.append(
            f"Of the {line['k_first']} tokens that {line['set_in_first']} most in {span(*first)}, "
            f"{line['shared']} are among the {line['k_second']} that {line['set_in_second']} most "
            f"in {span(*second)}. {_compared(line)}"
        )
    return lines


def _compared(line: dict[Hashable, Any]) -> str:
    if line["verdict"]:
        why = line["verdict"].removeprefix("cannot tell: ")
        return f"Whether that is unusual cannot be determined here: {why}."
    pairs = count(line["n_placebos"], "pair")
    text = (
        f"In {pairs} of regions with the same widths and gap elsewhere in the run, such lists "
        f"share {plain(line['expected_placebo'], 1)} on average"
    )
    if line["p_placebo"] < placebo.LEVEL:
        return f"{text} ({chance(line['p_placebo'])}): the same tokens change and change back."
    return f"{text}, so it is not unusual ({chance(line['p_placebo'])}). {_needed(line)}"


def _needed(line: dict[Hashable, Any]) -> str:
    if np.isfinite(line["needed"]):
        return f"Fewer than {line['needed']:.0f} shared tokens would not be detected here."
    return "No number of shared tokens could be called unusual here."


# The report's own figures, and how a store of its run compares with them.
#
# Values are read off the figures of Foote 2022, which are smoothed over checkpoints, to about 0.1.
# Its code paired each loss with the token before the right one: its groups consist of the token
# *after* a surname or word start, and its 500th token is our 501st or so.

RUN = "battlestar"
TEXT = "wikitext"
SPIKE = (5_500, 7_500)
PEAK = 1.3
OVERLAPS = {("decreased", "increased"): 30, ("increased", "decreased"): 38}
"""Of 50, in its printed lists: the lists of 5,500 to 6,500 and of 6,500 to 7,500."""


@dataclass(frozen=True)
class Drawn:
    """The last value of a figure of differences, as first minus second (nats)."""

    number: int
    last: float
    as_computed: bool
    """Does the section with this key show what the report's code computed?"""


DRAWN = {
    "position": Drawn(2, -2.1, True),
    "words": Drawn(4, 1.0, False),
    "wordsb": Drawn(4, 1.0, True),
    "surnames": Drawn(6, -1.2, False),
    "surnamesb": Drawn(6, -1.2, True),
}


def is_its_run(store: Store) -> bool:
    """Whether the store is of the Mistral run in the report."""
    revisions = store.checkpoints["revision"].astype(str)
    return RUN in store.manifest.model.lower() or bool(revisions.str.contains(RUN).any())


def of_pair(store: Store, key: str, pair: Pair) -> tuple[str, ...]:
    """Comparison of a difference's last value with the report's figure; none for another run."""
    drawn = DRAWN.get(key)
    if drawn is None or not is_its_run(store):
        return ()
    estimate, low, high = (
        float(x[-1]) for x in (pair.band.estimate, pair.band.low, pair.band.high)
    )
    text = (
        f"The report's Figure {drawn.number} ends at about {signed(drawn.last, 1)} nats (read off "
        f"the picture, as first minus second); here it ends at {signed(estimate)}"
    )
    if known(low, high):
        inside = "holds" if low <= drawn.last <= high else "does not hold"
        text += f", whose band ({band(low, high)}) {inside} that"
    text += "."
    if not drawn.as_computed:
        text += " The report's code computed the token after it: see the figures with a letter."
    return (text, *_other_text(store))


def of_spike(store: Store, region: tuple[int, int], median: float) -> tuple[str, ...]:
    """Whether the detected region is the report's, which was chosen by eye."""
    if not is_its_run(store):
        return ()
    apart = region[1] < SPIKE[0] or region[0] > SPIKE[1]
    return (
        f"The report zoomed into {span(*SPIKE)}, chosen by eye; the region detected here "
        f"{'does not overlap' if apart else 'overlaps'} it.",
        f"Its Figure 7, of token texts from step 5,500 to 6,500, peaks at about {signed(PEAK, 1)} "
        f"nats; the median change of tokens here is {signed(median)}.",
        *_other_text(store),
    )


def of_overlap(store: Store, shared: dict[tuple[str, str], int], k: int) -> tuple[str, ...]:
    """The report's counts of shared tokens compared with ours."""
    if not is_its_run(store):
        return ()
    return tuple(
        f"Of the 50 tokens that {a} most and the 50 that then {b} most, the report's lists share "
        f"{OVERLAPS[a, b]}; here, of {k}, {n}. The report gives no chance level."
        for (a, b), n in shared.items()
        if (a, b) in OVERLAPS
    )


def _other_text(store: Store) -> tuple[str, ...]:
    if TEXT in store.manifest.text.lower():
        return ()
    return ("The report's text was WikiText-2, this store's is another: expect other numbers.",)


FEW_DOCS = 10
"""Effective source documents. Bands from fewer are wide."""


@dataclass(frozen=True)
class Separation:
    """Where the simultaneous band excludes zero."""

    below: np.ndarray
    """bool (checkpoints,)"""
    above: np.ndarray
    first: int | None
    """The first such step; None if there is none."""
    since: int | None
    """The step from which it excludes zero on one side until the end; None if not at the end."""


def separation(pair: Pair) -> Separation:
    """Where the two groups are distinguishable."""
    below, above = pair.simultaneous.high < 0, pair.simultaneous.low > 0
    out = np.flatnonzero(below | above)
    side = below if below[-1] else above
    other = np.flatnonzero(~side)
    since = None
    if side[-1]:
        since = int(pair.steps[other[-1] + 1 if len(other) else 0])
    return Separation(below, above, int(pair.steps[out[0]]) if len(out) else None, since)


def sentences(pair: Pair) -> list[str]:
    """The end; when first distinguishable; the difference from the start; the fastest region."""
    lines = [_at_end(pair), distinguishable(pair)]
    if not pair.verdict and pair.band.n_docs_effective < FEW_DOCS:
        lines.append(
            f"One group has only {pair.band.n_docs_effective:.1f} effective source documents (its "
            "tokens are unequally distributed over them): its band is wide."
        )
    return [sentence for sentence in [*lines, *_moving(pair)] if sentence]


def _at_end(pair: Pair) -> str:
    estimate, low, high = (float(x[-1]) for x in _parts(pair))
    if not known(low, high):
        sure = "too few documents for a band"
    else:
        sure = f"95% band of the difference {band(low, high)}"
    return (
        f"At the last checkpoint, step {step(pair.steps[-1])}, {_the(pair.first.name)} are "
        f"predicted {better(estimate)} than {_the(pair.second.name)} ({sure})."
    )


def _parts(pair: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return pair.band.estimate, pair.band.low, pair.band.high


def distinguishable(pair: Pair) -> str:
    """Where two groups are distinguishable, by how much and how surely; or the detectable size."""
    n = len(pair.steps)
    if pair.verdict:
        return f"No claim can be made: one group has {pair.verdict.removeprefix('cannot tell: ')}."
    found = separation(pair)
    if found.first is None:
        return (
            f"Statistically indistinguishable: the simultaneous band over all "
            f"{count(n, 'checkpoint')} contains zero at each of them. That does not show that they "
            f"are equal: a difference below {plain(_detectable(pair))} nats would usually not be "
            "detected here."
        )
    text = f"{_first(pair, found)} {_largest(pair, found)}"
    if found.first == pair.steps[0]:
        text += (
            f" At the first checkpoint, step {step(pair.steps[0])}, the difference was already "
            f"{signed(float(pair.band.estimate[0]))}, before any training in this store."
        )
    return text


def _detectable(pair: Pair) -> float:
    """What the simultaneous band detects with 80% power, median over checkpoints (nats)."""
    wide = pair.simultaneous
    smallest = detectable_beyond(wide.high - wide.estimate, wide.standard_error, wide.degrees)
    return float(np.median(smallest))


def slope(pair: Pair, frame: pd.DataFrame) -> list[str]:
    """The slope over all positions (`PositionSlope.frame`), a more sensitive test than a pair."""
    known_band = frame.dropna(subset=["low", "high"])
    if known_band.empty:
        return []
    last = known_band.iloc[-1]
    way = "includes zero" if last["low"] <= 0 <= last["high"] else "excludes zero"
    return [
        "All positions together are a more sensitive test than these two: at step "
        f"{step(last['checkpoint'])} the loss changes by {signed(last['slope'], 3)} nats per "
        f"doubling of the position (95% band {signed(last['low'], 3)} to {signed(last['high'], 3)},"
        f" which {way}). {_from_50_to_500(pair, float(last['slope']))}The slope compares different "
        "tokens, so it is not the effect of context alone."
    ]


def _from_50_to_500(pair: Pair, slope: float) -> str:
    change = slope * float(np.log2(10))
    if abs(change) >= _detectable(pair):
        return ""
    return (
        f"From position 50 to 500 that would be {signed(change)} nats, too little for the "
        "comparison above to detect. "
    )


def _first(pair: Pair, found: Separation) -> str:
    n, n_below, n_above = len(pair.steps), int(found.below.sum()), int(found.above.sum())
    sides = [
        f"{word} zero at {count(m, 'checkpoint')}"
        for word, m in (("below", n_below), ("above", n_above))
        if m
    ]
    where = " and ".join(sides) + f" of {n:,}"
    if n_below + n_above == n and min(n_below, n_above) == 0:
        where = f"{'below' if n_below else 'above'} zero at all {count(n, 'checkpoint')}"
    kept = ""
    if found.since is None:
        kept = ", but not at the last one"
    elif found.since != found.first:
        kept = f", and continuously from step {step(found.since)}"
    return (
        f"First distinguishable at step {step(found.first or 0)} (by the simultaneous band: "
        f"{where}){kept}."
    )


def _largest(pair: Pair, found: Separation) -> str:
    at = int(np.where(found.below | found.above, np.abs(pair.band.estimate), -1).argmax())
    estimate, low, high = (float(x[at]) for x in _parts(pair))
    wide = f"{band(float(pair.simultaneous.low[at]), float(pair.simultaneous.high[at]))}"
    return (
        f"The difference is largest at step {step(pair.steps[at])}: {signed(estimate)} nats "
        f"(separate band {band(low, high)}, simultaneous band {wide})."
    )


def _moving(pair: Pair) -> list[str]:
    # If they are never distinguishable, the steepest of many regions would look like a finding.
    if pair.verdict or separation(pair).first is None:
        return []
    region = pair.fastest
    if region is None or region == _whole(pair):
        return []
    first, second, both = pair.changes(region)
    lines = [
        f"{_capital(_the(pair.first.name))} gain fastest on {_the(pair.second.name)} in "
        f"{span(*region)}: their mean loss changes by {signed(first[0])} nats, the others' "
        f"by {signed(second[0])}, so the difference by {_sure(both)}; the "
        "region was selected as the steepest."
    ]
    after = (region[1], int(pair.steps[-1]))
    if after[0] < after[1]:
        first, second, _ = pair.changes(after)
        lines.append(
            f"From there to the end {_the(pair.first.name)} change by {_sure(first)}, "
            f"{_the(pair.second.name)} by {_sure(second)}."
        )
    return lines


def _whole(pair: Pair) -> tuple[int, int]:
    return int(pair.steps[0]), int(pair.steps[-1])


def _the(name: str) -> str:
    return name if name.startswith("all ") else f"the {name}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _sure(change: np.ndarray) -> str:
    """A change with its band, and whether it differs from zero."""
    estimate, low, high = (float(x) for x in change)
    if not known(low, high):
        return f"{signed(estimate)} nats (no band)"
    doubt = "" if low > 0 or high < 0 else ", not different from zero"
    return f"{signed(estimate)} nats ({band(low, high)}{doubt})"

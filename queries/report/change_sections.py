"""Sections of Figures 7 to 10: zoom into a detected region, and into the one that follows.

The region is that of the largest spike, otherwise that of the fastest fall or the largest rise.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from queries.analyses.events import events
from queries.analyses.overlap import overlap
from queries.catalog import sql_scripts
from queries.errors import QueryError
from queries.report import sentences
from queries.report.model import HISTOGRAM, TOKENS, Exhibit, GroupSize, Section
from queries.report.numbers import count, listed, plain, span, step
from queries.stats.changes import Region, Zoom, next_region
from queries.stats.time_series.events import CANNOT_TELL, FEWEST, p_text, smallest_rise
from queries.store import Store

WITHIN = 10
"""Checkpoints of the rise whose smallest visible size is stated."""
_RISES = {"spike": "spike", "hump": "hump (a rise and fall wider than 0.3 log10 steps)"}


@dataclass(frozen=True)
class SelectedRegion:
    """The first region, the one after it, and how they were found."""

    kind: str
    """spike, hump, fastest_fall, largest_rise or whole_run"""
    region: Region
    after: Region | None
    """What follows, from the next checkpoint; None if there is too little."""
    seen: tuple[str, ...]
    missing: tuple[str, ...]
    found: pd.DataFrame | None
    """All events of the mean loss; None if there are too few checkpoints."""


def choose(store: Store) -> SelectedRegion | None:
    """The region of the mean loss over all tokens; None for a store with one checkpoint."""
    if len(store.steps) < 2:
        return None
    try:
        found = events(store).frame
    except QueryError:
        return _without_events(store)
    for kind in _RISES:
        of_kind = found[found["kind"] == kind]
        if len(of_kind):
            return _rise(store, kind, of_kind, found)
    return _fall(store, found)


def _rise(store: Store, kind: str, rises: pd.DataFrame, found: pd.DataFrame) -> SelectedRegion:
    largest = rises.iloc[int(rises["size"].argmax())]
    first, peak, last = (int(largest[end]) for end in ("first", "peak", "last"))
    seen = [
        f"{count(len(rises), kind)} of the mean loss found. The largest rises by "
        f"{plain(largest['size'])} nats from step {step(first)} to its peak at {step(peak)} and is "
        f"back at step {step(last)} (its steepest rise is {largest['noise_ratio']:.0f} times the "
        f"noise at that distance, {p_text(largest['p_value'])})."
    ]
    others = rises.drop(index=largest.name)
    if len(others):
        seen.append(f"The others peak at {listed([step(p) for p in others['peak'].head(9)])}.")
    missing = () if kind == "spike" else (f"No spike: the loss rises in a {_RISES[kind]} instead.",)
    after = next_region(store.steps, peak, last)
    return SelectedRegion(kind, (first, peak), after, (*missing, *seen), missing, found)


def _fall(store: Store, found: pd.DataFrame) -> SelectedRegion:
    none = (
        f"No spike: whether there is one is unknown ({CANNOT_TELL})."
        if (found["verdict"] == CANNOT_TELL).any()
        else "No spike: the mean loss has no rise and fall that is larger than the noise."
    )
    none += (
        f" To be reported, it must rise by about {plain(_smallest_rise(store))} nats within "
        f"{WITHIN} checkpoints."
    )
    falls = found[found["kind"] == "fastest_fall"]
    if falls.empty or falls["first"].iloc[0] >= falls["last"].iloc[0]:
        return _largest_rise(store, none, found)
    fall = falls.iloc[0]
    region = int(fall["first"]), int(fall["last"])
    text = (
        f"The steepest region is used instead: {span(*region)}, in which the mean loss falls by "
        f"{plain(fall['size'])} nats."
    )
    at = store.steps.index(region[1])
    width = at - store.steps.index(region[0])
    end = store.steps[min(at + 1 + width, len(store.steps) - 1)]
    after = next_region(store.steps, region[1], end)
    return SelectedRegion("fastest_fall", region, after, (none, text), (none,), found)


def _smallest_rise(store: Store) -> float:
    mean = store.trajectories({"": "true"})["mean_loss"].to_numpy()
    return smallest_rise(np.array(store.steps), mean, WITHIN)


def _without_events(store: Store) -> SelectedRegion:
    few = (
        f"{count(len(store.steps), 'checkpoint is', 'checkpoints are')} too few to separate a "
        "spike from noise "
        f"({FEWEST} are needed)."
    )
    return _largest_rise(store, few, None)


def _largest_rise(store: Store, why: str, found: pd.DataFrame | None) -> SelectedRegion:
    region, back = store.suggested_regions()
    mean = store.trajectories({"": "true"}).set_index("checkpoint")["mean_loss"]
    change = float(mean[region[1]] - mean[region[0]])
    if change <= 0:
        text = f"The mean loss never rises, so the whole run is used: {span(*region)}."
        return SelectedRegion("whole_run", region, None, (why, text), (why,), found)
    text = (
        f"The largest rise is used instead: {span(*region)}, by {plain(change)} nats; it may be "
        "noise."
    )
    return SelectedRegion("largest_rise", region, back, (why, text), (why,), found)


TOP = 50
LINES = 5
_LISTS = {"decreased": "Most decreased", "increased": "Most increased", "random": "Random"}
_QUESTIONS = {
    "spike": "What happens in a loss spike?",
    "hump": "What happens when the loss rises and falls again?",
    "fastest_fall": "What happens when the loss falls fastest?",
    "largest_rise": "What happens when the loss rises most?",
    "whole_run": "What happens from the first checkpoint to the last?",
}

NO_CHANGE = "This store has one checkpoint, but a change needs two."


@dataclass(frozen=True)
class Zoomed:
    """The parts of a section about one region."""

    exhibits: tuple[Exhibit, ...]
    seen: tuple[str, ...]
    tables: dict[str, pd.DataFrame]
    numbers: dict[str, float]


def sections(store: Store, chosen: SelectedRegion | None) -> Iterator[Section]:
    """Figures 7 and 8 show the region, 9 and 10 what follows."""
    if chosen is None:
        yield Section(
            "region",
            "Figures 7 to 10: What happens in a loss spike?",
            "Which tokens get worse, and which get better?",
            seen=(NO_CHANGE,),
            missing=(f"Figures 7 to 10: {NO_CHANGE}",),
        )
        return
    yield _during(store, chosen)
    yield _after(store, chosen)


def _during(store: Store, chosen: SelectedRegion) -> Section:
    first = zoomed(store, chosen.region, chosen.after, ("7", "8"))
    ends = {"kind": chosen.kind, "first": chosen.region[0], "last": chosen.region[1]}
    return Section(
        "region",
        f"Figures 7 and 8: {_QUESTIONS[chosen.kind]}",
        f"Which tokens get worse and which get better in {span(*chosen.region)}?",
        (all_tokens(store),),
        first.exhibits,
        (*chosen.seen, *first.seen),
        sentences.of_spike(store, chosen.region, first.numbers["median_change"]),
        tuple(f"Figures 7 to 10: {sentence}" for sentence in chosen.missing),
        first.tables,
        {**ends, **first.numbers},
    )


def _after(store: Store, chosen: SelectedRegion) -> Section:
    title = "Figures 9 and 10: Do the same tokens change back afterwards?"
    if chosen.after is None:
        none = "there is no later region to compare with."
        return Section(
            "after",
            title,
            "Do the same tokens change again?",
            seen=(none.capitalize(),),
            missing=(f"Figures 9 and 10: {none}",),
        )
    second = zoomed(store, chosen.after, chosen.region, ("9", "10"))
    shared = overlap(store, chosen.region, chosen.after, k=TOP).frame
    lines = zip(shared["set_in_first"], shared["set_in_second"], shared["shared"], strict=True)
    counts = {(a, b): int(n) for a, b, n in lines if a != b}
    ask = (
        f"Are the tokens that changed most in {span(*chosen.region)} those that change back most "
        f"in {span(*chosen.after)}? (The two regions share no checkpoint.)"
    )
    return Section(
        "after",
        title,
        ask,
        (all_tokens(store),),
        second.exhibits,
        (*second.seen, *sentences.overlap(shared, chosen.region, chosen.after)),
        sentences.of_overlap(store, counts, TOP),
        tables={"Shared tokens": shared, **second.tables},
        numbers={
            "first": chosen.after[0],
            "last": chosen.after[1],
            **second.numbers,
            **{f"{a}_then_{b}": n for (a, b), n in counts.items()},
        },
    )


def all_tokens(store: Store) -> GroupSize:
    """The group of all tokens."""
    return GroupSize("all tokens", "true", store.manifest.n_tokens, len(store.sources))


def zoomed(
    store: Store,
    region: Region,
    avoid: Region | None,
    numbers: tuple[str, str],
    where: str = "true",
    k: int = TOP,
) -> Zoomed:
    """Zoom into a region; `avoid` is another one, which says nothing about usual changes.

    `numbers` are those of its two figures.
    """
    zoom = store.zoom(*region, where, k)
    seen = sentences.histogram(store, zoom, avoid or region)
    seen += sentences.trajectories(store, zoom)
    exhibits = _histogram(store, zoom, numbers[0], where), _tokens(store, zoom, numbers[1])
    tables = {_LISTS[name]: _in_text(store, zoom.lists[name]) for name in _LISTS}
    change = zoom.changes["change"]
    numbers_of = {
        "mean_change": float(change.mean()),
        "median_change": float(change.median()),
        "share_rose": float((change > 0).mean()),
    }
    return Zoomed(exhibits, tuple(seen), tables, numbers_of)


def _histogram(store: Store, zoom: Zoom, number: str, where: str) -> Exhibit:
    return Exhibit(
        number,
        f"Change in loss of every token from step {zoom.first:,} to {zoom.last:,}",
        HISTOGRAM,
        zoom.histogram,
        sql_scripts.histogram(store, (zoom.first, zoom.last), where),
        "Bars: number of tokens by their change in loss, last step minus first, in "
        f"{count(len(zoom.histogram), 'bin')} with an edge at zero. The counts are on a symlog "
        "axis, so that single tokens are visible.",
        (zoom.first, zoom.last),
    )


def _tokens(store: Store, zoom: Zoom, number: str) -> Exhibit:
    heads = [_head(zoom.lists[name]).assign(token_list=_LISTS[name]) for name in _LISTS]
    frame = pd.concat(heads, ignore_index=True)
    width = zoom.last - zoom.first
    near = frame["checkpoint"].between(zoom.first - width, zoom.last + width)
    shown = frame[near].reset_index(drop=True)
    return Exhibit(
        number,
        f"Losses of single tokens around steps {zoom.first:,} to {zoom.last:,}",
        TOKENS,
        shown,
        sql_scripts.token_trajectories(frame["row"].unique()),
        f"Lines: losses in nats of the first {LINES} tokens of each list, from step "
        f"{step(shown['checkpoint'].min())} to {step(shown['checkpoint'].max())}. Shaded: "
        f"{span(zoom.first, zoom.last)}.",
        (zoom.first, zoom.last),
    )


def _head(tokens: pd.DataFrame) -> pd.DataFrame:
    return tokens[tokens["row"].isin(tokens["row"].unique()[:LINES])]


def _in_text(store: Store, tokens: pd.DataFrame) -> pd.DataFrame:
    """The first tokens of a list: change, before, token, after, source, position, row."""
    chosen = tokens.drop_duplicates("row").head(LINES)[["row", "change"]]
    context = store.context(chosen["row"].to_numpy(), before=40, after=20)
    found = chosen.merge(context.drop_duplicates("row"), on="row", how="left")
    return found[["change", "before", "token", "after", "source", "position", "row"]]

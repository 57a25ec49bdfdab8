"""The region to zoom into: a spike that was found, else the fastest fall, else the largest rise."""

from dataclasses import dataclass

import pandas as pd

from queries.errors import QueryError
from queries.event_list import FEWEST, events
from queries.regions import Region
from queries.report.words import chance, count, listed, plain, span, step
from queries.store import Store

_RISES = {"spike": "spike", "hump": "hump (a rise and fall wider than 0.3 decades of steps)"}


@dataclass(frozen=True)
class Chosen:
    """The first region, the one after it, how they were found."""

    kind: str
    """spike, hump, fastest_fall, largest_rise or whole_run"""
    region: Region
    after: Region | None
    """What follows, from the next checkpoint on; None where too little does."""
    seen: tuple[str, ...]
    missing: tuple[str, ...]
    found: pd.DataFrame | None
    """All events of the mean loss; None where there are too few checkpoints to tell."""


def choose(store: Store) -> Chosen | None:
    """The region of the mean loss over all tokens. None: one checkpoint, so no change."""
    if len(store.steps) < 2:
        return None
    try:
        found = events(store)
    except QueryError:
        return _without_events(store)
    for kind in _RISES:
        of_kind = found[found["kind"] == kind]
        if len(of_kind):
            return _rise(store, kind, of_kind, found)
    return _fall(store, found)


def _rise(store: Store, kind: str, rises: pd.DataFrame, found: pd.DataFrame) -> Chosen:
    largest = rises.iloc[int(rises["size"].argmax())]
    first, peak, last = (int(largest[end]) for end in ("first", "peak", "last"))
    seen = [
        f"{count(len(rises), kind)} of the mean loss found. The largest rises by "
        f"{plain(largest['size'])} nats from step {step(first)} to its peak at {step(peak)} and is "
        f"back at step {step(last)} ({largest['noise_ratio']:.0f} times the noise from checkpoint "
        f"to checkpoint, {chance(largest['p_value'])})."
    ]
    others = rises.drop(index=largest.name)
    if len(others):
        seen.append(f"The others peak at {listed([step(p) for p in others['peak'].head(9)])}.")
    missing = () if kind == "spike" else (f"No spike: the loss rises in a {_RISES[kind]} instead.",)
    after = _after(store, (peak, last))
    return Chosen(kind, (first, peak), after, (*missing, *seen), missing, found)


def _fall(store: Store, found: pd.DataFrame) -> Chosen:
    none = "No spike: the mean loss has no rise and fall that stands out from the noise."
    falls = found[found["kind"] == "fastest_fall"]
    if falls.empty or falls["first"].iloc[0] >= falls["last"].iloc[0]:
        return _largest_rise(store, none, found)
    fall = falls.iloc[0]
    region = int(fall["first"]), int(fall["last"])
    told = (
        f"The steepest region is taken instead: {span(*region)}, in which the mean loss falls by "
        f"{plain(fall['size'])} nats."
    )
    at = store.steps.index(region[1])
    width = at - store.steps.index(region[0])
    end = store.steps[min(at + 1 + width, len(store.steps) - 1)]
    return Chosen("fastest_fall", region, _after(store, (region[1], end)), (none, told), (none,),
                  found)  # fmt: skip


def _without_events(store: Store) -> Chosen:
    few = (
        f"{count(len(store.steps), 'checkpoint')} cannot tell a spike from noise ({FEWEST} are the "
        "least)."
    )
    return _largest_rise(store, few, None)


def _largest_rise(store: Store, why: str, found: pd.DataFrame | None) -> Chosen:
    region, back = store.suggested_regions()
    mean = store.trajectories({"": "true"}).set_index("checkpoint")["mean_loss"]
    change = float(mean[region[1]] - mean[region[0]])
    if change <= 0:
        told = f"The mean loss never rises, so the whole run is taken: {span(*region)}."
        return Chosen("whole_run", region, None, (why, told), (why,), found)
    told = (
        f"The largest rise is taken instead: {span(*region)}, by {plain(change)} nats; it may be "
        "noise."
    )
    after = None if back == region else _after(store, back)
    return Chosen("largest_rise", region, after, (why, told), (why,), found)


def _after(store: Store, region: Region) -> Region | None:
    """`region` begun a checkpoint later, as one that both share would move tokens and back."""
    begin = store.steps.index(region[0]) + 1
    if begin >= len(store.steps) or store.steps[begin] >= region[1]:
        return None
    return store.steps[begin], region[1]

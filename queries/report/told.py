"""What is seen in a pair of groups, in sentences, each number computed."""

from dataclasses import dataclass

import numpy as np

from queries.report.pairs import Pair
from queries.report.words import band, better, count, known, plain, signed, span, step
from queries.simultaneous import FEWEST_DOCS

FEW_DOCS = 10
"""Source documents under which a band is not to be trusted."""


@dataclass(frozen=True)
class Apart:
    """Where a band that holds at all checkpoints at once keeps clear of zero."""

    below: np.ndarray
    """bool (checkpoints,)"""
    above: np.ndarray
    first: int | None
    """Step at which it does so first; None: at none."""
    since: int | None
    """Step from which on it does so to the end, on one side; None: not at the end."""


def apart(pair: Pair) -> Apart:
    """Where the two are told apart."""
    below, above = pair.everywhere.high < 0, pair.everywhere.low > 0
    out = np.flatnonzero(below | above)
    side = below if below[-1] else above
    other = np.flatnonzero(~side)
    since = None
    if side[-1]:
        since = int(pair.steps[other[-1] + 1 if len(other) else 0])
    return Apart(below, above, int(pair.steps[out[0]]) if len(out) else None, since)


def sentences(pair: Pair) -> list[str]:
    """At the end; when first told apart; what the tokens had from the start; the fastest region."""
    told = [_at_end(pair), _told_apart(pair)]
    if FEWEST_DOCS <= pair.n_docs < FEW_DOCS:
        told.append(f"One group is in {pair.n_docs} documents only: distrust its band.")
    return [sentence for sentence in [*told, *_moving(pair)] if sentence]


def _at_end(pair: Pair) -> str:
    estimate, low, high = (float(x[-1]) for x in _parts(pair))
    if pair.n_docs < FEWEST_DOCS:
        sure = "too few documents for a band"
    else:
        sure = f"95 % band of the difference {band(low, high)}"
    return (
        f"At the last checkpoint, step {step(pair.steps[-1])}, {_the(pair.first.name)} are "
        f"predicted {better(estimate)} than {_the(pair.second.name)} ({sure})."
    )


def _parts(pair: Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return pair.band.estimate, pair.band.low, pair.band.high


def _told_apart(pair: Pair) -> str:
    n = len(pair.steps)
    if pair.n_docs < FEWEST_DOCS:
        docs = count(pair.n_docs, "source document")
        return f"Nothing is claimed: one group is in {docs}, and {FEWEST_DOCS} is the least."
    found = apart(pair)
    if found.first is None:
        reach = float(np.median((pair.everywhere.high - pair.everywhere.low) / 2))
        return (
            f"Never told apart: the band that holds at all {count(n, 'checkpoint')} at once has "
            f"zero in it at each of them. A difference under {plain(reach)} nats would mostly go "
            "unseen here."
        )
    told = f"{_first(pair, found)} {_largest(pair, found)}"
    if found.first == pair.steps[0]:
        told += (
            f" At the first checkpoint, step {step(pair.steps[0])}, the difference was "
            f"{signed(float(pair.band.estimate[0]))} already, which no training in this store made."
        )
    return told


def _first(pair: Pair, found: Apart) -> str:
    n, n_below, n_above = len(pair.steps), int(found.below.sum()), int(found.above.sum())
    sides = [
        f"{word} zero at {count(m, 'checkpoint')}"
        for word, m in (("below", n_below), ("above", n_above)) if m
    ]  # fmt: skip
    where = " and ".join(sides) + f" of {n:,}"
    if n_below + n_above == n and min(n_below, n_above) == 0:
        where = f"{'below' if n_below else 'above'} zero at all {count(n, 'checkpoint')}"
    kept = ""
    if found.since is None:
        kept = ", but not at the last one"
    elif found.since != found.first:
        kept = f", and without a break from step {step(found.since)} on"
    return (
        f"First told apart at step {step(found.first or 0)} (by a band that holds at all "
        f"checkpoints at once: {where}){kept}."
    )


def _largest(pair: Pair, found: Apart) -> str:
    at = int(np.where(found.below | found.above, np.abs(pair.band.estimate), -1).argmax())
    estimate, low, high = (float(x[at]) for x in _parts(pair))
    wide = f"{band(float(pair.everywhere.low[at]), float(pair.everywhere.high[at]))}"
    return (
        f"Farthest apart at step {step(pair.steps[at])}: {signed(estimate)} nats (there "
        f"{band(low, high)} by itself, {wide} with all checkpoints counted in)."
    )


def _moving(pair: Pair) -> list[str]:
    # Where they are never told apart, the steepest of many regions would be taken for a finding.
    if pair.n_docs < FEWEST_DOCS or apart(pair).first is None:
        return []
    region = pair.fastest
    if region is None or region == _whole(pair):
        return []
    first, second, both = pair.changes(region)
    told = [
        f"{_capital(_the(pair.first.name))} gain fastest on {_the(pair.second.name)} in "
        f"{span(*region)}: their mean loss changes by {signed(first[0])} nats, the others' "
        f"by {signed(second[0])}, so the difference by {_sure(both)}; the "
        "region was chosen as the steepest."
    ]
    after = (region[1], int(pair.steps[-1]))
    if after[0] < after[1]:
        first, second, _ = pair.changes(after)
        told.append(
            f"From there to the end {_the(pair.first.name)} change by {_sure(first)}, "
            f"{_the(pair.second.name)} by {_sure(second)}."
        )
    return told


def _whole(pair: Pair) -> tuple[int, int]:
    return int(pair.steps[0]), int(pair.steps[-1])


def _the(name: str) -> str:
    return name if name.startswith("all ") else f"the {name}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _sure(change: np.ndarray) -> str:
    """A change with its band, and whether the documents tell it from nothing."""
    estimate, low, high = (float(x) for x in change)
    if not known(low, high):
        return f"{signed(estimate)} nats (no band)"
    doubt = "" if low > 0 or high < 0 else ", not told from none"
    return f"{signed(estimate)} nats ({band(low, high)}{doubt})"

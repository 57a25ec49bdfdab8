"""The report's own figures, and how a store of its run compares with them.

Values are read off the pictures of Foote 2022, smoothed there over checkpoints, so to about 0.1.
Its code paired each loss with the token before the one that it is of: its groups are of the token
*after* a surname or word start, and its 500th token is our 501st or so.
"""

from dataclasses import dataclass

from queries.report.pairs import Pair
from queries.report.words import band, known, signed, span
from queries.store import Store

RUN = "battlestar"
TEXT = "wikitext"
SPIKE = (5_500, 7_500)
PEAK = 1.3
OVERLAPS = {("decreased", "increased"): 30, ("increased", "decreased"): 38}
"""Of 50, in its printed lists: the lists of 5,500 to 6,500 and of 6,500 to 7,500."""


@dataclass(frozen=True)
class Drawn:
    """What a figure of differences shows at its end, turned to first minus second (nats)."""

    number: int
    last: float
    as_computed: bool
    """Is the section with this key the one that the report's code computed?"""


DRAWN = {
    "position": Drawn(2, -2.1, True),
    "words": Drawn(4, 1.0, False),
    "wordsb": Drawn(4, 1.0, True),
    "surnames": Drawn(6, -1.2, False),
    "surnamesb": Drawn(6, -1.2, True),
}


def is_its_run(store: Store) -> bool:
    """Is the store of the Mistral run that the report looked at?"""
    revisions = store.checkpoints["revision"].astype(str)
    return RUN in store.manifest.model.lower() or bool(revisions.str.contains(RUN).any())


def of_pair(store: Store, key: str, pair: Pair) -> tuple[str, ...]:
    """How the end of a difference compares with the report's figure; none of another run."""
    drawn = DRAWN.get(key)
    if drawn is None or not is_its_run(store):
        return ()
    estimate, low, high = (
        float(x[-1]) for x in (pair.band.estimate, pair.band.low, pair.band.high)
    )
    told = (
        f"The report's Figure {drawn.number} ends at about {signed(drawn.last, 1)} nats (read off "
        f"the picture, turned to first minus second); here it ends at {signed(estimate)}"
    )
    if known(low, high):
        inside = "holds" if low <= drawn.last <= high else "does not hold"
        told += f", whose band ({band(low, high)}) {inside} that"
    told += "."
    if not drawn.as_computed:
        told += " The report's code computed the token after it: see the figures with a letter."
    return (told, *_other_text(store))


def of_spike(store: Store, region: tuple[int, int], median: float) -> tuple[str, ...]:
    """Whether the region that was found is the report's, which was typed in."""
    if not is_its_run(store):
        return ()
    apart = region[1] < SPIKE[0] or region[0] > SPIKE[1]
    return (
        f"The report zoomed into {span(*SPIKE)}, chosen by eye; the region that was found here "
        f"{'does not touch' if apart else 'overlaps'} it.",
        f"Its Figure 7, of token texts from step 5,500 to 6,500, peaks at about {signed(PEAK, 1)} "
        f"nats; the median change of tokens here is {signed(median)}.",
        *_other_text(store),
    )


def of_overlap(store: Store, shared: dict[tuple[str, str], int], k: int) -> tuple[str, ...]:
    """The report's counts of shared tokens beside ours."""
    if not is_its_run(store):
        return ()
    return tuple(
        f"Of the 50 tokens that {a} most and the 50 that then {b} most, the report's lists share "
        f"{OVERLAPS[a, b]}; here, of {k}, {n}. The report gave no chance level."
        for (a, b), n in shared.items() if (a, b) in OVERLAPS
    )  # fmt: skip


def _other_text(store: Store) -> tuple[str, ...]:
    if TEXT in store.manifest.text.lower():
        return ()
    return ("The report's text was WikiText-2, this store's is another: expect other numbers.",)

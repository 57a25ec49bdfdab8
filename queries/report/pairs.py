"""Pairs of groups: their sums, the band of their difference, and where it changes fastest."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from queries.engine.sums import GroupSums, Summation
from queries.errors import QueryError
from queries.report.model import GroupSize
from queries.stats import bands
from queries.stats.bands import Band, Side
from queries.stats.changes import Region
from queries.stats.simultaneous_bands import simultaneous_band
from queries.stats.time_series.events import find_events
from queries.store import Store


@dataclass(frozen=True)
class Group:
    """A group's name, its WHERE clause, and its sums (None if it selects no token)."""

    name: str
    clause: str
    sums: GroupSums | None

    @property
    def size(self) -> GroupSize:
        sums = self.sums
        return GroupSize(
            self.name, self.clause, sums.n_tokens if sums else 0, sums.n_docs if sums else 0
        )


@dataclass(frozen=True)
class Pair:
    """Two nonempty groups at the checkpoints `steps`, int64; the second is the baseline."""

    steps: np.ndarray
    first: Group
    second: Group

    @cached_property
    def _sums(self) -> tuple[GroupSums, GroupSums]:
        assert self.first.sums and self.second.sums
        return self.first.sums, self.second.sums

    @property
    def n_docs(self) -> int:
        """The smaller of the groups' numbers of source documents."""
        return min(sums.n_docs for sums in self._sums)

    @property
    def verdict(self) -> str:
        """Why no claim is possible: begins with "cannot tell"; empty if one is."""
        return self.simultaneous.verdict

    @cached_property
    def band(self) -> Band:
        """First mean minus second; 95% for each checkpoint separately."""
        return bands.difference_band(*self._sums)

    @cached_property
    def simultaneous(self) -> Band:
        """The same; 95% for all checkpoints together."""
        return simultaneous_band(*self._sums)

    def means(self) -> pd.DataFrame:
        """checkpoint, token_group, mean_loss, low, high, n_docs_effective, verdict, n_tokens,
        n_docs."""
        frames = []
        for group, sums in zip((self.first, self.second), self._sums, strict=True):
            frame = bands.mean_band(sums).frame(self.steps, "mean_loss")
            frame.insert(1, "token_group", group.name)
            frames.append(frame.assign(n_tokens=sums.n_tokens, n_docs=sums.n_docs))
        return pd.concat(frames, ignore_index=True)

    def differences(self) -> pd.DataFrame:
        """checkpoint, difference, low, high, n_docs_effective, verdict, and everywhere_low,
        everywhere_high (nats)."""
        frame = self.band.frame(self.steps, "difference")
        wide = {"everywhere_low": self.simultaneous.low, "everywhere_high": self.simultaneous.high}
        return frame.assign(**wide)

    def changes(self, region: Region) -> tuple[np.ndarray, ...]:
        """(change, low, high) of the first, the second and the difference in the region (nats).

        Last mean minus first; 95% over source documents for that one region.
        """
        at = [int(np.searchsorted(self.steps, end)) for end in region]
        one, two = self._sums
        return (
            _change([one], at),
            _change([two], at),
            _change([one, two], at),
        )

    @cached_property
    def fastest(self) -> Region | None:
        """Steps in which the first gains fastest on the second; None if it never falls.

        A description (`events.find_events`): no test says that the fall is faster than elsewhere.
        """
        try:
            found = find_events(self.steps, self.band.estimate)
        except QueryError:
            return None
        falls = found[found["kind"] == "fastest_fall"]
        if falls.empty or falls["first"].iloc[0] >= falls["last"].iloc[0]:
            return None
        return int(falls["first"].iloc[0]), int(falls["last"].iloc[0])


@dataclass(frozen=True)
class Reader:
    """Reads groups of a store."""

    store: Store
    summing: Summation

    def group(self, name: str, clause: str) -> Group:
        """The group's sums. Raises GroupError for an invalid clause."""
        rows = self.store.members(clause)
        clause = self.store.groups.clause(clause)
        return Group(name, clause, self.summing.group(rows) if len(rows) else None)

    def pair(self, first: Group, second: Group) -> Pair | None:
        """Both groups; None if one has no tokens."""
        steps = np.array(self.store.steps)
        return Pair(steps, first, second) if first.sums and second.sums else None


def reader(store: Store) -> Reader:
    """A reader whose groups share one pass over all tokens."""
    return Reader(store, Summation(store.matrix, store.source_of_row))


def _change(groups: list[GroupSums], at: list[int]) -> np.ndarray:
    sides = [Side.of(GroupSums(g.counts, g.sums[:, at])).since(0) for g in groups]
    band = bands.one_sided(sides[0]) if len(sides) == 1 else bands.two_sided(sides[0], sides[1])
    return np.array([band.estimate[1], band.low[1], band.high[1]])


# The questions of the report's Figures 1 to 6, as pairs of groups on any store.

SHORTEST = 16
"""Minimum number of positions for a comparison of early and late ones."""


@dataclass(frozen=True)
class Question:
    """Is the group `first` learned differently from `second`? Names and WHERE clauses.

    `numbers` are those of the report's figures: the means, and their difference. `letter` marks
    variants that the report does not have. `absent` is the reason if a group has no token.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    numbers: tuple[int, int]
    letter: str
    heading: str
    absent: str
    rare: bool = False
    """Is the first group one of rare tokens, so that rarity might explain the difference?"""


def positions(store: Store) -> list[Question]:
    """The 500th token compared with the 50th, and late positions compared with early ones."""
    exact = Question(
        ("500th tokens", "position = 500"),
        ("50th tokens", "position = 50"),
        (1, 2),
        "",
        "as in the report",
        "no token has position 500, or none has position 50",
    )
    longest = int(store.facts["position"].max())
    if longest < SHORTEST:
        return [exact]
    late, low, high = int(0.94 * longest), int(0.06 * longest) + 1, int(0.136 * longest)
    steadier = Question(
        (f"late tokens (position over {late})", f"position > {late}"),
        (f"early tokens (position {low} to {high})", f'"position" between {low} and {high}'),
        (1, 2),
        "b",
        "with more tokens: late positions vs. early ones",
        "no token has a late position, or none an early one",
    )
    return [exact, steadier]


def words() -> list[Question]:
    """Tokens that do not start a word compared with those that do, in two definitions."""
    return [
        Question(
            ("tokens inside words", "not is_word_start"),
            ("word starts", "is_word_start"),
            (3, 4),
            "",
            "as described",
            "every token starts a word, or none does",
        ),
        Question(
            (
                "tokens after a token without a leading space",
                "not starts_with(prev_token_str, ' ')",
            ),
            ("tokens after a token with a leading space", "starts_with(prev_token_str, ' ')"),
            (3, 4),
            "b",
            "as the original code computed it: the token after",
            "all preceding tokens have a leading space, or none has",
        ),
    ]


def surnames(store: Store, few: bool) -> list[Question]:
    """Presidents' surnames compared with all other tokens; if `few`, also of all presidents."""
    sets = [("the six surnames", "surnames_report", "", "b")]
    if few:
        sets.append(("all presidents' surnames", "surnames_presidents", "c", "d"))
    found = []
    for name, group, own, after in sets:
        clause = store.groups.clause(group)
        found += [
            _surnames(f"tokens of {name}", clause, own, "the surname's own loss"),
            _surnames(
                f"tokens after one of {name}",
                _after(clause),
                after,
                "as the original code computed it: the token after the surname",
            ),
        ]
    return found


def _surnames(name: str, clause: str, letter: str, heading: str) -> Question:
    others = ("all other tokens", f"(\n{clause}\n) is not true")
    absent = f"this text has no {name}"
    return Question((name, clause), others, (5, 6), letter, heading, absent, rare=True)


def _after(clause: str) -> str:
    """The tokens after single-token surnames, for a clause on `word`."""
    return clause.replace("word in", "trim(prev_token_str) in", 1)

"""What a report is made of: sections with groups, figures and sentences that were computed."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from queries.charts.theme import Drawing

MEANS, DIFFERENCE, HISTOGRAM, TOKENS = "means", "difference", "histogram", "tokens"


@dataclass(frozen=True)
class Asked:
    """A group that was asked for: a WHERE clause over tokens, and how many it selects."""

    name: str
    clause: str
    n_tokens: int
    n_docs: int
    """Source documents."""


@dataclass(frozen=True)
class Exhibit:
    """One figure: `frame` is what `chart` draws, `script` is SQL for the same numbers."""

    number: str
    """As in the report, 1 to 10; with a letter where this one has no such figure."""
    title: str
    kind: str
    """MEANS, DIFFERENCE, HISTOGRAM or TOKENS: what the frame's columns are."""
    frame: pd.DataFrame
    script: str
    note: str
    """What the bands, bars or lines are."""
    region: tuple[int, int] | None = None
    """Steps that are shaded."""

    def chart(self) -> "Drawing":
        """The chart of `frame`; altair is loaded here, and only here."""
        from queries.charts import changes, curves

        if self.kind == MEANS:
            return curves.trajectories(self.frame, region=self.region)
        if self.kind == DIFFERENCE:
            return curves.simultaneous_difference(self.frame)
        if self.kind == HISTOGRAM:
            return changes.histogram(self.frame)
        assert self.region
        return changes.token_trajectories(self.frame, self.region, axis="linear")


@dataclass(frozen=True)
class Section:
    """A question, and what this store answers."""

    key: str
    title: str
    question: str
    groups: tuple[Asked, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()
    seen: tuple[str, ...] = ()
    """Sentences; every number in them is of this store."""
    compared: tuple[str, ...] = ()
    """How it compares with the report's own figures; empty where the store is not of its run."""
    missing: tuple[str, ...] = ()
    """What this store does not show."""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By title."""
    numbers: dict[str, object] = field(default_factory=dict)
    """What the sentences say, for a program."""


@dataclass(frozen=True)
class Report:
    """All of it. `facts`: fact, value; `missing`: what the store does not show, all sections'."""

    facts: pd.DataFrame
    sections: tuple[Section, ...]
    missing: tuple[str, ...]

    @property
    def exhibits(self) -> tuple[Exhibit, ...]:
        """The figures, in order."""
        return tuple(e for section in self.sections for e in section.exhibits)


# The report's numbers as one table: a line for each question.


def to_table(found: Report) -> pd.DataFrame:
    """section, title, figures, groups' clauses and sizes, the numbers, and what is seen.

    One line a section; a number that a section has none of is NULL there.
    """
    return pd.DataFrame(
        {
            "section": section.key,
            "title": section.title,
            "figures": ", ".join(e.number for e in section.exhibits),
            "groups": "; ".join(group.clause for group in section.groups),
            "n_tokens": ", ".join(str(group.n_tokens) for group in section.groups),
            "n_docs": ", ".join(str(group.n_docs) for group in section.groups),
            "seen": " ".join(section.seen),
            "compared": " ".join(section.compared),
            "missing": " ".join(section.missing),
            **section.numbers,
        }
        for section in found.sections
    ).convert_dtypes()

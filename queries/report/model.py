"""The parts of a report: sections with groups, figures and computed sentences."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from queries.charts.theme import Drawing

MEANS, DIFFERENCE, HISTOGRAM, TOKENS = "means", "difference", "histogram", "tokens"
LEAD = (
    "The ten figures of “Investigating Training Dynamics via Token Loss Trajectories” (Foote "
    "2022), drawn for this store."
)


@dataclass(frozen=True)
class GroupSize:
    """A group: a WHERE clause over tokens, and how many tokens it selects."""

    name: str
    clause: str
    n_tokens: int
    n_docs: int
    """Source documents."""


@dataclass(frozen=True)
class Exhibit:
    """One figure: `frame` is what `chart` draws, `script` is SQL for the same numbers."""

    number: str
    """As in the report, 1 to 10; with a letter if the report has no such figure."""
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
    """A question, and this store's answer."""

    key: str
    title: str
    question: str
    groups: tuple[GroupSize, ...] = ()
    exhibits: tuple[Exhibit, ...] = ()
    seen: tuple[str, ...] = ()
    """Findings in sentences; every number in them was computed from this store."""
    compared: tuple[str, ...] = ()
    """Comparison with the report's own figures; empty if the store is of another run."""
    missing: tuple[str, ...] = ()
    """What this store cannot show."""
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    """By title."""
    numbers: dict[str, object] = field(default_factory=dict)
    """The numbers in the sentences, for programs."""

    @property
    def figures(self) -> str:
        """The title without its question: Figures 1 and 2."""
        return self.title.partition(":")[0]

    @property
    def is_empty(self) -> bool:
        """Whether there is no figure and no table; `seen` says why."""
        return not self.exhibits and not self.tables


@dataclass(frozen=True)
class Report:
    """The whole report. `facts`: fact, value; `missing`: what the store cannot show."""

    facts: pd.DataFrame
    sections: tuple[Section, ...]
    missing: tuple[str, ...]
    title: str = ""
    """Empty for the report of the ten figures, which is named for its model."""
    lead: str = LEAD
    """What the figures are."""

    @property
    def exhibits(self) -> tuple[Exhibit, ...]:
        """The figures, in order."""
        return tuple(e for section in self.sections for e in section.exhibits)


def to_table(found: Report) -> pd.DataFrame:
    """section, title, figures, groups' clauses and sizes, numbers, and findings.

    One row per section; numbers that a section lacks are NULL.
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

"""The table of analyses, which the command line, the app and the documentation read.

To add an analysis, write a module with a function and its result (see `base`), and add its name and
a row here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import get_type_hints

from queries.analyses.age_of_acquisition import age_of_acquisition
from queries.analyses.base import Argument, Result, arguments_of
from queries.analyses.clusters import clusters
from queries.analyses.compare import compare
from queries.analyses.compare_words import compare_words
from queries.analyses.events import events
from queries.analyses.explain import explain
from queries.analyses.matched import matched
from queries.analyses.mechanism import mechanism
from queries.analyses.ngrams import ngrams
from queries.analyses.overlap import overlap
from queries.analyses.positions import in_context_score, position_slope, positions
from queries.analyses.rho_1 import rho_1
from queries.analyses.type_changes import type_changes

__all__ = [  # what `queries` exports
    "age_of_acquisition",
    "clusters",
    "compare",
    "compare_words",
    "events",
    "explain",
    "in_context_score",
    "matched",
    "mechanism",
    "ngrams",
    "overlap",
    "position_slope",
    "positions",
    "rho_1",
    "type_changes",
]

GROUPS, REGIONS, TOKENS, CONTEXT = "Groups", "Regions", "Tokens", "Context"


@dataclass(frozen=True)
class Analysis:
    """One row of the table."""

    name: str
    """Of the function; its chart and its page have the same name."""
    title: str
    """Of the page and in the navigation."""
    sentence: str
    """One line of help."""
    function: Callable[..., Result]
    section: str
    """Heading in the navigation and in the command line's help."""
    example: str
    """Arguments of an example on the command line, the store first."""
    alias: str = ""
    """The command, if it is not the name."""
    of_same_text: bool = False
    """Does it compare stores of one text, whatever their tokens?"""

    @property
    def command(self) -> str:
        """Its name on the command line."""
        return self.alias or self.name.replace("_", "-")

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """The arguments after the store, in order."""
        return arguments_of(self.function)

    @property
    def of_runs(self) -> bool:
        """Whether it takes several stores, of several runs."""
        return next(iter(signature(self.function).parameters)) == "stores"

    @property
    def result(self) -> type[Result]:
        """The class of its result."""
        result: type[Result] = get_type_hints(self.function)["return"]
        return result


ANALYSES = (
    Analysis(
        "events",
        "Events",
        "Spikes, the fastest fall, plateaus and change points of a trajectory.",
        events,
        GROUPS,
        "data/demo copyable not_copyable",
    ),
    Analysis(
        "compare",
        "Compare runs",
        "One group in several runs, and the spread of the runs.",
        compare,
        GROUPS,
        "data/seed-1 data/seed-2 --group word_start",
    ),
    Analysis(
        "compare_words",
        "Compare tokenizers",
        "Bits per byte and word losses of models with different tokenizers, on the same text.",
        compare_words,
        GROUPS,
        "data/seed-1 data/seed-2 --where \"text ilike '%obama%'\" --per word",
        of_same_text=True,
    ),
    Analysis(
        "matched",
        "Matched comparison",
        "A group compared with other tokens that match it in some covariates.",
        matched,
        GROUPS,
        "data/demo copyable --on corpus_count position --show difference",
    ),
    Analysis(
        "ngrams",
        "N-grams",
        "A group's loss compared with unigram and bigram losses.",
        ngrams,
        GROUPS,
        "data/demo word_start",
    ),
    Analysis(
        "explain",
        "Explain",
        "Groups that changed differently from the rest in a region.",
        explain,
        REGIONS,
        "data/demo 1380 1640",
    ),
    Analysis(
        "overlap",
        "Overlap",
        "Tokens among the most changed in both of two regions, compared with placebo regions.",
        overlap,
        REGIONS,
        "data/demo 1380 1640 1660 2300 --types 20",
    ),
    Analysis(
        "type_changes",
        "Token types",
        "Mean change of each token type in a region.",
        type_changes,
        REGIONS,
        "data/demo 1380 1640 --min-count 50",
    ),
    Analysis(
        "clusters",
        "Clusters",
        "Clusters of trajectories: tokens that are learned in a similar way, if there are any.",
        clusters,
        TOKENS,
        "data/demo --clusters 4",
    ),
    Analysis(
        "rho_1",
        "Rho-1 categories",
        "Rho-1's four categories of tokens: high or low loss at the start and at the end.",
        rho_1,
        TOKENS,
        "data/demo --log",
        alias="rho",
    ),
    Analysis(
        "age_of_acquisition",
        "Age of acquisition",
        "The step at which a sigmoid fitted to each token type's loss is half-way down.",
        age_of_acquisition,
        TOKENS,
        "data/demo --vocabulary 512",
        alias="acquisition",
    ),
    Analysis(
        "positions",
        "Loss by position and step",
        "Mean loss by position and step.",
        positions,
        CONTEXT,
        "data/demo --format svg --output build/positions.svg",
    ),
    Analysis(
        "position_slope",
        "Position slope",
        "Change in loss per doubling of the position.",
        position_slope,
        CONTEXT,
        "data/demo --where word_start",
    ),
    Analysis(
        "in_context_score",
        "In-context score",
        "Mean loss at a late position minus that at an early one.",
        in_context_score,
        CONTEXT,
        "data/demo --late 500 --early 50",
    ),
    Analysis(
        "mechanism",
        "Mechanism",
        "Probes of attention heads compared with a group's loss, and which changes first.",
        mechanism,
        CONTEXT,
        "data/demo copyable not_copyable --first 1000",
    ),
)

"""The DuckDB side: a store -> answers. Needs neither torch nor streamlit.

`Store` opens a store and answers trajectories, difference, ratio, change, summary, zoom, sql and
members. Analyses are functions of a store; each returns a frozen result with a data frame
(`frame`), a chart (`chart()`) and the script behind it (`script()`). A region is `(first, last)`.
"""

from queries.analyses.clusters import Clusters, clusters
from queries.analyses.compare import Comparison, compare
from queries.analyses.events import Events, events
from queries.analyses.explain import Explanation, explain
from queries.analyses.matched import Matched, matched
from queries.analyses.mechanism import Mechanism, mechanism
from queries.analyses.ngrams import Ngrams, ngrams
from queries.analyses.overlap import Overlap, overlap
from queries.analyses.positions import (
    InContextScore,
    Positions,
    PositionSlope,
    in_context_score,
    position_slope,
    positions,
)
from queries.analyses.rho_1 import Rho1, rho_1
from queries.analyses.type_changes import TypeChanges, type_changes
from queries.errors import GroupError, QueryError, StoreError
from queries.store import Store

__all__ = [
    "Clusters",
    "Comparison",
    "Events",
    "Explanation",
    "GroupError",
    "InContextScore",
    "Matched",
    "Mechanism",
    "Ngrams",
    "Overlap",
    "PositionSlope",
    "Positions",
    "QueryError",
    "Rho1",
    "Store",
    "StoreError",
    "TypeChanges",
    "clusters",
    "compare",
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

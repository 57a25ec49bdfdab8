"""The DuckDB side: a store -> answers. Needs neither torch nor streamlit.

`Store` opens a store and answers trajectories, difference, ratio, change, summary, zoom, predicted,
sql and members. Analyses are functions of a store; each returns a frozen result with a data frame
(`frame`), a chart (`chart()`) and the script behind it (`script()`). A region is `(first, last)`.
"""

from queries.analyses import registry
from queries.analyses.age_of_acquisition import AgeOfAcquisition
from queries.analyses.clusters import Clusters
from queries.analyses.compare import Comparison
from queries.analyses.events import Events
from queries.analyses.explain import Explanation
from queries.analyses.matched import Matched
from queries.analyses.mechanism import Mechanism
from queries.analyses.ngrams import Ngrams
from queries.analyses.overlap import Overlap
from queries.analyses.positions import InContextScore, Positions, PositionSlope
from queries.analyses.registry import *  # noqa: F403  (the functions of all analyses)
from queries.analyses.rho_1 import Rho1
from queries.analyses.type_changes import TypeChanges
from queries.errors import GroupError, QueryError, StoreError
from queries.store import Store

__all__ = [
    "AgeOfAcquisition",
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
]
__all__ += registry.__all__

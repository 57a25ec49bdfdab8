"""The DuckDB side: a store -> answers. Needs neither torch nor streamlit."""

from queries.analyses.clusters import Clusters, clusters
from queries.analyses.compare import Comparison, compare
from queries.analyses.events import events
from queries.analyses.explain import explain
from queries.analyses.matched import Matched, matched
from queries.analyses.mechanism import Mechanism, mechanism
from queries.analyses.ngrams import baselines, ngrams, save_ngrams
from queries.analyses.overlap import overlap
from queries.analyses.positions import in_context_score, loss_by_position, position_slope
from queries.analyses.rho_1 import rho_1
from queries.analyses.type_changes import type_changes
from queries.errors import GroupError, QueryError, StoreError
from queries.store import Store
from queries.text import Preview, preview

__all__ = [
    "Clusters",
    "Comparison",
    "GroupError",
    "Matched",
    "Mechanism",
    "Preview",
    "QueryError",
    "Store",
    "StoreError",
    "baselines",
    "clusters",
    "compare",
    "events",
    "explain",
    "in_context_score",
    "loss_by_position",
    "matched",
    "mechanism",
    "ngrams",
    "overlap",
    "position_slope",
    "preview",
    "rho_1",
    "save_ngrams",
    "type_changes",
]

"""The DuckDB side: a store -> answers. Needs neither torch nor streamlit."""

from queries.baselines import baselines, ngrams, save_ngrams
from queries.errors import GroupError, QueryError, StoreError
from queries.event_list import events
from queries.kinds import Kinds, kinds
from queries.leaderboard import explain
from queries.matched import Matched, matched
from queries.mechanism import Mechanism, mechanism
from queries.overlaps import overlap
from queries.positions import in_context_score, loss_by_position, position_slope
from queries.preview import Preview, preview
from queries.rho import rho_1
from queries.runs import Comparison, compare
from queries.store import Store
from queries.type_changes import type_changes

__all__ = [
    "Comparison",
    "GroupError",
    "Kinds",
    "Matched",
    "Mechanism",
    "Preview",
    "QueryError",
    "Store",
    "StoreError",
    "baselines",
    "compare",
    "events",
    "explain",
    "in_context_score",
    "kinds",
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

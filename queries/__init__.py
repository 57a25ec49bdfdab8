"""The DuckDB side: a store -> answers. Needs neither torch nor streamlit."""

from queries.baselines import baselines, ngrams, save_ngrams
from queries.errors import GroupError, QueryError, StoreError
from queries.event_list import events
from queries.kinds import Kinds, kinds
from queries.leaderboard import explain
from queries.matched import Matched, matched
from queries.overlaps import overlap
from queries.positions import in_context_score, loss_by_position, position_slope
from queries.rho import rho_1
from queries.runs import Comparison, compare
from queries.store import Store

__all__ = [
    "Comparison",
    "GroupError",
    "Kinds",
    "Matched",
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
    "ngrams",
    "overlap",
    "position_slope",
    "rho_1",
    "save_ngrams",
]

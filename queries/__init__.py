"""The DuckDB side: a store -> answers. Needs neither torch nor streamlit."""

from queries.errors import GroupError, QueryError, StoreError
from queries.event_list import events
from queries.kinds import Kinds, kinds
from queries.leaderboard import explain
from queries.overlaps import overlap
from queries.rho import rho_1
from queries.runs import Comparison, compare
from queries.store import Store

__all__ = [
    "Comparison",
    "GroupError",
    "Kinds",
    "QueryError",
    "Store",
    "StoreError",
    "compare",
    "events",
    "explain",
    "kinds",
    "overlap",
    "rho_1",
]

"""The DuckDB side: a store -> answers. Needs neither torch nor streamlit."""

from queries.errors import GroupError, QueryError, StoreError
from queries.event_list import events
from queries.leaderboard import explain
from queries.mechanism import Mechanism, mechanism
from queries.overlaps import overlap
from queries.preview import Preview, preview
from queries.runs import Comparison, compare
from queries.store import Store
from queries.type_changes import type_changes

__all__ = [
    "Comparison",
    "GroupError",
    "Mechanism",
    "Preview",
    "QueryError",
    "Store",
    "StoreError",
    "compare",
    "events",
    "explain",
    "mechanism",
    "overlap",
    "preview",
    "type_changes",
]

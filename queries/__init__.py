"""The DuckDB side: a store -> answers. Needs neither torch nor streamlit."""

from queries.errors import GroupError, QueryError, StoreError
from queries.store import Store

__all__ = ["GroupError", "QueryError", "Store", "StoreError"]

"""Names that SQL keeps for itself: neither a group nor a function may have one."""

from functools import cache

import duckdb

from queries import sql


@cache
def reserved_words() -> frozenset[str]:
    """DuckDB's keywords that are no free names, in lower case."""
    with duckdb.connect() as connection:
        return frozenset(name for (name,) in connection.execute(sql.read("keywords")).fetchall())

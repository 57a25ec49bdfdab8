"""Does a statement only read? Its parse tree says so, before anything of it runs.

DuckDB counts a statement as SELECT also when a CTE in it writes, as in `with x as (copy … to …)
select 1`, and some table functions run SQL that stands in a string, out of a parse tree's sight. So
the two lists below say what is allowed, not what is forbidden.
"""

from collections.abc import Iterator
from typing import Any

NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
TABLE_FUNCTIONS = {
    "duckdb_columns", "duckdb_functions", "duckdb_tables", "duckdb_views", "generate_series",
    "glob", "histogram", "histogram_values", "json_each", "json_tree", "parquet_file_metadata",
    "parquet_metadata", "parquet_schema", "parquet_scan", "query_table", "range", "read_json",
    "read_parquet", "read_text", "repeat", "summary", "unnest",
    # our own macros, which are made of nothing else (relations.py)
    "difference", "group_influence", "in_context_score", "ratio", "trajectory", "zoom",
}  # fmt: skip

CHANCE = {"gen_random_uuid", "nextval", "random", "setseed", "uuid", "uuidv4", "uuidv7"}
"""Functions that answer anew each time."""


def chance(tree: dict[str, Any]) -> str | None:
    """A function in a parse tree whose answer is left to chance; None where there is none."""
    names = (str(node.get("function_name", "")).lower() for node in _objects(tree))
    return next((name for name in names if name in CHANCE), None)


def objection(tree: dict[str, Any]) -> str | None:
    """What in a parse tree (of DuckDB's json_serialize_sql) may not run; None if it only reads."""
    for node in _objects(tree):
        kind = node.get("type")
        if kind == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in TABLE_FUNCTIONS:
                return f"the table function {name} may not be used: only those that read the store"
        elif isinstance(kind, str) and kind.endswith("_NODE") and kind not in NODES:
            return f"found {kind.split('_')[0]} in a WITH: a store takes only SELECT"
    return None


def _objects(tree: Any) -> Iterator[dict[str, Any]]:
    """All JSON objects in a tree; by a list of what is left, as trees may be deep."""
    left = [tree]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)

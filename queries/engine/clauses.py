"""Is a text one boolean SQL expression over `tokens`? If not, a sentence that says why."""

import difflib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, TypeVar

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from queries import sql
from queries.errors import GroupError

# What DuckDB has to say of an SQL text: the words, and where in the text it found the trouble.
#
# A database that is locked gives its errors as JSON (`errors_as_json`), which alone has the
# place.


@dataclass(frozen=True)
class Complaint:
    """DuckDB's message; `at` counts characters of the SQL text from 0, None where it is nowhere."""

    message: str
    at: int | None


def complaint(error: duckdb.Error, statement: str) -> Complaint:
    """The complaint that an error holds about `statement`, also where it is no JSON."""
    text = str(error)
    kind, _, facts = text.partition(": ")
    try:
        found = json.loads(facts)
        message = f"{kind}: {found['exception_message']}"
    except (ValueError, TypeError, KeyError):
        return Complaint(text, None)
    return Complaint(message, character(statement, found.get("position")))


def character(statement: str, position: str | None) -> int | None:
    """DuckDB's place, a byte of the text as UTF-8, as a character of it."""
    if position is None:
        return None
    return len(statement.encode(errors="replace")[: int(position)].decode(errors="ignore"))


def place(text: str, at: int) -> str:
    """A character of a text, counted from 0, as people count: in its line, where it has several."""
    if "\n" not in text.strip():
        return f"at character {at + 1}"
    before = text[:at]
    return f"at line {before.count(chr(10)) + 1}, character {at - before.rfind(chr(10))}"


# Does a statement only read? Its parse tree says so, before anything of it runs.
#
# DuckDB counts a statement as SELECT also when a CTE in it writes, as in `with x as (copy … to
# …) select 1`, and some table functions run SQL that stands in a string, out of a parse tree's
# sight. So the two lists below say what is allowed, not what is forbidden.

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


class Database(Protocol):
    """What a clause needs of `queries.engine.database.Database`, which imports this module."""

    unusable_columns: dict[str, str]

    def table(self, query: str) -> pa.Table: ...
    def rows(self, query: str) -> list[tuple[Any, ...]]: ...
    def column(self, query: str) -> np.ndarray: ...
    def frame(self, query: str) -> pd.DataFrame: ...
    def parse(self, statement: str) -> dict[str, Any]: ...


Answer = TypeVar("Answer")
_UNKNOWN_COLUMN = re.compile(
    r'column "([^"]*)" not found|have a column named "([^"]*)"', re.IGNORECASE
)
_UNKNOWN_FUNCTION = re.compile(r"Function with name (\S+) does not exist")
_NEAR = re.compile(r'Did you mean "(?:main\.)?([^"]+)"')
_OUR_SENTENCE = re.compile(r"QueryError: (.*)", re.DOTALL)
_IN_PYTHON = re.compile(r"executing the UDF: (.*)", re.DOTALL)


def members(database: Database, clause: str) -> np.ndarray:
    """Rows of the tokens for which `clause` is true, int64, increasing. Raises GroupError."""
    check_clause(database, clause)
    rows = _ask(database.column, database, sql.read("engine/members"), clause)
    return np.sort(rows.astype(np.int64), kind="stable")


def evaluate(database: Database, expression: str) -> pa.ChunkedArray:
    """Values of one expression over `tokens`, in order of row; decimals as doubles.

    Raises GroupError.
    """
    check_expression(database, expression)
    values = _ask(database.table, database, sql.read("engine/expression"), expression)["value"]
    return values.cast(pa.float64()) if pa.types.is_decimal(values.type) else values


def check_clause(database: Database, clause: str) -> None:
    """Raises GroupError unless `clause` is exactly one boolean expression."""
    kind = check_expression(database, clause)
    if kind != "BOOLEAN":
        raise GroupError(
            f"{_quote(clause)} is of type {kind}, not true or false: compare it with something, "
            "as in position = 500"
        )


def check_expression(database: Database, clause: str) -> str:
    """The type of what is exactly one expression over `tokens`; else raises GroupError.

    Two parses are needed, as `true) or (false` passes one of them and `1, 2` the other; the
    third question is its type.
    """
    if not clause.strip():
        raise GroupError("the group is empty: write a condition such as position = 500")
    # In place of the select list, where a second column, an alias or a FROM would show …
    node = _parse(database, "select {clause}\n", clause)
    if len(node.get("select_list", [])) != 1 or not _is_bare(node, "EMPTY"):
        raise GroupError(f"{_quote(clause)} is more than one expression: {_EXPECTED}")
    # … and in place of the condition, where an unbalanced parenthesis would.
    node = _parse(database, "select 1 from tokens where (\n{clause}\n)", clause)
    if not _is_bare(node, "BASE_TABLE"):
        raise GroupError(f"{_quote(clause)} is more than a condition: {_EXPECTED}")
    return _type(database, clause)


_EXPECTED = "expected one condition such as position = 500 and is_word_start"


def _parse(database: Database, template: str, clause: str) -> dict[str, Any]:
    """The parse tree of a statement that must be one SELECT, and only read."""
    tree = _ask(database.parse, database, template, clause)
    if tree.get("error_type") == "not implemented":  # DuckDB serializes nothing but SELECT
        raise GroupError(f"{_quote(clause)} is more than one expression: {_EXPECTED}")
    if tree.get("error"):
        at = character(template.replace("{clause}", clause), tree.get("position"))
        where = _where(at, template, clause)
        raise GroupError(f"{_quote(clause)}: {tree['error_message']}{where}; {_EXPECTED}")
    statements = tree["statements"]
    node: dict[str, Any] = statements[0]["node"]
    if len(statements) != 1 or node["type"] != "SELECT_NODE":
        raise GroupError(f"{_quote(clause)} is more than one expression: {_EXPECTED}")
    if trouble := objection(tree):
        raise GroupError(f"{_quote(clause)}: {trouble}")
    if name := chance(tree):
        raise GroupError(
            f"{_quote(clause)}: {name} answers anew each time, and a group holds the same tokens "
            "whenever it is asked: draw by hash(row), as in hash(row) % 10 = 0"
        )
    return node


def _ask(ask: Callable[[str], Answer], database: Database, template: str, clause: str) -> Answer:
    """What `ask` answers to a statement with the clause in it; DuckDB's errors as GroupError."""
    statement = template.replace("{clause}", clause)
    try:
        return ask(statement)
    except duckdb.Error as error:
        found = complaint(error, statement)
        where = _where(found.at, template, clause)
        raise GroupError(_explained(database, clause, found.message, where)) from error


def _where(at: int | None, template: str, clause: str) -> str:
    """A place in a statement as words on a place in its clause; none where it is not in it."""
    if at is None or not 0 <= (within := at - template.index("{clause}")) <= len(clause):
        return ""
    return f" at character {within + 1}"


def _explained(database: Database, clause: str, message: str, where: str) -> str:
    """DuckDB's complaint about a clause as a sentence with a way out."""
    if found := _IN_PYTHON.search(message):
        if ours := _OUR_SENTENCE.search(found[1]):
            return f"{_quote(clause)}: {ours[1].strip()}"
        return (
            f"a Python function failed in {_quote(clause)}: {found[1].strip()}: "
            "mend the function, or keep such tokens from it with another condition"
        )
    if found := _UNKNOWN_COLUMN.search(message):
        return f"{_quote(clause)}{where}: {_unknown_column(database, clause, found[1] or found[2])}"
    if found := _UNKNOWN_FUNCTION.search(message):
        near = _NEAR.search(message)
        return (
            f"{_quote(clause)}{where}: there is no function {found[1]}"
            f"{f', did you mean {near[1]}' if near else ''}? Use one of DuckDB's, or a Python "
            "function of queries/udfs.py or of the file named with --functions"
        )
    first = " ".join(message.partition("\n\n")[0].split())
    return f"{_quote(clause)}{where} cannot be evaluated: {first}"


def _is_bare(node: dict[str, Any], table: str) -> bool:
    """No clause but the select list, FROM and WHERE."""
    return (
        (node.get("from_table") or {}).get("type", "EMPTY") == table
        and not node.get("modifiers")
        and not node.get("group_expressions")
        and not node.get("having")
        and not node.get("qualify")
        and not (node.get("cte_map") or {}).get("map")
        and (table != "EMPTY" or not node.get("where_clause"))
    )


def _type(database: Database, clause: str) -> str:
    columns = _ask(database.rows, database, sql.read("engine/group_type"), clause)
    if len(columns) != 1:  # a star stands for all columns
        raise GroupError(f"{_quote(clause)} is more than one expression: {_EXPECTED}")
    return str(columns[0][1])


def token_columns(database: Database) -> list[str]:
    """The columns that a clause can name."""
    return list(database.frame("select * from tokens limit 0").columns)


def _unknown_column(database: Database, clause: str, name: str) -> str:
    if name.lower() == "loss":
        return (
            "tokens have no column loss, since a token has one at each checkpoint: "
            "write loss_at(row, 1000) > 2 with the step that you mean"
        )
    if why := database.unusable_columns.get(name.lower()):
        return f"the feature {name} cannot be used: {why}"
    if f'"{name}"' in clause:
        return f"tokens have no column {name}; text stands in single quotes: '{name}'"
    columns = token_columns(database)
    near = difflib.get_close_matches(name.lower(), map(str.lower, columns), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(columns)}"
    return f"tokens have no column {name}: {hint} (text stands in single quotes: ' Obama')"


def _quote(clause: str) -> str:
    text = " ".join(clause.split()).encode("utf-8", "replace").decode()
    return f"`{text}`" if len(text) <= 80 else f"`{text[:77]}…`"


# Names that SQL keeps for itself: neither a group nor a function may have one.


@cache
def reserved_words() -> frozenset[str]:
    """DuckDB's keywords that are no free names, in lower case."""
    with duckdb.connect() as connection:
        return frozenset(
            name for (name,) in connection.execute(sql.read("engine/keywords")).fetchall()
        )

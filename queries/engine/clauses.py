"""WHERE clauses: is a text one boolean SQL expression over `tokens`, and which rows does it select?

If it is not one, a GroupError says why and where. The checks read DuckDB's parse tree, before
anything is evaluated.
"""

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol, TypeVar

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from queries import sql
from queries.errors import GroupError

EXPECTED = "expected one condition such as position = 500 and is_word_start"

# The statements around a clause. It stands on lines of its own, since it may end in a comment.
_MEMBERS = 'select "row" from tokens where (\n{clause}\n)'
_WORDS = "select source, word from words where (\n{clause}\n)"
_VALUES = 'select (\n{clause}\n) as value from tokens order by "row"'
_TYPE = "describe select (\n{clause}\n) as value from {table}"
_COLUMNS = "select * from {table} limit 0"
_AS_COLUMN = "select {clause}\n"
_AS_CONDITION = "select 1 from {table} where (\n{clause}\n)"


@dataclass(frozen=True)
class Expression:
    """An SQL expression over `table`; `name` is that of the named group it was read from."""

    text: str
    name: str = ""
    table: Literal["tokens", "words"] = "tokens"

    @property
    def label(self) -> str:
        """How errors refer to it: by the name that the user gave, followed by its text."""
        text = " ".join(self.text.split()).encode("utf-8", "replace").decode()
        quoted = f"`{text}`" if len(text) <= 80 else f"`{text[:77]}…`"
        return f"the group {self.name} ({quoted})" if self.name else quoted


class Database(Protocol):
    """The part of `queries.engine.database.Database` that clauses need; it imports this module."""

    unusable_columns: dict[str, str]

    def table(self, query: str) -> pa.Table: ...
    def rows(self, query: str) -> list[tuple[Any, ...]]: ...
    def column(self, query: str) -> np.ndarray: ...
    def frame(self, query: str) -> pd.DataFrame: ...
    def parse(self, statement: str) -> dict[str, Any]: ...


def mentioned(clause: Expression, facts: Mapping[str, str]) -> dict[str, str]:
    """Those of `facts` (by column) whose names are words of the clause."""
    words = set(re.findall(r"\w+", clause.text))
    return {name: fact for name, fact in facts.items() if name in words}


def members(database: Database, clause: Expression) -> np.ndarray:
    """Rows of the tokens for which `clause` is true, int64, increasing. Raises GroupError."""
    check_clause(database, clause)
    rows = _run(database.column, database, _MEMBERS, clause)
    return np.sort(rows.astype(np.int64), kind="stable")


def words(database: Database, clause: str) -> pd.DataFrame:
    """source, word of the words for which `clause`, over `words`, is true. Raises GroupError."""
    expression = Expression(clause, table="words")
    check_clause(database, expression)
    return _run(database.frame, database, _WORDS, expression)


def evaluate(database: Database, expression: Expression) -> pa.ChunkedArray:
    """Values of one expression over `tokens`, in order of row; decimals become doubles.

    Raises GroupError.
    """
    check_expression(database, expression)
    values = _run(database.table, database, _VALUES, expression)["value"]
    return values.cast(pa.float64()) if pa.types.is_decimal(values.type) else values


def check_clause(database: Database, clause: Expression) -> None:
    """Raises GroupError unless `clause` is exactly one boolean expression."""
    kind = check_expression(database, clause)
    if kind != "BOOLEAN":
        raise GroupError(
            f"{clause.label} is of type {kind}, not true or false: compare it with something, "
            "as in position = 500"
        )


def check_expression(database: Database, expression: Expression) -> str:
    """The SQL type of exactly one expression over `tokens`; raises GroupError for anything else.

    Two parses are needed: `true) or (false` passes one of them, and `1, 2` the other.
    """
    if not expression.text.strip():
        raise GroupError("the group is empty: write a condition such as position = 500")
    # In place of the select list, a second column, an alias or a FROM would show …
    node = _parse(database, _AS_COLUMN, expression)
    if len(node.get("select_list", [])) != 1 or not _is_bare(node, "EMPTY"):
        raise GroupError(f"{expression.label} is more than one expression: {EXPECTED}")
    # … and in place of the condition, an unbalanced parenthesis would.
    node = _parse(database, _AS_CONDITION, expression)
    if not _is_bare(node, "BASE_TABLE"):
        raise GroupError(f"{expression.label} is more than a condition: {EXPECTED}")
    columns = _run(database.rows, database, _TYPE, expression)
    if len(columns) != 1:  # a star stands for all columns
        raise GroupError(f"{expression.label} is more than one expression: {EXPECTED}")
    return str(columns[0][1])


def token_columns(database: Database, table: str = "tokens") -> list[str]:
    """The columns that a clause can name."""
    return list(database.frame(_COLUMNS.replace("{table}", table)).columns)


def _parse(database: Database, template: str, expression: Expression) -> dict[str, Any]:
    """The parse tree of a statement, which must be one SELECT that only reads."""
    template = template.replace("{table}", expression.table)
    tree = _run(database.parse, database, template, expression)
    if tree.get("error_type") == "not implemented":  # DuckDB serializes only SELECT
        raise GroupError(f"{expression.label} is more than one expression: {EXPECTED}")
    if tree.get("error"):
        at = character(template.replace("{clause}", expression.text), tree.get("position"))
        where = _place_in_clause(at, template, expression.text)
        raise GroupError(f"{expression.label}: {tree['error_message']}{where}; {EXPECTED}")
    statements = tree["statements"]
    node: dict[str, Any] = statements[0]["node"]
    if len(statements) != 1 or node["type"] != "SELECT_NODE":
        raise GroupError(f"{expression.label} is more than one expression: {EXPECTED}")
    if problem := objection(tree):
        raise GroupError(f"{expression.label}: {problem}")
    if name := random_function(tree):
        raise GroupError(
            f"{expression.label}: {name} gives new values at every call, but a group must always "
            "hold the same tokens: sample with hash(row), as in hash(row) % 10 = 0"
        )
    return node


def _is_bare(node: dict[str, Any], table: str) -> bool:
    """Whether a SELECT has no clauses except the select list, FROM and WHERE."""
    return (
        (node.get("from_table") or {}).get("type", "EMPTY") == table
        and not node.get("modifiers")
        and not node.get("group_expressions")
        and not node.get("having")
        and not node.get("qualify")
        and not (node.get("cte_map") or {}).get("map")
        and (table != "EMPTY" or not node.get("where_clause"))
    )


Answer = TypeVar("Answer")


def _run(
    query: Callable[[str], Answer], database: Database, template: str, expression: Expression
) -> Answer:
    """The result of a statement with the expression in it; DuckDB's errors become GroupError."""
    template = template.replace("{table}", expression.table)
    statement = template.replace("{clause}", expression.text)
    try:
        return query(statement)
    except duckdb.Error as error:
        found = message_of(error, statement)
        where = _place_in_clause(found.at, template, expression.text)
        raise GroupError(_explained(database, expression, found.text, where)) from error


def _place_in_clause(at: int | None, template: str, clause: str) -> str:
    """A place in a statement as a place in its clause, in words; "" if it is outside the clause."""
    if at is None or not 0 <= (within := at - template.index("{clause}")) <= len(clause):
        return ""
    return f" at character {within + 1}"


# Errors: DuckDB's messages about a clause as sentences with a way out.

_UNKNOWN_COLUMN = re.compile(
    r'column "([^"]*)" not found|have a column named "([^"]*)"', re.IGNORECASE
)
_UNKNOWN_FUNCTION = re.compile(r"Function with name (\S+) does not exist")
_NO_FIELD = re.compile(r"Cannot extract field '([^']*)' from expression \"([^\"]*)\"")
_NEAR = re.compile(r'Did you mean "(?:main\.)?([^"]+)"')
_OUR_SENTENCE = re.compile(r"QueryError: (.*)", re.DOTALL)
_IN_PYTHON = re.compile(r"executing the UDF: (.*)", re.DOTALL)


def _explained(database: Database, expression: Expression, message: str, where: str) -> str:
    label = expression.label
    if found := _IN_PYTHON.search(message):
        if ours := _OUR_SENTENCE.search(found[1]):
            return f"{label}: {ours[1].strip()}"
        return (
            f"a Python function failed in {label}: {found[1].strip()}: fix the function, or "
            "exclude such tokens with another condition"
        )
    if found := _UNKNOWN_COLUMN.search(message):
        column = found[1] or found[2]
        return f"{label}{where}: {_unknown_column(database, expression, column)}"
    if found := _UNKNOWN_FUNCTION.search(message):
        near = _NEAR.search(message)
        return (
            f"{label}{where}: there is no function {found[1]}"
            f"{f', did you mean {near[1]}' if near else ''}? Use one of DuckDB's, or a Python "
            "function of queries/udfs.py or of the file named with --functions"
        )
    if found := _NO_FIELD.search(message):
        return f"{label}{where}: {_nested(expression.text, found[2], found[1])}"
    first = " ".join(message.partition("\n\n")[0].split())
    return f"{label}{where} cannot be evaluated: {first}"


def _nested(clause: str, column: str, field: str) -> str:
    """How to name a field of nested metadata, which a store keeps as JSON text."""
    column = column.rpartition(".")[2]
    named = re.search(rf"\b{re.escape(column)}\s*\.\s*(\w+(?:\s*\.\s*\w+)*)", clause, re.IGNORECASE)
    path = re.sub(r"\s", "", named[1]) if named else field
    return (
        f"nested metadata is stored as JSON text: write ({column}->>'$.{path}') in place of "
        f"{column}.{path}, as in ({column}->>'$.{path}') = 'some text'; if {column} holds no JSON, "
        "compare it directly"
    )


def _unknown_column(database: Database, expression: Expression, name: str) -> str:
    clause, table = expression.text, expression.table
    if name.lower() == "loss" and table == "tokens":
        return (
            "tokens have no column loss, since a token has one at each checkpoint: "
            "write loss_at(row, 1000) > 2 with the step that you mean"
        )
    if why := database.unusable_columns.get(name.lower()):
        return f"the feature {name} cannot be used: {why}"
    if f'"{name}"' in clause:
        return f"{table} have no column {name}; write text in single quotes: '{name}'"
    columns = token_columns(database, table)
    near = difflib.get_close_matches(name.lower(), map(str.lower, columns), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(columns)}"
    return f"{table} have no column {name}: {hint} (write text in single quotes: ' Obama')"


@dataclass(frozen=True)
class Message:
    """What DuckDB says about an SQL text; `at` counts its characters from 0, None if unknown."""

    text: str
    at: int | None


def message_of(error: duckdb.Error, statement: str) -> Message:
    """The message of an error about `statement`.

    A locked database gives its errors as JSON (`errors_as_json`); only JSON has the place.
    """
    text = str(error)
    kind, _, facts = text.partition(": ")
    try:
        found = json.loads(facts)
        message = f"{kind}: {found['exception_message']}"
    except (ValueError, TypeError, KeyError):
        return Message(text, None)
    return Message(message, character(statement, found.get("position")))


def character(statement: str, position: str | None) -> int | None:
    """DuckDB's position, a byte offset in the text's UTF-8, as a character of the text."""
    if position is None:
        return None
    return len(statement.encode(errors="replace")[: int(position)].decode(errors="ignore"))


def place(text: str, at: int) -> str:
    """A character of a text (`at` from 0) in words, from 1; with its line if there are several."""
    if "\n" not in text.strip():
        return f"at character {at + 1}"
    before = text[:at]
    return f"at line {before.count(chr(10)) + 1}, character {at - before.rfind(chr(10))}"


# Does a statement only read? Its parse tree says so, before anything in it runs.
#
# DuckDB counts a statement as SELECT even if a CTE in it writes, as in `with x as (copy … to …)
# select 1`, and some table functions run SQL from a string, which is not in the parse tree. So the
# two lists below say what is allowed, not what is forbidden.

NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}
TABLE_FUNCTIONS = {
    *("duckdb_columns", "duckdb_functions", "duckdb_tables", "duckdb_views"),
    *("generate_series", "glob", "histogram", "histogram_values", "json_each", "json_tree"),
    *("parquet_file_metadata", "parquet_metadata", "parquet_schema", "parquet_scan"),
    *("query_table", "range", "read_json", "read_parquet", "read_text", "repeat", "summary"),
    "unnest",
    *("difference", "in_context_score", "leave_one_out", "predicted_trajectory", "ratio"),
    *("trajectory", "zoom"),
}
"""The last rows are our own macros, which call nothing else."""
RANDOM = {"gen_random_uuid", "nextval", "random", "setseed", "uuid", "uuidv4", "uuidv7"}
"""Functions that give new values at every call."""


def random_function(tree: dict[str, Any]) -> str | None:
    """A function of RANDOM in a parse tree; None if there is none."""
    names = (str(node.get("function_name", "")).lower() for node in _objects(tree))
    return next((name for name in names if name in RANDOM), None)


def objection(tree: dict[str, Any]) -> str | None:
    """What in a parse tree (of DuckDB's json_serialize_sql) may not run; None if it only reads."""
    for node in _objects(tree):
        kind = node.get("type")
        if kind == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "")).lower()
            if name not in TABLE_FUNCTIONS:
                return f"the table function {name} is not allowed: use one that reads the store"
        elif isinstance(kind, str) and kind.endswith("_NODE") and kind not in NODES:
            return f"found {kind.split('_')[0]} in a WITH: only SELECT is allowed"
    return None


def _objects(tree: Any) -> Iterator[dict[str, Any]]:
    """All JSON objects in a tree, without recursion, as trees may be deep."""
    left = [tree]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            yield value
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)


@cache
def reserved_words() -> frozenset[str]:
    """DuckDB's keywords that cannot be the name of a group or a function, in lower case."""
    with duckdb.connect() as connection:
        return frozenset(
            name for (name,) in connection.execute(sql.read("engine/keywords")).fetchall()
        )

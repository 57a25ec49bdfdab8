"""Is a text one boolean SQL expression over `tokens`? If not, a sentence that says why."""

import difflib
import re
from typing import Any

import duckdb

from queries import sql
from queries.database import Database
from queries.errors import GroupError
from queries.statements import objection

_UNKNOWN_COLUMN = re.compile(
    r'column "([^"]*)" not found|have a column named "([^"]*)"', re.IGNORECASE
)
_UNKNOWN_FUNCTION = re.compile(r"Function with name (\S+) does not exist")
_OUR_SENTENCE = re.compile(r"QueryError: (.*)", re.DOTALL)
_IN_PYTHON = re.compile(r"executing the UDF: (.*)", re.DOTALL)


def check_clause(database: Database, clause: str) -> None:
    """Raises GroupError unless `clause` is exactly one boolean expression.

    Two parses are needed, as `true) or (false` passes one of them and `1, 2` the other; the
    third question is its type.
    """
    if not clause.strip():
        raise GroupError("the group is empty: write a condition such as position = 500")
    # In place of the select list, where a second column, an alias or a FROM would show …
    node = _parse(database, f"select {clause}\n", clause)
    if len(node.get("select_list", [])) != 1 or not _is_bare(node, "EMPTY"):
        raise GroupError(f"{_quote(clause)} is more than one expression: {_EXPECTED}")
    # … and in place of the condition, where an unbalanced parenthesis would.
    node = _parse(database, f"select 1 from tokens where (\n{clause}\n)", clause)
    if not _is_bare(node, "BASE_TABLE"):
        raise GroupError(f"{_quote(clause)} is more than a condition: {_EXPECTED}")
    kind = _type(database, clause)
    if kind != "BOOLEAN":
        raise GroupError(
            f"{_quote(clause)} is of type {kind}, not true or false: compare it with something, "
            "as in position = 500"
        )


def explain(database: Database, clause: str, error: duckdb.Error) -> GroupError:
    """DuckDB's complaint about a clause as a sentence with a way out."""
    message = str(error)
    if found := _IN_PYTHON.search(message):
        if ours := _OUR_SENTENCE.search(found[1]):
            return GroupError(f"{_quote(clause)}: {ours[1].strip()}")
        return GroupError(
            f"a Python function failed in {_quote(clause)}: {found[1].strip()}: "
            "mend the function, or keep such tokens from it with another condition"
        )
    if found := _UNKNOWN_COLUMN.search(message):
        return GroupError(_unknown_column(database, found[1] or found[2]))
    if found := _UNKNOWN_FUNCTION.search(message):
        return GroupError(
            f"there is no function {found[1]}: use one of DuckDB's, or a Python function "
            "of queries/udfs.py or of the file named with --functions"
        )
    first = message.strip().splitlines()[0]
    return GroupError(f"{_quote(clause)} cannot be evaluated: {first}")


_EXPECTED = "expected one condition such as position = 500 and is_word_start"


def _parse(database: Database, statement: str, clause: str) -> dict[str, Any]:
    """The parse tree of a statement that must be one SELECT, and only read."""
    try:
        tree = database.parse(statement)
    except duckdb.Error as error:  # a text that is no valid Unicode
        raise explain(database, clause, error) from error
    if tree.get("error"):
        at = tree.get("position")
        shift = statement.index(clause)
        where = f" at character {int(at) - shift + 1}" if at is not None else ""
        raise GroupError(f"{_quote(clause)}: {tree['error_message']}{where}; {_EXPECTED}")
    statements = tree["statements"]
    node: dict[str, Any] = statements[0]["node"]
    if len(statements) != 1 or node["type"] != "SELECT_NODE":
        raise GroupError(f"{_quote(clause)} is more than one expression: {_EXPECTED}")
    if trouble := objection(tree):
        raise GroupError(f"{_quote(clause)}: {trouble}")
    return node


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
    try:
        columns = database.rows(sql.read("group_type").replace("{clause}", clause))
    except duckdb.Error as error:
        raise explain(database, clause, error) from error
    if len(columns) != 1:  # a star stands for all columns
        raise GroupError(f"{_quote(clause)} is more than one expression: {_EXPECTED}")
    return str(columns[0][1])


def _unknown_column(database: Database, name: str) -> str:
    if name.lower() == "loss":
        return (
            "tokens have no column loss, since a token has one at each checkpoint: "
            "write loss_at(row, 1000) > 2 with the step that you mean"
        )
    columns = list(database.frame("select * from tokens limit 0").columns)
    near = difflib.get_close_matches(name.lower(), map(str.lower, columns), n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(columns)}"
    return f"tokens have no column {name}: {hint} (text stands in single quotes: ' Obama')"


def _quote(clause: str) -> str:
    text = " ".join(clause.split()).encode("utf-8", "replace").decode()
    return f"`{text}`" if len(text) <= 80 else f"`{text[:77]}…`"

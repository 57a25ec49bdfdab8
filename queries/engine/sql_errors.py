"""DuckDB's messages about a user's query as sentences: what was found, what to write instead."""

import difflib
import re
from collections.abc import Callable

from queries.engine.clauses import reserved_words
from queries.errors import QueryError


class SqlError(QueryError):
    """A query that DuckDB refuses; `at` is the place in its text, from 0, None if unknown."""

    def __init__(self, sentence: str, at: int | None) -> None:
        super().__init__(sentence)
        self.at = at


def explained(message: str, before: str = "", after: str = "") -> str:
    """A message of DuckDB in plain words; messages that no rule knows keep their own words.

    `before` and `after` are the query's text on both sides of the place that DuckDB names.
    """
    if found := re.search(_SYNTAX, message):
        return _syntax(found[1], before, after)
    # An error of a Python function is reported without DuckDB's words around it.
    message = message.rpartition("QueryError: ")[2]
    for pattern, sentence in _RULES:
        if found := re.search(pattern, message, re.IGNORECASE):
            return sentence(found, message)
    _, _, words = message.rpartition(" Error: ")
    return " ".join(words.partition("\n\n")[0].split())


def _unknown_column(found: re.Match[str], message: str) -> str:
    name = found[1]
    if name.lower() == "loss":
        return (
            "found the column loss, which these tables do not have: read it from losses, or write "
            "loss_at(row, 1000) with the step that you mean"
        )
    columns = re.findall(r'"([^"]+)"', message.partition("Candidate bindings:")[2])
    near = difflib.get_close_matches(name.lower(), columns)
    hint = f"did you mean {_choices(near)}? Write" if near else "write"
    return f"there is no column {name}: {hint} text in single quotes, as in '{name}'"


def _no_column_in(found: re.Match[str], message: str) -> str:
    return f"{found[1]} has no column {found[2]}: see its columns under Tables and columns"


def _unknown_table(found: re.Match[str], message: str) -> str:
    near = re.search(r'Did you mean "(?:\w+\.)?([^"]+)"', message)
    hint = f"did you mean {near[1]}?" if near else "see Tables and columns"
    return f"there is no table or group {found[1]}: {hint}"


def _unknown_function(found: re.Match[str], message: str) -> str:
    near = re.search(r'Did you mean "(?:main\.)?([^"]+)"', message)
    return f"there is no function {found[1]}{f': did you mean {near[1]}?' if near else ''}"


def _wrong_arguments(found: re.Match[str], message: str) -> str:
    calls = re.findall(r"^\s+(\w+\([^)]*\))", message, re.MULTILINE)
    plain = [re.sub(r", /|\barg ", "", call) for call in calls]
    expected = _choices(list(dict.fromkeys(plain))[:4])
    return f"found {found[1]}, expected {expected or 'other arguments'}"


def _ambiguous(found: re.Match[str], message: str) -> str:
    return f"several tables have a column {found[1]}: write {found[2]} or {found[3]}"


def _not_grouped(found: re.Match[str], message: str) -> str:
    return (
        f"the column {found[1]} is neither grouped nor aggregated: end the query with "
        f"`group by all`, or write any_value({found[1]})"
    )


def _syntax(word: str, before: str, after: str) -> str:
    if not before.strip():
        return f"found {word}, expected a query that begins with select, from or with"
    if word.lower() in reserved_words() and not after.removeprefix(word).strip(" \n;"):
        return f"the query ends after {word}, where SQL needs more"
    return (
        f"found {word}, which SQL does not allow here: check the word before it, commas and "
        "parentheses"
    )


def _fixed(sentence: str) -> Callable[[re.Match[str], str], str]:
    return lambda found, message: sentence


_SYNTAX = r'syntax error at or near "([^"]+)"'
_RULES: tuple[tuple[str, Callable[[re.Match[str], str], str]], ...] = (
    (r'Referenced column "([^"]+)" not found', _unknown_column),
    (r'Values list "([^"]+)" does not have a column named "([^"]+)"', _no_column_in),
    (r"Table with name (\S+) does not exist", _unknown_table),
    (r"Function with name (\S+) does not exist", _unknown_function),
    (r"No function matches the given name and argument types '([^']+)'", _wrong_arguments),
    (r"Macro (\S+) does not support the supplied arguments", _wrong_arguments),
    (r"Ambiguous reference to column name \"(\w+)\" \(use: '([^']+)' or '([^']+)'", _ambiguous),
    (r'column "([^"]+)" must appear in the GROUP BY clause', _not_grouped),
    (r"unterminated string literal", _fixed("found a text without its closing quote ': add it")),
    (
        r"SELECT clause without selection list",
        _fixed("found nothing after select, expected columns, as in select * from tokens"),
    ),
    (
        r"WHERE clause cannot contain aggregates",
        _fixed("found an aggregate in where: put the condition in having, after group by"),
    ),
    (
        r"Could not convert string '([^']*)' to (\w+)",
        lambda found, message: f"found the text '{found[1]}', expected a value of type {found[2]}",
    ),
)


def _choices(names: list[str]) -> str:
    head = ", ".join(names[:-1])
    return f"{head} or {names[-1]}" if head else "".join(names)

"""What DuckDB has to say of an SQL text: the words, and where in the text it found the trouble.

A database that is locked gives its errors as JSON (`errors_as_json`), which alone has the place.
"""

import json
from dataclasses import dataclass

import duckdb


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

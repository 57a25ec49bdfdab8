"""The base class of templates, and what their SQL, words and checks are made with."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import duckdb

from queries import sql
from queries.errors import GroupError


class Template(ABC):
    """A condition on tokens."""

    @abstractmethod
    def sql(self) -> str:
        """One boolean expression over `tokens`."""

    @abstractmethod
    def phrase(self) -> str:
        """The rest of a sentence that begins with "tokens"."""

    def sentence(self) -> str:
        """The condition in words."""
        return f"Tokens {self.phrase()}."


# Texts and lists as SQL literals, and as words for people.


def literal(text: str) -> str:
    """The text as an SQL literal: between single quotes, those within doubled."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Iterable[str]) -> str:
    """Several literals, separated by commas."""
    return ", ".join(map(literal, texts))


def shown(text: str) -> str:
    """The text in double quotes, so that spaces and line ends are visible."""
    return json.dumps(text, ensure_ascii=False)


def joined(texts: Sequence[str]) -> str:
    """a; a or b; a, b or c."""
    head = ", ".join(texts[:-1])
    return f"{head} or {texts[-1]}" if head else texts[-1]


def either(noun: str, texts: Sequence[str]) -> str:
    """The noun, in the plural if there are several texts, and the texts."""
    return f"{noun}{'s' if len(texts) > 1 else ''} {joined(list(map(shown, texts)))}"


# Checks of a template's fields; a GroupError says what was found and what was expected.

LARGEST = 2**63 - 1  # of DuckDB's BIGINT


def check_number(name: str, value: Any) -> None:
    """A non-negative integer."""
    if type(value) is not int or not 0 <= value <= LARGEST:  # True is an int, too
        raise GroupError(f"the {name} is {value!r}: expected a non-negative integer")


def check_amount(name: str, value: Any) -> None:
    """A finite non-negative number."""
    if type(value) not in (int, float) or not 0 <= value < 1e100:
        raise GroupError(f"the {name} is {value!r:.40}: expected a non-negative number")


def check_range(name: str, first: Any, last: Any) -> None:
    """Two non-negative integers in order; the second may be None, for no end."""
    check_number(f"first of the {name}", first)
    if last is not None:
        check_number(f"last of the {name}", last)
        if first > last:
            raise GroupError(
                f"{name} {first:,} to {last:,} are in the wrong order: the smaller comes first"
            )


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """One of the choices."""
    if value not in choices:
        raise GroupError(f"the {name} is {value!r}: expected one of {', '.join(choices)}")


def check_filled(name: str, values: Any) -> None:
    """A nonempty tuple."""
    if not isinstance(values, tuple):
        raise GroupError(f"the {name} are {values!r}: expected a list (in Python a tuple)")
    if not values:
        raise GroupError(f"the list of {name} is empty: name at least one")


def check_text(name: str, value: Any) -> None:
    """A text in valid Unicode."""
    if not isinstance(value, str):
        raise GroupError(f"{value!r} among the {name} is not a text: expected one in quotes")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise GroupError(f"{value!r} is not valid Unicode text ({error.reason})") from error


def check_texts(name: str, values: Any) -> None:
    """A nonempty tuple of texts."""
    check_filled(name, values)
    for value in values:
        check_text(name, value)


def check_pattern(pattern: str) -> None:
    """A regular expression in RE2's syntax, which DuckDB uses."""
    check_text("pattern", pattern)
    if error := _pattern_error(pattern):
        raise GroupError(f"{shown(pattern)} is not a regular expression: {error}")


@lru_cache(maxsize=256)
def _pattern_error(pattern: str) -> str | None:
    try:
        with duckdb.connect() as connection:
            connection.execute(sql.read("groups/try_pattern"), {"pattern": pattern})
    except duckdb.Error as error:
        return str(error).partition(": ")[2]
    return None

"""What every template can do: render to SQL for the store and to a sentence for people."""

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
        """What completes "tokens …"."""

    def sentence(self) -> str:
        """The condition in words."""
        return f"Tokens {self.phrase()}."


# Texts and lists as SQL literals, and as words for people.


def literal(text: str) -> str:
    """The text as an SQL literal: between single quotes, those within doubled."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Iterable[str]) -> str:
    """Several, with commas between."""
    return ", ".join(map(literal, texts))


def shown(text: str) -> str:
    """The text between double quotes, so that blanks and line ends are seen."""
    return json.dumps(text, ensure_ascii=False)


def joined(texts: Sequence[str]) -> str:
    """a; a or b; a, b or c."""
    head = ", ".join(texts[:-1])
    return f"{head} or {texts[-1]}" if head else texts[-1]


def either(noun: str, texts: Sequence[str]) -> str:
    """The noun, in the plural where there are several, and the texts."""
    return f"{noun}{'s' if len(texts) > 1 else ''} {joined(list(map(shown, texts)))}"


# What a template's fields must be; a GroupError says what was found and what was expected.

LARGEST = 2**63 - 1  # of DuckDB's BIGINT


def check_number(name: str, value: Any) -> None:
    """A whole number that is not negative."""
    if type(value) is not int or not 0 <= value <= LARGEST:  # True is an int, too
        raise GroupError(f"the {name} is {value!r}: expected a whole number, 0 or more")


def check_amount(name: str, value: Any) -> None:
    """A finite number that is not negative."""
    if type(value) not in (int, float) or not 0 <= value < 1e100:
        raise GroupError(f"the {name} is {value!r:.40}: expected a number, 0 or more")


def check_range(name: str, first: Any, last: Any) -> None:
    """Two such numbers in order; the second may be None, for no end."""
    check_number(f"first of the {name}", first)
    if last is not None:
        check_number(f"last of the {name}", last)
        if first > last:
            raise GroupError(f"{name} {first:,} to {last:,} are none: the smaller comes first")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """One of some texts."""
    if value not in choices:
        raise GroupError(f"the {name} is {value!r}: expected one of {', '.join(choices)}")


def check_filled(name: str, values: Any) -> None:
    """A tuple with something in it."""
    if not isinstance(values, tuple):
        raise GroupError(f"the {name} are {values!r}: expected a list (in Python a tuple)")
    if not values:
        raise GroupError(f"the list of {name} is empty: name at least one")


def check_text(name: str, value: Any) -> None:
    """A text of valid Unicode."""
    if not isinstance(value, str):
        raise GroupError(f"{value!r} among the {name} is no text: expected one in quotes")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise GroupError(f"{value!r} is no valid Unicode text ({error.reason})") from error


def check_texts(name: str, values: Any) -> None:
    """A tuple of texts with something in it."""
    check_filled(name, values)
    for value in values:
        check_text(name, value)


def check_pattern(pattern: str) -> None:
    """A regular expression of the kind that DuckDB takes, which is RE2's."""
    check_text("pattern", pattern)
    if trouble := _trouble(pattern):
        raise GroupError(f"{shown(pattern)} is no regular expression: {trouble}")


@lru_cache(maxsize=256)
def _trouble(pattern: str) -> str | None:
    try:
        with duckdb.connect() as connection:
            connection.execute(sql.read("groups/try_pattern"), {"pattern": pattern})
    except duckdb.Error as error:
        return str(error).partition(": ")[2]
    return None

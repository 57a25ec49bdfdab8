"""Conditions that are picked out of what was seen: a list of tokens, of types, a span of change."""

from dataclasses import dataclass

from queries.errors import GroupError
from queries.templates.base import Template
from queries.templates.checks import (
    check_amount,
    check_choice,
    check_filled,
    check_number,
    check_range,
)

CHANGED = {
    "fell": "{before} - {after}",
    "rose": "{after} - {before}",
    "moved": "abs({after} - {before})",
}


@dataclass(frozen=True)
class Rows(Template):
    """These token occurrences, by their rows."""

    rows: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_numbers("rows", self.rows)

    def sql(self) -> str:
        return f"row in ({', '.join(map(str, self.rows))})"

    def phrase(self) -> str:
        return f"of {len(self.rows):,} chosen row{'s' if len(self.rows) > 1 else ''}"


@dataclass(frozen=True)
class TokenTypes(Template):
    """All occurrences of these token types."""

    token_ids: tuple[int, ...]

    def __post_init__(self) -> None:
        _check_numbers("token_ids", self.token_ids)

    def sql(self) -> str:
        return f"token_id in ({', '.join(map(str, self.token_ids))})"

    def phrase(self) -> str:
        many = len(self.token_ids)
        return f"of {many:,} chosen token type{'s' if many > 1 else ''}"


@dataclass(frozen=True)
class Changed(Template):
    """Tokens whose loss moved by more than `least` nats between two checkpoints."""

    first: int
    last: int
    least: float
    how: str = "moved"
    """fell, rose or moved"""

    def __post_init__(self) -> None:
        check_range("checkpoints", self.first, self.last)
        check_amount("change", self.least)
        check_choice("how", self.how, list(CHANGED))

    def sql(self) -> str:
        before, after = (f"loss_at(row, {step})" for step in (self.first, self.last))
        return f"{CHANGED[self.how].format(before=before, after=after)} > {self.least!r}"

    def phrase(self) -> str:
        return (
            f"whose loss {self.how} by more than {self.least:g} nats from step {self.first:,} "
            f"to {self.last:,}"
        )


@dataclass(frozen=True)
class ChangedBetween(Template):
    """Tokens whose loss changed by `low` to `high` nats, last minus first, in a region."""

    first: int
    last: int
    low: float
    high: float

    def __post_init__(self) -> None:
        check_range("checkpoints", self.first, self.last)
        for name, value in (("low", self.low), ("high", self.high)):
            check_amount(name, abs(value) if isinstance(value, int | float) else value)
        if self.low > self.high:
            raise GroupError(f"changes {self.low:g} to {self.high:g}: the smaller comes first")

    def sql(self) -> str:
        change = f"loss_at(row, {self.last}) - loss_at(row, {self.first})"
        return f"{change} between {self.low!r} and {self.high!r}"

    def phrase(self) -> str:
        return (
            f"whose loss changed by {self.low:+g} to {self.high:+g} nats from step {self.first:,} "
            f"to {self.last:,}"
        )


def _check_numbers(name: str, values: tuple[int, ...]) -> None:
    check_filled(name, values)
    for value in values:
        check_number(name, value)

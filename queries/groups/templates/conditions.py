"""Conditions on tokens as data: each renders to SQL for the store and to a sentence for people.

    >>> group = And((Words(("Obama", "Bush")), Not(WordStart())))
    >>> group.sql()
    "word in ('Obama', 'Bush') and (is_word_start) is not true"
    >>> group.sentence()
    'Tokens of the words "Obama" or "Bush" and other than those that start a word.'

`combined` has Not, And and Or. Invalid fields raise GroupError.
"""

from dataclasses import dataclass

from queries.errors import GroupError
from queries.groups.templates.base import (
    Template,
    check_amount,
    check_choice,
    check_filled,
    check_number,
    check_pattern,
    check_range,
    check_text,
    check_texts,
    either,
    joined,
    literal,
    literals,
    shown,
)

SEEN = {
    "token": ("seen_before", "that occurred"),
    "bigram": ("bigram_seen_before", "whose last two tokens occurred together"),
    "trigram": ("trigram_seen_before", "whose last three tokens occurred together"),
}
MATCHED = {"token_str": "text", "word": "word"}


@dataclass(frozen=True)
class Position(Template):
    """The token at one position of its doc."""

    position: int

    def __post_init__(self) -> None:
        check_number("position", self.position)

    def sql(self) -> str:
        return f"position = {self.position}"

    def phrase(self) -> str:
        return f"at position {self.position:,}"


@dataclass(frozen=True)
class PositionRange(Template):
    """Positions `first` to `last`, both included."""

    first: int
    last: int

    def __post_init__(self) -> None:
        check_range("positions", self.first, self.last)

    def sql(self) -> str:
        return f"position between {self.first} and {self.last}"

    def phrase(self) -> str:
        return f"at positions {self.first:,} to {self.last:,}"


@dataclass(frozen=True)
class WordStart(Template):
    """Tokens that start a word."""

    def sql(self) -> str:
        return "is_word_start"

    def phrase(self) -> str:
        return "that start a word"


@dataclass(frozen=True)
class Words(Template):
    """Tokens of these words (case-sensitive), however many tokens a word has."""

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        check_texts("words", self.words)

    def sql(self) -> str:
        return f"word in ({literals(self.words)})"

    def phrase(self) -> str:
        return f"of the {either('word', self.words)}"


@dataclass(frozen=True)
class Pattern(Template):
    """Tokens whose text, or whose word, contains a match of a regular expression (RE2's syntax)."""

    pattern: str
    column: str = "token_str"

    def __post_init__(self) -> None:
        check_choice("column", self.column, list(MATCHED))
        check_pattern(self.pattern)

    def sql(self) -> str:
        return f"regexp_matches({self.column}, {literal(self.pattern)})"

    def phrase(self) -> str:
        return f"whose {MATCHED[self.column]} matches {shown(self.pattern)}"


@dataclass(frozen=True)
class Frequency(Template):
    """Tokens that occur `least` to `most` times in the whole text, both included."""

    least: int = 1
    most: int | None = None

    def __post_init__(self) -> None:
        check_range("frequencies", self.least, self.most)

    def sql(self) -> str:
        return _between("corpus_count", self.least, self.most)

    def phrase(self) -> str:
        most = "or more" if self.most is None else f"to {self.most:,}"
        return f"that occur {self.least:,} {most} times in the text"


@dataclass(frozen=True)
class SeenBefore(Template):
    """Tokens seen before in their doc, alone or with the one or two tokens before them."""

    what: str = "token"
    """token, bigram or trigram"""
    least: int = 1

    def __post_init__(self) -> None:
        check_choice("what", self.what, list(SEEN))
        check_number("least", self.least)

    def sql(self) -> str:
        return f"{SEEN[self.what][0]} >= {self.least}"

    def phrase(self) -> str:
        times = "time" if self.least == 1 else "times"
        return f"{SEEN[self.what][1]} at least {self.least:,} {times} earlier in their doc"


@dataclass(frozen=True)
class Docs(Template):
    """All tokens of these docs."""

    docs: tuple[int, ...]

    def __post_init__(self) -> None:
        check_filled("docs", self.docs)
        for doc in self.docs:
            check_number("doc", doc)

    def sql(self) -> str:
        return f"doc in ({', '.join(map(str, self.docs))})"

    def phrase(self) -> str:
        return f"of doc{'s' if len(self.docs) > 1 else ''} {joined(list(map(str, self.docs)))}"


@dataclass(frozen=True)
class Sources(Template):
    """All tokens of these source documents."""

    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        check_texts("sources", self.sources)

    def sql(self) -> str:
        return f"source in ({literals(self.sources)})"

    def phrase(self) -> str:
        return f"of the {either('source document', self.sources)}"


@dataclass(frozen=True)
class Previous(Template):
    """Tokens directly after one of these, which are given with their leading spaces."""

    tokens: tuple[str, ...]

    def __post_init__(self) -> None:
        check_texts("tokens", self.tokens)

    def sql(self) -> str:
        return f"prev_token_str in ({literals(self.tokens)})"

    def phrase(self) -> str:
        return f"directly after the {either('token', self.tokens)}"


@dataclass(frozen=True)
class WordPart(Template):
    """The `first` to `last` token of a word, both included, counting from 0."""

    first: int = 1
    last: int | None = None

    def __post_init__(self) -> None:
        check_range("parts of a word", self.first, self.last)

    def sql(self) -> str:
        return _between("word_part", self.first, self.last)

    def phrase(self) -> str:
        number = f"number {self.first + 1:,}"
        if self.last is None:
            number += " or later"
        elif self.last > self.first:
            number += f" to {self.last + 1:,}"
        return f"that are {number} among their word's tokens"


@dataclass(frozen=True)
class Written(Template):
    """Tokens for which a condition in SQL holds; the store checks the condition."""

    condition: str

    def __post_init__(self) -> None:
        check_text("condition", self.condition)
        if not self.condition.strip():
            raise GroupError("the condition is empty: write one such as position = 500")

    def sql(self) -> str:
        return f"(\n{self.condition}\n)"  # on its own lines, as it may end in a comment

    def phrase(self) -> str:
        return f"for which {' '.join(self.condition.split())}"


def _between(column: str, first: int, last: int | None) -> str:
    return f"{column} >= {first}" if last is None else f"{column} between {first} and {last}"


# Conditions made by selection: lists of tokens or types, and ranges of change.

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
        return f"of {len(self.rows):,} selected row{'s' if len(self.rows) > 1 else ''}"


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
        return f"of {many:,} selected token type{'s' if many > 1 else ''}"


@dataclass(frozen=True)
class Changed(Template):
    """Tokens whose loss changed by more than `least` nats between two checkpoints."""

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
            raise GroupError(
                f"changes {self.low:g} to {self.high:g} are in the wrong order: "
                "the smaller comes first"
            )

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

"""Groups as data: each template renders to SQL for the store and to a sentence for people."""

from queries.groups.templates.base import Template
from queries.groups.templates.combined import And, Not, Or
from queries.groups.templates.conditions import (
    Changed,
    ChangedBetween,
    Docs,
    Frequency,
    Pattern,
    Position,
    PositionRange,
    Previous,
    Rows,
    SeenBefore,
    Sources,
    TokenTypes,
    WordPart,
    Words,
    WordStart,
    Written,
)
from queries.groups.templates.data import from_data, from_json, to_data, to_json

__all__ = [
    "And",
    "Changed",
    "ChangedBetween",
    "Docs",
    "Frequency",
    "Not",
    "Or",
    "Pattern",
    "Position",
    "PositionRange",
    "Previous",
    "Rows",
    "SeenBefore",
    "Sources",
    "Template",
    "TokenTypes",
    "WordPart",
    "WordStart",
    "Words",
    "Written",
    "from_data",
    "from_json",
    "to_data",
    "to_json",
]

"""Groups as data: each renders to SQL for the store and to a sentence for people; see `kinds`."""

from queries.templates.base import Template
from queries.templates.combined import And, Not, Or
from queries.templates.data import from_data, from_json, to_data, to_json
from queries.templates.kinds import (
    Docs,
    Frequency,
    Pattern,
    Position,
    PositionRange,
    Previous,
    SeenBefore,
    Sources,
    WordPart,
    Words,
    WordStart,
    Written,
)
from queries.templates.selected import Changed, ChangedBetween, Rows, TokenTypes

__all__ = [
    "And", "Changed", "ChangedBetween", "Docs", "Frequency", "Not", "Or", "Pattern", "Position",
    "PositionRange", "Previous", "Rows", "SeenBefore", "Sources", "Template", "TokenTypes",
    "WordPart", "WordStart", "Words", "Written", "from_data", "from_json", "to_data", "to_json",
]  # fmt: skip

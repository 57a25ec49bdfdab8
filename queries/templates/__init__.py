"""Groups as data: each renders to SQL for the store and to a sentence for people; see `kinds`."""

from queries.templates.data import from_data, from_json, to_data, to_json
from queries.templates.kinds import (
    And,
    Docs,
    Frequency,
    Not,
    Or,
    Pattern,
    Position,
    PositionRange,
    Previous,
    SeenBefore,
    Sources,
    Template,
    WordPart,
    Words,
    WordStart,
)

__all__ = [
    "And", "Docs", "Frequency", "Not", "Or", "Pattern", "Position", "PositionRange", "Previous",
    "SeenBefore", "Sources", "Template", "WordPart", "WordStart", "Words", "from_data",
    "from_json", "to_data", "to_json",
]  # fmt: skip

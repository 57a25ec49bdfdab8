"""Invalid templates and data that are not templates get sentences."""

from collections.abc import Callable
from typing import Any

import pytest

from queries import GroupError
from queries.groups.templates import (
    And,
    Changed,
    ChangedBetween,
    Docs,
    Frequency,
    Not,
    Or,
    Pattern,
    Position,
    PositionRange,
    Rows,
    SeenBefore,
    TokenTypes,
    Words,
    Written,
)
from queries.groups.templates.data import DEEPEST, from_data, from_json


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: PositionRange(69, 31), "positions 69 to 31 are in the wrong order: the smaller"),
        (lambda: Frequency(5, 4), "frequencies 5 to 4 are in the wrong order"),
        (lambda: Position(-1), "the position is -1: expected a non-negative integer"),
        (lambda: Position(2**63), "expected a non-negative integer"),
        (lambda: Position(True), "the position is True: expected a non-negative integer"),
        (lambda: Position("500"), "the position is '500': expected a non-negative integer"),
        (lambda: Words(()), "the list of words is empty: name at least one"),
        (lambda: Words("Obama"), "the words are 'Obama': expected a list"),
        (lambda: Words((1,)), "1 among the words is not a text"),
        (lambda: Words(("\ud800",)), "is not valid Unicode text"),
        (lambda: Docs(()), "the list of docs is empty"),
        (lambda: Docs((0.5,)), "the doc is 0.5: expected a non-negative integer"),
        (lambda: Pattern("("), r'"\(" is not a regular expression: missing \)'),
        (lambda: Pattern("(?=a)"), "is not a regular expression: invalid perl operator"),
        (lambda: Pattern("a", "text"), "the column is 'text': expected one of token_str, word"),
        (lambda: Pattern(None), "None among the pattern is not a text"),
        (lambda: ChangedBetween(8, 400, 2.0, 1.0), r"changes 2 to 1 are in the wrong order"),
        (
            lambda: ChangedBetween(8, 400, None, 1.0),
            "the low is None: expected a non-negative number",
        ),
        (lambda: Rows(()), "the list of rows is empty"),
        (lambda: TokenTypes((-1,)), "the token_ids is -1: expected a non-negative integer"),
        (lambda: Changed(400, 8, 1), "checkpoints 400 to 8 are in the wrong order"),
        (lambda: Changed(8, 400, -1.0), "the change is -1.0: expected a non-negative number"),
        (lambda: Changed(8, 400, float("nan")), "expected a non-negative number"),
        (lambda: Changed(8, 400, 1, "sank"), "expected one of fell, rose, moved"),
        (lambda: Written(" "), "the condition is empty"),
        (lambda: SeenBefore("fourgram"), "expected one of token, bigram, trigram"),
        (lambda: And(()), "the list of groups that and joins is empty"),
        (lambda: Or((Position(1), "true")), "'true' is not a group: expected a template"),
        (lambda: Not("true"), "'true' is not a group"),
    ],
)
def test_mistakes_get_sentences(make: Callable[..., Any], complaint: str) -> None:
    with pytest.raises(GroupError, match=complaint):
        make()


DEEP: dict[str, object] = {"kind": "word_start"}
for _ in range(DEEPEST):
    DEEP = {"kind": "not", "of": DEEP}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (None, "None is not a group: expected a kind among position, position_range"),
        ({}, "is not a group: expected a kind"),
        ({"kind": ["position"]}, "is not a group: expected a kind"),
        ({"kind": "sql", "sql": "true"}, "is not a group: expected a kind"),
        ({"kind": "position"}, "of the kind position has position, found none"),
        ({"kind": "word_start", "x": 1}, "word_start has no more fields, found 'x'"),
        ({"kind": "words", "words": {"kind": "word_start"}}, "expected a list"),
        ({"kind": "words", "words": [["a"]]}, "among the words is not a text"),
        ({"kind": "and", "of": ["true"]}, "'true' is not a group"),
        ({"kind": "not", "of": [{"kind": "word_start"}]}, "is not a group: expected a template"),
        (DEEP, "nested more than 20 levels deep: simplify it"),
    ],
)
def test_data_that_is_not_a_template_is_refused(data: Any, complaint: str) -> None:
    with pytest.raises(GroupError, match=complaint):
        from_data(data)


@pytest.mark.parametrize("text", ["", "{", "1e5", '"a"', "[" * 10_000, '{"kind": NaN}'])
def test_json_that_is_not_a_template_is_refused(text: str) -> None:
    with pytest.raises(GroupError, match="is not a group"):
        from_json(text)

"""The questions of the report's Figures 1 to 6, as pairs of groups on any store."""

from dataclasses import dataclass

from queries.store import Store

SHORTEST = 16
"""Positions of a text in which early and late ones can be set apart."""


@dataclass(frozen=True)
class Question:
    """Is the group `first` learned otherwise than `second`? Names and WHERE clauses.

    `numbers` are the report's figures: the means, and their difference. `letter` tells what the
    report has no figure of. `absent` is said where a group has no token.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    numbers: tuple[int, int]
    letter: str
    heading: str
    absent: str
    rare: bool = False
    """Is the first group of rare tokens, so that rarity might be all that is seen?"""


def positions(store: Store) -> list[Question]:
    """The 500th token against the 50th, and more tokens: late positions against early ones."""
    exact = Question(
        ("500th tokens", "position = 500"), ("50th tokens", "position = 50"), (1, 2), "",
        "as in the report", "no token stands at position 500 and at 50",
    )  # fmt: skip
    longest = int(store.facts["position"].max())
    if longest < SHORTEST:
        return [exact]
    late, low, high = int(0.94 * longest), int(0.06 * longest) + 1, int(0.136 * longest)
    steadier = Question(
        (f"late tokens (position over {late})", f"position > {late}"),
        (f"early tokens (position {low} to {high})", f'"position" between {low} and {high}'),
        (1, 2), "b", "more tokens: late positions against early ones",
        "no token stands at late and at early positions",
    )  # fmt: skip
    return [exact, steadier]


def words() -> list[Question]:
    """Tokens that do not start a word against those that do; and as the original code had it."""
    return [
        Question(
            ("tokens inside words", "not is_word_start"), ("word starts", "is_word_start"),
            (3, 4), "", "as described", "every token starts a word, or none does",
        ),
        Question(
            ("tokens after one without a leading blank", "not starts_with(prev_token_str, ' ')"),
            ("tokens after one with it", "starts_with(prev_token_str, ' ')"),
            (3, 4), "b", "as the original code computed it: the token after",
            "the tokens before are all of one kind",
        ),
    ]  # fmt: skip


def surnames(store: Store, few: bool) -> list[Question]:
    """Presidents' surnames against all other tokens; of all presidents too, where `few`."""
    kinds = [("the six surnames", "surnames_report", "", "b")]
    if few:
        kinds.append(("all presidents' surnames", "surnames_presidents", "c", "d"))
    found = []
    for name, group, own, after in kinds:
        clause = store.groups.clause(group)
        found += [
            _surnames(f"tokens of {name}", clause, own, "the surname's own loss"),
            _surnames(
                f"tokens after one of {name}", _after(clause), after,
                "as the original code computed it: the token after the surname",
            ),
        ]  # fmt: skip
    return found


def _surnames(name: str, clause: str, letter: str, heading: str) -> Question:
    others = ("all other tokens", f"(\n{clause}\n) is not true")
    absent = f"this text has no {name}"
    return Question((name, clause), others, (5, 6), letter, heading, absent, rare=True)


def _after(clause: str) -> str:
    """The tokens after single-token surnames, where the clause is one on `word`."""
    return clause.replace("word in", "trim(prev_token_str) in", 1)

"""Templates: their SQL selects what plain Python does; mistakes get sentences."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queries import Store
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
    Previous,
    Rows,
    SeenBefore,
    Sources,
    Template,
    TokenTypes,
    WordPart,
    Words,
    WordStart,
    Written,
)
from queries.groups.templates.conditions import CHANGED
from queries.groups.templates.data import KINDS, from_data, from_json, to_data, to_json
from tests.queries.support.stores import VOCABULARY

HOSTILE = [
    "'", "''", "\\", "' or true --", "'); drop table token_rows; --", "\x00", "a\x00b", "\n",
    "\r\n", "{clause}", "$1", "?", "%", "/*", "--", '"', "e'\\n'", "🙂", "\u2028", "",
]  # fmt: skip
texts = st.one_of(
    st.sampled_from(VOCABULARY + HOSTILE),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
SOURCES = ["source 0", "source 3", "source 9", "'"]
some_texts = st.lists(texts, min_size=1, max_size=4).map(tuple)
small = st.integers(0, 40)
pairs = st.tuples(small, small).map(sorted)
open_pairs = st.one_of(pairs, st.tuples(small, st.none()))
patterns = st.one_of(
    st.sampled_from(["", "^ ", "[A-Z]", "e|o", "^.{2,4}$", r"\bno", "(?i)noon", "ï", r"\x00"]),
    texts.map(re.escape),
)
LEAVES = st.one_of(
    st.builds(Position, small),
    pairs.map(lambda p: PositionRange(*p)),
    st.builds(WordStart),
    st.builds(Words, some_texts),
    st.builds(Pattern, patterns, st.sampled_from(["token_str", "word"])),
    open_pairs.map(lambda p: Frequency(*p)),
    st.builds(SeenBefore, st.sampled_from(["token", "bigram", "trigram"]), st.integers(0, 3)),
    st.builds(Docs, st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple)),
    st.builds(Sources, st.lists(st.sampled_from(SOURCES), min_size=1).map(tuple)),
    st.builds(Previous, some_texts),
    open_pairs.map(lambda p: WordPart(*p)),
    st.builds(Changed, st.just(8), st.just(400), st.floats(0, 2), st.sampled_from(sorted(CHANGED))),
    st.tuples(st.floats(-3, 3), st.floats(-3, 3)).map(
        lambda p: ChangedBetween(8, 400, min(p), max(p))
    ),
    st.builds(Rows, st.lists(small, min_size=1).map(tuple)),
    st.builds(TokenTypes, st.lists(small, min_size=1).map(tuple)),
    st.just(Written("position % 3 = 1 -- every third")),
)
TEMPLATES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(And, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=6,
)
quickly = settings(
    max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)


@pytest.fixture(scope="module")
def tokens(store: Store) -> list[dict[str, Any]]:
    return facts(store)


def facts(store: Store) -> list[dict[str, Any]]:
    frame = store.sql("select * exclude (text) from tokens order by row").astype(object)
    frame["change"] = store.matrix.column(400) - store.matrix.column(8)
    return frame.where(frame.notna(), None).to_dict("records")


def holds(group: dict[str, Any], token: dict[str, Any]) -> bool:
    """Whether a token is in a group given as plain data, from the templates' docstrings."""
    word, part, previous = token["word"], token["word_part"], token["prev_token_str"]
    last = group.get("last", group.get("most"))
    match group["kind"]:
        case "position":
            return token["position"] == group["position"]
        case "position_range":
            return group["first"] <= token["position"] <= group["last"]
        case "word_start":
            return token["is_word_start"]
        case "words":
            return word in group["words"]
        case "pattern":
            text = token[group["column"]]
            return text is not None and re.search(group["pattern"], text) is not None
        case "frequency":
            return group["least"] <= token["corpus_count"] <= (np.inf if last is None else last)
        case "seen_before":
            prefix = "" if group["what"] == "token" else f"{group['what']}_"
            return token[f"{prefix}seen_before"] >= group["least"]
        case "docs":
            return token["doc"] in group["docs"]
        case "sources":
            return token["source"] in group["sources"]
        case "previous":
            return previous in group["tokens"]
        case "word_part":
            end = np.inf if last is None else last
            return part is not None and group["first"] <= part <= end
        case "changed":
            assert (group["first"], group["last"]) == (8, 400)
            signed = {"fell": -token["change"], "rose": token["change"]}
            return signed.get(group["how"], abs(token["change"])) > group["least"]
        case "changed_between":
            assert (group["first"], group["last"]) == (8, 400)
            return group["low"] <= token["change"] <= group["high"]
        case "rows":
            return token["row"] in group["rows"]
        case "token_types":
            return token["token_id"] in group["token_ids"]
        case "written":
            return token["position"] % 3 == 1
        case "not":
            return not holds(group["of"], token)
        case "and":
            return all(holds(g, token) for g in group["of"])
        case "or":
            return any(holds(g, token) for g in group["of"])
    raise AssertionError(group["kind"])


@quickly
@given(TEMPLATES)
def test_members_are_those_of_plain_python(
    store: Store, tokens: list[dict[str, Any]], template: Template
) -> None:
    group = to_data(template)
    expected = [token["row"] for token in tokens if holds(group, token)]
    assert store.members(template.sql()).tolist() == expected


@quickly
@given(TEMPLATES)
def test_a_template_round_trips_through_its_data(template: Template) -> None:
    assert from_data(to_data(template)) == template
    assert from_json(to_json(template)) == template


def test_members_in_real_text_are_those_of_plain_python(demo: Store) -> None:
    tokens = facts(demo)[:8_000]
    for template, _, _ in WORDED:
        group = to_data(template)
        expected = [token["row"] for token in tokens if holds(group, token)]
        found = demo.members(template.sql())
        assert found[found < len(tokens)].tolist() == expected, template


WORDED = [
    (Position(500), "position = 500", "Tokens at position 500."),
    (PositionRange(31, 69), "position between 31 and 69", "Tokens at positions 31 to 69."),
    (WordStart(), "is_word_start", "Tokens that start a word."),
    (Words(("O'Neill",)), "word in ('O''Neill')", 'Tokens of the word "O\'Neill".'),
    (Words(("a", "b", "c")), "word in ('a', 'b', 'c')",
     'Tokens of the words "a", "b" or "c".'),
    (Pattern("^ [A-Z]"), "regexp_matches(token_str, '^ [A-Z]')",
     'Tokens whose text matches "^ [A-Z]".'),
    (Pattern("ing$", "word"), "regexp_matches(word, 'ing$')",
     'Tokens whose word matches "ing$".'),
    (Frequency(2, 10), "corpus_count between 2 and 10",
     "Tokens that occur 2 to 10 times in the text."),
    (Frequency(1000), "corpus_count >= 1000",
     "Tokens that occur 1,000 or more times in the text."),
    (SeenBefore(), "seen_before >= 1",
     "Tokens that occurred at least 1 time earlier in their doc."),
    (SeenBefore("trigram", 2), "trigram_seen_before >= 2",
     "Tokens whose last three tokens occurred together at least 2 times earlier in their doc."),
    (Docs((3, 4)), "doc in (3, 4)", "Tokens of docs 3 or 4."),
    (Sources(("1981 Reagan",)), "source in ('1981 Reagan')",
     'Tokens of the source document "1981 Reagan".'),
    (Previous((" the", "\n")), "prev_token_str in (' the', '\n')",
     r'Tokens directly after the tokens " the" or "\n".'),
    (WordPart(), "word_part >= 1",
     "Tokens that are number 2 or later among their word's tokens."),
    (WordPart(0, 1), "word_part between 0 and 1",
     "Tokens that are number 1 to 2 among their word's tokens."),
    (Changed(8, 400, 1.5), "abs(loss_at(row, 400) - loss_at(row, 8)) > 1.5",
     "Tokens whose loss moved by more than 1.5 nats from step 8 to 400."),
    (Changed(8, 400, 0, "fell"), "loss_at(row, 8) - loss_at(row, 400) > 0",
     "Tokens whose loss fell by more than 0 nats from step 8 to 400."),
    (ChangedBetween(8, 400, -1.5, 2.0),
     "loss_at(row, 400) - loss_at(row, 8) between -1.5 and 2.0",
     "Tokens whose loss changed by -1.5 to +2 nats from step 8 to 400."),
    (Rows((3, 5)), "row in (3, 5)", "Tokens of 2 selected rows."),
    (TokenTypes((7,)), "token_id in (7)", "Tokens of 1 selected token type."),
    (Written("position % 3 = 1\n-- every third"), "(\nposition % 3 = 1\n-- every third\n)",
     "Tokens for which position % 3 = 1 -- every third."),
    (Or((Position(1), WordPart(2, 2))), "position = 1 or word_part between 2 and 2",
     "Tokens at position 1 or that are number 3 among their word's tokens."),
    (Not(WordStart()), "(is_word_start) is not true",
     "Tokens other than those that start a word."),
    (And((Or((Position(1), Position(2))), Not(WordStart()))),
     "(position = 1 or position = 2) and (is_word_start) is not true",
     "Tokens (at position 1 or at position 2) and (other than those that start a word)."),
]  # fmt: skip


def test_every_kind_of_template_has_a_sentence() -> None:
    assert {type(template) for template, _, _ in WORDED} == set(KINDS.values())


@pytest.mark.parametrize(("template", "sql", "sentence"), WORDED)
def test_sql_and_sentence(template: Template, sql: str, sentence: str) -> None:
    assert template.sql() == sql
    assert template.sentence() == sentence


def test_a_group_and_its_complement_partition_the_tokens(store: Store) -> None:
    both = [store.members(t.sql()) for t in (Words((" x", "Obama")), Not(Words((" x", "Obama"))))]
    assert sorted(np.concatenate(both)) == list(range(store.manifest.n_tokens))
    assert len(both[1]) > len(store.members("not (word in (' x', 'Obama'))"))  # NULL words

"""Valid clauses, and the error for an invalid one, which suggests what was meant."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from queries import GroupError, Store
from tests.queries.support.stores import build_store

FUNCTIONS = '''
"""A user's functions."""

import math

def reciprocal(number: int) -> float:
    return 1 / (number - 3)

def forgetful(token_str: str) -> bool:
    if token_str != " Obama":
        return True

def is_long(token_str: str) -> bool:
    return len(token_str) > 4

def _hidden(token_str: str) -> bool:
    return True
'''


@pytest.fixture(scope="module")
def extended(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The small store with a user's functions."""
    path = tmp_path_factory.mktemp("functions") / "own.py"
    path.write_text(FUNCTIONS)
    return Store(folder, functions=path)


@pytest.mark.parametrize(
    ("clause", "sentence"),
    [
        ("positoin = 500", "no column positoin: did you mean position[?] .*single quotes"),
        ("is_wordstart and row < 3", "no column is_wordstart: did you mean is_word_start"),
        ("trigram_seen > 0", "no column trigram_seen: did you mean trigram_seen_before"),
        ("POSITOIN = 500", "no column POSITOIN: did you mean position"),
        ("Yaer > 1900", "no column Yaer: did you mean year"),  # of docs
        ("zzz = 1", "no column zzz: there are row, doc, position, .*corpus_count.* year"),
        ('token_str = " Obama"', "no column  Obama; write text in single quotes: ' Obama'"),
        ("random() < 0.5", "random gives new values at every call.*hash"),
        ("position > 1 and uuid() > 'a'", "uuid gives new values"),
        ("position", "`position` is of type INTEGER, not true or false: .*position = 500"),
        ("token_str", "is of type VARCHAR, not true or false"),
        ("null", 'is of type "NULL", not true or false'),
        ("loss_at(row, 4)", "is of type FLOAT, not true or false"),
        ("position = 1, true", "is more than one expression: expected one condition such as"),
        ("true) or (false", 'syntax error at or near "[)]" at character 5; expected one condition'),
        ("position = 1 and", "syntax error .*; expected one condition such as position = 500"),
        ("position = 1;", 'near ";" at character 13; expected one condition'),
        ("word = 'Ω漢🎉", "`word = 'Ω漢🎉`: unterminated string .* at character 8; expected one"),
        ("", "the group is empty: write a condition such as position = 500"),
        (" \n\t", "the group is empty"),
        ("-- position = 1", "expected one condition such as"),
        (
            "loss > 2",
            r"no column loss, since .* at each checkpoint: write loss_at\(row, 1000\) > 2",
        ),
        ('tokens."Loss" > 2', r"no column loss, since .*: write loss_at\(row, 1000\)"),
        ("loss_at(row, 3) > 1", "checkpoint 3 is not in the store: the nearest are 2 and 4"),
        ("is_palindrom(token_str)", "there is no function is_palindrom"),
        ("_hidden(token_str)", "there is no function _hidden"),
        ("sqrt(is_long(token_str))", "cannot be evaluated: .*sqrt"),
        ("position = 'abc'", "cannot be evaluated: .*'abc'"),
        ("avg(position) > 2", "cannot be evaluated: .*aggregates"),
        ("exists (select 1 from nowhere)", "cannot be evaluated: .*nowhere"),
        ("reciprocal(position) > 0", "function reciprocal failed for 3: ZeroDivisionError: divi"),
        ("forgetful(token_str)", "function forgetful failed for ' Obama': it returned None"),
    ],
)
def test_an_invalid_clause_gets_a_sentence(extended: Store, clause: str, sentence: str) -> None:
    with pytest.raises(GroupError, match=f"(?i){sentence}") as refused:
        extended.members(clause)
    assert "LINE" not in str(refused.value)


def test_a_long_clause_is_abbreviated(store: Store) -> None:
    clause = " + ".join(["position"] * 100)
    with pytest.raises(GroupError, match=r"`position \+ pos.{63}…` is of type"):
        store.members(clause)


@pytest.mark.parametrize(
    ("clause", "same"),
    [
        ("position = 1 -- x", "position = 1"),
        ("/* the first */ position = 1 /* of each doc */", "position = 1"),
        ("-- first\nposition = 1", "position = 1"),
        ("position = 1 -- x\n or position = 2", "position in (1, 2)"),
        ("\n\n  POSITION\t= 1\n", "position = 1"),
        ('"position" = 1', "position = 1"),
        ("tokens.position = 1", "position = 1"),
        ("token_str = ' naïve'", "word = 'naïve'"),
        (
            "token_str = ' nai' || chr(776) || 've'",
            "false",
        ),  # another normal form
        ("token_str = '<0xE2>'", "starts_with(token_str, '<')"),
        ("token_str = '''' or token_str = '%'", "token_str in ('''', '%')"),
        ("contains(token_str, '--')", "false"),
        (
            "position = (select max(position) from tokens)",
            "not exists (from tokens t where t.position > tokens.position)",
        ),
        (
            "doc in (select doc from tokens where token_str = '%')",
            "exists (from tokens t where t.doc = tokens.doc and t.token_str = '%')",
        ),
        (
            "exists (from losses l where l.doc = tokens.doc and l.position = tokens.position"
            " and l.checkpoint = 4 and l.loss > 4)",
            "loss_at(row, 4) > 4",
        ),
        ("is_long(token_str)", "len(token_str) > 4"),
        ("null::boolean", "false"),
        ("case when position = 1 then true end", "position = 1"),
    ],
)
def test_a_clause_selects_what_it_says(extended: Store, clause: str, same: str) -> None:
    assert extended.members(clause).tolist() == extended.members(same).tolist()


def test_those_comparisons_select_tokens(extended: Store) -> None:
    for clause in ("position = 1", "word = 'naïve'", "token_str = '%'", "loss_at(row, 4) > 4"):
        assert 0 < len(extended.members(clause)) < extended.manifest.n_tokens


@pytest.mark.parametrize("clause", ["false", "position = 999", "word = 'Ω漢字🎉'", "null::boolean"])
def test_a_clause_without_tokens_has_no_members_and_no_mean(store: Store, clause: str) -> None:
    assert store.members(clause).tolist() == []
    n = f"{store.manifest.n_tokens:,}"
    for ask in (
        lambda: store.trajectories({"g": clause}),
        lambda: store.difference("true", clause),
        lambda: store.difference(clause, "true"),
        lambda: store.zoom(0, 8, clause),
    ):
        with pytest.raises(GroupError, match=f"`{clause}` selects none of the {n} tokens: widen"):
            ask()


@pytest.mark.parametrize(
    ("clause", "instead"),
    [
        ("meta.url = 'u1'", "(meta->>'$.url') = 'u1'"),
        ("meta.at.year = 1861", "(meta->>'$.at.year') = '1861'"),
        ("position > 0 and META . at . year = 1861", "(meta->>'$.at.year') = '1861'"),
    ],
)
def test_the_error_for_a_nested_field_shows_how_to_write_it(
    tmp_path: Path, clause: str, instead: str
) -> None:
    root = build_store(tmp_path / "store")
    docs = pq.read_table(root / "docs.parquet")
    texts = [f'{{"url": "u{n}", "at": {{"year": {1860 + n}}}}}' for n in range(docs.num_rows)]
    pq.write_table(docs.append_column("meta", pa.array(texts)), root / "docs.parquet")
    store = Store(root)
    with pytest.raises(GroupError) as caught:
        store.members(clause)
    assert instead.partition(" = ")[0] in str(caught.value)
    assert set(store.facts.iloc[store.members(instead)]["doc"]) == {1}

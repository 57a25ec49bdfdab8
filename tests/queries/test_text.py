"""Docs in pieces that join to the text; values, ranks and the largest values equal plain numpy."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from queries import QueryError, Store
from queries import text as texts
from queries.catalog import sql_scripts
from store.layout import Layout
from tests.queries.support.catalogs import ask
from tests.queries.support.stores import PlainSql


def joined(found: texts.DocText) -> str:
    return "".join(found.tokens["before"] + found.tokens["token"]) + found.after


def test_every_docs_pieces_are_its_tokens_and_its_text(store: Store) -> None:
    docs = store.sql("select doc, text from docs order by doc")
    for doc, text in zip(docs["doc"], docs["text"], strict=True):
        found = texts.doc_text(store, int(doc))
        assert joined(found) == text
        assert found.tokens["token"].tolist() == found.tokens["token_str"].tolist()
        assert (found.tokens["before"] == "").all() and found.after == ""


def test_docs_are_listed_in_order(store: Store) -> None:
    found = texts.docs(store)
    assert found["doc"].is_monotonic_increasing
    assert found["n_tokens"].sum() == store.manifest.n_tokens
    assert found.groupby("source")["part"].apply(list).apply(lambda p: p == sorted(p)).all()


def test_text_without_a_loss_is_before_a_token_or_after_the_last(own: Path) -> None:
    # As a store with a stride, or without a BOS, has it: some text is seen and not scored.
    path = Layout(own).tokens
    tokens = pd.read_parquet(path)
    docs = pd.read_parquet(Layout(own).docs)
    docs["text"] = "not scored " + docs["text"] + " not scored either"
    tokens[["char_start", "char_end"]] += len("not scored ")
    tokens.to_parquet(path)
    docs.to_parquet(Layout(own).docs)
    found = texts.doc_text(Store(own), 0)
    assert found.tokens["before"].tolist() == ["not scored ", *[""] * (len(found.tokens) - 1)]
    assert found.after == " not scored either"
    assert joined(found) == docs["text"][0]


def test_bytes_that_are_not_a_character_are_written_as_bytes(demo: Store) -> None:
    (doc,) = demo.sql("select min(doc) as d from tokens where token_str = '<0xE2>'")["d"]
    found = texts.doc_text(demo, int(doc))
    text = demo.sql("select text from docs where doc = $doc", values={"doc": int(doc)})["text"][0]
    # Here a dash is three tokens of one byte each, and everything else is as in the text.
    assert "<0xE2><0x80><0x94>" in joined(found)
    assert joined(found).replace("<0xE2><0x80><0x94>", "—") == text


def test_a_space_outside_all_offsets_is_kept(own: Path) -> None:
    path = Layout(own).tokens
    tokens = pd.read_parquet(path)
    blank = tokens["token_str"].str.startswith(" ")
    tokens.loc[blank, "char_start"] += 1  # as some tokenizers have it
    tokens.to_parquet(path)
    store = Store(own)
    found = texts.doc_text(store, 0)
    assert joined(found) == store.sql("select text from docs where doc = 0")["text"][0]
    assert set(found.tokens["before"]) <= {"", " "}


def test_an_unknown_doc_or_token_gets_a_sentence(store: Store) -> None:
    with pytest.raises(QueryError, match="there is no doc 99999: docs are numbered from 0 to"):
        texts.doc_text(store, 99999)
    with pytest.raises(QueryError, match="there is no token 99999: rows are numbered from 0 to"):
        texts.token(store, 99999)


def test_values_are_losses_or_changes(store: Store, plain: PlainSql) -> None:
    losses = store.sql("select loss from losses where checkpoint = 400")["loss"]
    np.testing.assert_array_equal(texts.values(store, [400]), losses)
    changes = plain.changes(8, 1000, "true")["change"]
    np.testing.assert_allclose(texts.values(store, [8, 1000]), changes, atol=1e-6)
    with pytest.raises(QueryError, match="not in the store"):
        texts.values(store, [401])
    with pytest.raises(QueryError, match="is empty"):
        texts.values(store, [1000, 8])


def test_the_color_limit_excludes_a_twentieth_of_the_values() -> None:
    found = np.random.default_rng(0).normal(0, 2, 100_000)
    assert np.mean(np.abs(found) > texts.color_limit(found)) == pytest.approx(0.05, abs=0.001)
    assert texts.color_limit(np.array([0.0] * 99 + [3.0])) == 3
    assert texts.color_limit(np.zeros(4)) == 1


def test_ranks_count_from_the_farthest_value_on_the_same_side() -> None:
    found = np.array([-3.0, -1.0, 0.0, 2.0, 2.0, 5.0])
    assert texts.rank(found, 0) == texts.Rank(1, 6, -1)
    assert texts.rank(found, 1) == texts.Rank(2, 6, -1)
    assert texts.rank(found, 3) == texts.rank(found, 4) == texts.Rank(2, 6, 1)
    assert texts.rank(found, 3, np.array([2, 3])) == texts.Rank(1, 2, 1)
    assert texts.rank(found, 2).sign == 0


def test_the_largest_values_of_a_doc_and_of_the_text(store: Store, plain: PlainSql) -> None:
    values = texts.values(store, [8, 1000])
    changes = plain.changes(8, 1000, "true").set_index("row")["change"]
    fell, rose = texts.largest(store, values, 5)
    assert fell["row"].tolist() == changes.nsmallest(5).index.tolist()
    assert rose["row"].tolist() == changes.nlargest(5).index.tolist()
    rows = store.members("doc = 2")
    fell, rose = texts.largest(store, values, 1000, rows)
    assert sorted([*fell["row"], *rose["row"]]) == rows.tolist()
    assert (fell["value"] < 0).all() and fell["value"].is_monotonic_increasing
    assert set(fell["doc"]) | set(rose["doc"]) == {2}
    none, some = texts.largest(store, texts.values(store, [8]), 3)
    assert len(none) == 0 and len(some) == 3


def test_a_tokens_facts_are_its_columns(store: Store) -> None:
    facts = texts.token(store, 7)
    row = store.sql("select * from tokens where row = 7").iloc[0]
    assert facts["token_str"] == row["token_str"] and facts["year"] == row["year"]
    assert "text" not in facts and facts["seen_before"] == row["seen_before"]


def test_a_trajectory_equals_plain_sql(store: Store) -> None:
    store.make_catalog()
    script = sql_scripts.token_trajectories([7])
    theirs = ask(Layout(store.path).catalog, script)
    ours = texts.trajectory(store, 7)
    assert list(ours) == list(theirs)
    pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)


def test_words_and_phrases_are_found_where_they_begin(store: Store) -> None:
    tokens = store.facts
    some = tokens.iloc[5]
    wanted = str(some["token_str"]).strip().upper()
    rows = texts.find(store, f" {wanted} ")
    assert 5 in rows
    for at in store.context(rows[:20]).itertuples():
        assert f"{at.token}{at.after}".strip().upper().startswith(wanted)
    whole = store.context([5], after=12)
    phrase = (whole["token"] + whole["after"])[0].strip()
    assert 5 in texts.find(store, phrase)
    assert len(texts.find(store, phrase)) <= len(rows)
    assert not len(texts.find(store, "  ")) and not len(texts.find(store, "no such text'--"))

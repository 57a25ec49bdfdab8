"""Docs and tokens as DESIGN 2.1 and 2.2 say: cut, numbered, addressed, described."""

from collections import Counter

import numpy as np
import pytest
from transformers import PreTrainedTokenizerFast

from ingest.errors import IngestError
from ingest.text.corpus import Convention, Corpus, build_corpus
from ingest.text.document_names import SourceDocument
from store import schema
from tests.ingest.conftest import ODD
from tests.ingest.support.by_hand import windows_by_hand
from tests.ingest.text.test_features import seen_by_hand
from tests.models import PROSE, byte_level, metaspace, word_piece

TEXTS = [PROSE, "x", "The Congress met.", ODD]
TOKENIZERS = {"byte_level": byte_level(), "metaspace": metaspace(), "word_piece": word_piece()}


def corpus_of(
    texts: list[str],
    tokenizer: PreTrainedTokenizerFast,
    length: int = 16,
    bos: int | None = None,
    max_parts: int | None = None,
) -> Corpus:
    documents = [SourceDocument(f"text {i}", text) for i, text in enumerate(texts)]
    return build_corpus(documents, tokenizer, Convention(length, bos, max_parts))


@pytest.mark.parametrize("bos", [None, 0])
@pytest.mark.parametrize("length", [2, 3, 16, 1_000])
@pytest.mark.parametrize("max_parts", [None, 1, 2])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_windows_are_cut_as_by_hand_and_rows_follow_them(
    name: str, max_parts: int | None, length: int, bos: int | None
) -> None:
    tokenizer = TOKENIZERS[name]
    corpus = corpus_of(TEXTS, tokenizer, length, bos, max_parts)
    windows = windows_by_hand(tokenizer, TEXTS, length, bos, max_parts)
    assert [w.tolist() for w in corpus.windows] == windows
    tokens = corpus.tokens
    assert tokens["token_id"].to_pylist() == [t for w in windows for t in w[1:]]
    assert tokens["doc"].to_pylist() == [d for d, w in enumerate(windows) for _ in w[1:]]
    assert tokens["position"].to_pylist() == [i for w in windows for i in range(1, len(w))]
    assert tokens["row"].to_pylist() == list(range(tokens.num_rows))
    assert corpus.docs["n_tokens"].to_pylist() == [len(w) - 1 for w in windows]


def test_with_a_bos_the_first_token_has_position_1_and_without_it_has_no_row() -> None:
    text, bpe = "xthe Congress met", TOKENIZERS["byte_level"]
    ids = bpe.encode(text)
    for bos, first in ((0, 0), (None, 1)):
        rows = corpus_of([text], bpe, bos=bos).tokens.to_pylist()
        assert [(r["position"], r["token_id"]) for r in rows] == [
            (1 + i, token) for i, token in enumerate(ids[first:])
        ]
        assert rows[0]["prev_token_str"] == ("<|endoftext|>" if bos == 0 else "x")


@pytest.mark.parametrize("bos", [None, 0])
@pytest.mark.parametrize("name", TOKENIZERS)
def test_characters_address_the_token_in_its_docs_text(name: str, bos: int | None) -> None:
    corpus = corpus_of(TEXTS, TOKENIZERS[name], 7, bos)
    texts = corpus.docs["text"].to_pylist()
    whole = 0
    for row in corpus.tokens.to_pylist():
        found = texts[row["doc"]][row["char_start"] : row["char_end"]]
        wanted = row["token_str"]
        if "<" in wanted or "[UNK]" in wanted or wanted == " ":
            continue  # Metaspace puts a blank in front of a text, which has no characters there
        if name == "word_piece":
            found = found.lower().replace("ï", "i").replace("é", "e")
        assert found.strip() == wanted.strip()
        whole += 1
    assert whole > corpus.n_tokens / 2


@pytest.mark.parametrize("name", TOKENIZERS)
def test_docs_say_where_their_text_starts_in_the_source_document(name: str) -> None:
    texts = dict(zip((f"text {i}" for i in range(len(TEXTS))), TEXTS, strict=True))
    docs = corpus_of(TEXTS, TOKENIZERS[name], bos=0).docs.to_pylist()
    assert any(doc["text_start"] for doc in docs)
    for doc in docs:
        assert texts[doc["source"]].startswith(doc["text"], doc["text_start"])


def test_bytes_of_one_character_share_its_place_even_across_a_cut() -> None:
    corpus = corpus_of(["🎉" * 3], TOKENIZERS["byte_level"], 4, 0)
    rows = corpus.tokens.to_pylist()
    assert [r["token_str"] for r in rows[:4]] == ["<0xF0>", "<0x9F>", "<0x8E>", "<0x89>"]
    assert corpus.docs["text"].to_pylist() == ["🎉", "🎉🎉", "🎉🎉", "🎉"]
    assert {
        corpus.docs["text"][r["doc"]].as_py()[r["char_start"] : r["char_end"]] for r in rows
    } == {"🎉"}


@pytest.mark.parametrize("bos", [None, 0])
def test_docs_name_their_source_and_part(bos: int | None) -> None:
    docs = corpus_of(TEXTS, TOKENIZERS["byte_level"], 16, bos).docs.to_pylist()
    for i in range(len(TEXTS)):
        parts = [d["part"] for d in docs if d["source"] == f"text {i}"]
        assert parts == list(range(len(parts)))
    joined = "".join(d["text"] for d in docs if d["source"] == "text 0")
    assert joined == PROSE


@pytest.mark.parametrize("bos", [None, 0])
def test_features_count_what_the_model_saw_in_the_doc(bos: int | None) -> None:
    corpus = corpus_of([PROSE * 2, PROSE], TOKENIZERS["byte_level"], 60, bos)
    for n, name in enumerate(("seen_before", "bigram_seen_before", "trigram_seen_before"), 1):
        expected = [count for w in corpus.windows for count in seen_by_hand(w.tolist(), n)[1:]]
        assert corpus.tokens[name].to_pylist() == expected
        assert max(expected) > 0
    ids = corpus.tokens["token_id"].to_pylist()
    assert corpus.tokens["corpus_count"].to_pylist() == [Counter(ids)[i] for i in ids]
    strings = corpus.tokens["token_str"].to_pylist()
    positions = corpus.tokens["position"].to_pylist()
    previous = corpus.tokens["prev_token_str"].to_pylist()
    assert all(previous[i] == strings[i - 1] for i, p in enumerate(positions) if p > 1)


def test_a_word_cut_by_a_window_goes_on_in_the_next_doc() -> None:
    corpus = corpus_of(["Washington"], TOKENIZERS["byte_level"], 3, 0)
    rows = corpus.tokens.to_pylist()
    assert len({r["doc"] for r in rows}) > 1
    assert {r["word"] for r in rows} == {"Washington"}
    assert [r["word_part"] for r in rows] == list(range(len(rows)))
    assert [r["is_word_start"] for r in rows] == [True] + [False] * (len(rows) - 1)


def test_tables_have_the_columns_of_the_contract() -> None:
    corpus = corpus_of(TEXTS, TOKENIZERS["byte_level"])
    assert corpus.tokens.schema.equals(schema.TOKENS)
    assert corpus.docs.schema.equals(schema.DOCS.append(schema.TEXT_START))


def test_metadata_of_one_type_keeps_it_and_the_rest_becomes_text() -> None:
    documents = [
        SourceDocument("a", "the war", {"year": 1861, "mixed": 1, "huge": 2**70, "flag": True}),
        SourceDocument("b", "the war", {"year": None, "mixed": "one", "huge": 1, "late": 0.5}),
    ]
    docs = build_corpus(documents, TOKENIZERS["byte_level"], Convention(16, 0)).docs
    assert docs["year"].to_pylist() == [1861, None]
    assert docs["mixed"].to_pylist() == ["1", "one"]
    assert docs["huge"].to_pylist() == [str(2**70), "1"]
    assert docs["flag"].to_pylist() == [True, None]
    assert docs["late"].to_pylist() == [None, 0.5]


def test_a_text_of_one_token_needs_a_bos() -> None:
    assert corpus_of(["x"], TOKENIZERS["byte_level"], bos=0).n_tokens == 1
    with pytest.raises(IngestError, match="too short"):
        corpus_of(["x"], TOKENIZERS["byte_level"], bos=None)


def test_an_endless_line_takes_seconds_not_gigabytes() -> None:
    corpus = corpus_of(["A" * 50_000], TOKENIZERS["byte_level"], 512, 0)
    assert np.sum([len(w) - 1 for w in corpus.windows]) == corpus.n_tokens
    assert corpus.tokens.nbytes < 300 * corpus.n_tokens

"""Slow tokenizers, too, say which characters each token stands for; or there is a sentence."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import (
    ByT5Tokenizer,
    CTRLTokenizer,
    LlamaTokenizer,
    PreTrainedTokenizerBase,
)
from transformers.tokenization_utils_sentencepiece import SentencePieceBackend

from ingest.errors import IngestError
from ingest.text.offsets import tokenize
from ingest.text.token_features import find_words
from ingest.text.tokenizer import token_strings, tokenizer_sha256
from ingest.verify import verify
from tests.ingest.conftest import Ingest
from tests.ingest.text.test_words import starts_by_hand
from tests.models import PROSE, metaspace, save_run, tiny

WORDS = "The President said that the Congress, which had met, would not be moved."


@pytest.fixture(scope="session")
def slow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PreTrainedTokenizerBase]:
    """Bytes; SentencePiece: Unigram, and BPE with bytes to fall back on; words with @@."""
    folder = tmp_path_factory.mktemp("slow")
    return {
        "bytes": ByT5Tokenizer(),
        "unigram": _sentence_piece(folder / "unigram", byte_fallback=False),
        "fallback": _sentence_piece(folder / "fallback", byte_fallback=True),
        "ctrl": _ctrl(folder),
    }


def _sentence_piece(prefix: Path, byte_fallback: bool) -> SentencePieceBackend:
    lines = [line for line in PROSE.splitlines() if line.strip()]
    kind = {"model_type": "bpe", "vocab_size": 360} if byte_fallback else {"vocab_size": 90}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(prefix),
        byte_fallback=byte_fallback,
        hard_vocab_limit=False,
        minloglevel=2,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        **kind,
    )
    return SentencePieceBackend(vocab_file=f"{prefix}.model", unk_token="<unk>", eos_token="</s>")


def _ctrl(folder: Path) -> CTRLTokenizer:
    """BPE over words: `@@` ends a token whose word goes on, and blanks are no token's."""
    merges = ["t h", "th e</w>", "C o", "Co n"]
    letters = sorted(set(re.sub(r"\s", "", WORDS)))
    pieces = [*(f"{c}@@" for c in letters), *letters, "the", "Con@@", "th@@", "Co@@", "<unk>"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CTRLTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))


def pieces_of(text: str, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, str]]:
    """Each token's text by its vocabulary, and the characters that were found for it."""
    ids, spans = tokenize(text, tokenizer)
    strings = token_strings(tokenizer, ids.tolist())
    return [(s, text[a:b]) for s, (a, b) in zip(strings, spans.tolist(), strict=True)]


@pytest.mark.parametrize("name", ["bytes", "unigram", "fallback", "ctrl"])
def test_each_token_stands_for_its_own_characters_and_words_begin_where_they_do(
    slow: dict[str, PreTrainedTokenizerBase], name: str
) -> None:
    ids, spans = tokenize(WORDS, slow[name])
    assert ids.tolist() == slow[name].encode(WORDS, add_special_tokens=False)
    for string, found in pieces_of(WORDS, slow[name]):
        assert string.strip() == found.strip()
    assert "".join(WORDS[a:b] for a, b in spans).replace(" ", "") == WORDS.replace(" ", "")
    words = find_words(WORDS, spans)
    assert words.is_word_start.tolist() == starts_by_hand(WORDS, spans)
    assert words.is_word_start.sum() == len(WORDS.split())


TEXTS = st.text(st.sampled_from("the Congrs,aé🎉\u00a0 \n"), min_size=1, max_size=30)


@pytest.mark.parametrize("name", ["bytes", "fallback"])
@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
@example("  The naïve 🎉  café\n")
def test_tokens_of_bytes_share_a_characters_place_and_lose_none(
    slow: dict[str, PreTrainedTokenizerBase], name: str, text: str
) -> None:
    ids, spans = tokenize(text, slow[name])
    covered = np.zeros(len(text), dtype=bool)
    for begin, end in spans:
        covered[begin:end] = True
    assert all(c or t.isspace() for c, t in zip(covered, text, strict=True))
    assert (np.diff(spans[:, 0]) >= 0).all()
    words = find_words(text, spans)
    assert words.is_word_start.tolist() == starts_by_hand(text, spans)
    assert words.is_word_start.sum() == len(text.split())
    whole = "".join(token_strings(slow[name], ids.tolist()))
    raw = bytes(int(h, 16) if h else ord(c) for h, c in re.findall(r"<0x(..)>|(.)", whole, re.S))
    assert raw.decode().strip(" ") == text.strip(" ") if whole.isascii() else True


def test_spans_are_those_of_the_same_tokenizers_fast_form(
    slow: dict[str, PreTrainedTokenizerBase], tmp_path: Path
) -> None:
    """The published model, once read by sentencepiece and once converted."""
    fast = LlamaTokenizer.from_pretrained(_folder(slow["fallback"], tmp_path))
    assert fast.is_fast
    text = "The President said that the Congress met"
    ids, spans = tokenize(text, fast)
    slow_ids, slow_spans = tokenize(text, slow["fallback"])
    assert ids.tolist() == slow_ids.tolist()
    starts = [find_words(text, s).is_word_start.tolist() for s in (spans, slow_spans)]
    assert starts[0] == starts[1]


def _folder(tokenizer: PreTrainedTokenizerBase, folder: Path) -> Path:
    tokenizer.save_vocabulary(str(folder))
    return folder


def test_unknown_characters_stand_where_nothing_else_does(
    slow: dict[str, PreTrainedTokenizerBase],
) -> None:
    found = pieces_of("The 中文 Congress", slow["unigram"])
    unknown = [text for string, text in found if string == "<unk>"]
    assert set(unknown) == {"中文"}
    assert "".join(t for s, t in found if s != "<unk>").replace(" ", "") == "TheCongress"


def test_capitals_may_be_lost_but_no_letters(slow: dict[str, PreTrainedTokenizerBase]) -> None:
    class Lower(ByT5Tokenizer):  # type: ignore[misc]
        def _tokenize(self, text: str) -> Any:
            return super()._tokenize(text.lower())

    class Loses(ByT5Tokenizer):  # type: ignore[misc]
        def _tokenize(self, text: str) -> Any:
            return super()._tokenize(text.replace("o", ""))

    assert [found for _, found in pieces_of("The End", Lower())] == list("The End")
    with pytest.raises(IngestError, match=r"not found in the text near 'ongress'.*fast tokenizer"):
        tokenize("The Congress", Loses())


def test_a_text_of_which_the_end_is_lost_is_refused() -> None:
    class Short(ByT5Tokenizer):  # type: ignore[misc]
        def _tokenize(self, text: str) -> Any:
            return super()._tokenize(text)[:5]

    with pytest.raises(IngestError, match=r"Short is a slow tokenizer.*near 'ongress'"):
        tokenize("The Congress", Short())


def test_tokenizers_that_differ_have_another_digest(
    slow: dict[str, PreTrainedTokenizerBase],
) -> None:
    digests = {tokenizer_sha256(t) for t in [*slow.values(), metaspace()]}
    assert len(digests) == len(slow) + 1
    assert tokenizer_sha256(ByT5Tokenizer()) == tokenizer_sha256(slow["bytes"])


def test_a_run_with_a_slow_tokenizer_is_whole(tmp_path: Path, ingest: Ingest) -> None:
    source = tmp_path / "run"
    tokenizer = ByT5Tokenizer()
    model = tiny("gpt2", len(tokenizer))
    model.save_pretrained(source / "step1")
    tokenizer.save_pretrained(source / "step1")
    (tmp_path / "t.txt").write_text(PROSE)
    line = ("run", source, "--text", tmp_path / "t.txt", "--store", tmp_path / "s")
    assert ingest(*line).status == 0
    assert verify(tmp_path / "s") == []
    tokens = pq.read_table(tmp_path / "s" / "tokens.parquet")
    assert sum(tokens["is_word_start"].to_pylist()) == len(PROSE.split())
    assert "<0xC3>" in tokens["token_str"].to_pylist()


def test_a_published_sentencepiece_model_alone_is_a_tokenizer(
    slow: dict[str, PreTrainedTokenizerBase], tmp_path: Path, ingest: Ingest
) -> None:
    source = save_run(tmp_path / "run", metaspace(), [1])
    for path in (source / "checkpoint-1").glob("*token*"):
        path.unlink()
    tiny("llama", 400).save_pretrained(source / "checkpoint-1")
    _folder(slow["fallback"], source / "checkpoint-1")
    (tmp_path / "t.txt").write_text(PROSE)
    line = ("run", source, "--text", tmp_path / "t.txt", "--store", tmp_path / "s")
    assert ingest(*line).status == 0
    tokens = pq.read_table(tmp_path / "s" / "tokens.parquet")
    assert sum(tokens["is_word_start"].to_pylist()) == len(PROSE.split())

"""Tokens as text: blanks kept, broken bytes named, marks of the tokenizer gone."""

import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from ingest.text.tokenizer import token_strings, tokenizer_sha256
from tests.models import END, byte_fallback, byte_level, metaspace, word_piece


def strings(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    return token_strings(tokenizer, tokenizer.encode(text, add_special_tokens=False))


def test_byte_level_tokens_keep_their_blank_and_name_broken_bytes() -> None:
    assert strings(byte_level(), "x Congress") == ["x", " Congress"]
    assert strings(byte_level(), "é\n") == ["<0xC3>", "<0xA9>", "\n"]
    assert strings(byte_level(), "—x") == ["<0xE2><0x80>", "<0x94>", "x"]


def test_added_tokens_are_text_even_where_their_letters_are_in_the_byte_alphabet() -> None:
    tokenizer = byte_level()
    tokenizer.add_tokens([AddedToken("café"), AddedToken("über uns")])
    assert strings(tokenizer, "caféüber uns" + END) == ["café", "über uns", END]


def test_unigram_tokens_have_a_blank_for_their_mark() -> None:
    assert "".join(strings(metaspace(), "the Congress met")) == " the Congress met"


def test_byte_fallback_is_text_where_one_byte_is_a_character() -> None:
    tokenizer = byte_fallback(["\u2581the", "the", "##", "\u2581"])
    assert strings(tokenizer, "the\n") == [" the", "\n"]
    assert strings(tokenizer, "the é")[1:] == [" ", "<0xC3>", "<0xA9>"]


@pytest.mark.parametrize("piece", ["##", "###", "##a"])
def test_number_signs_are_text_where_they_do_not_continue_a_word(piece: str) -> None:
    tokenizer = byte_fallback(["\u2581", piece])
    assert token_strings(tokenizer, [tokenizer.convert_tokens_to_ids(piece)]) == [piece]


def test_word_piece_continuations_lose_their_mark() -> None:
    tokenizer = word_piece()
    tokens = tokenizer.tokenize("The congressed")  # how it ends depends on ties in its training
    assert tokens[:2] == ["the", "congress"] and all(t.startswith("##") for t in tokens[2:])
    assert strings(tokenizer, "The congressed") == [t.removeprefix("##") for t in tokens]


def test_the_digest_does_not_depend_on_earlier_calls() -> None:
    tokenizer = byte_level()
    before = tokenizer_sha256(tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    tokenizer("one two three", truncation=True, max_length=2)
    tokenizer(["one", "one two"], padding=True)
    assert tokenizer.backend_tokenizer.padding
    assert tokenizer_sha256(tokenizer) == before

"""Word starts and words equal their definitions, written out token by token, on every tokenizer."""

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ingest.text.token_features import LONGEST_WORD, find_words
from tests.models import byte_fallback, byte_level, metaspace, word_piece

TOKENIZERS = {
    "byte_level": byte_level(),
    "metaspace": metaspace(),
    "byte_fallback": byte_fallback(["\u2581", "\u2581the", "the", *"abcdefghijklmnopqrstuvwxyz"]),
    "word_piece": word_piece(),
}
TEXTS = st.text(
    st.sampled_from("the aé'—_1🎉\u0301\u200b\u00a0\r\n\t中.-"), min_size=1, max_size=40
)


def offsets_of(name: str, text: str) -> np.ndarray:
    encoded = TOKENIZERS[name](text, add_special_tokens=False, return_offsets_mapping=True)
    return np.array(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)


def starts_by_hand(text: str, offsets: np.ndarray) -> list[bool]:
    starts = [False] * len(offsets)
    for at, character in enumerate(text):
        if character.isspace() or (at > 0 and not text[at - 1].isspace()):
            continue
        covering = [i for i, (begin, end) in enumerate(offsets) if begin <= at < end]
        if covering:
            starts[covering[0]] = True
    return starts


def run_by_hand(text: str, begin: int, end: int) -> tuple[int, int] | None:
    """The run of word characters around the first character of the span that is no blank."""
    solid = [at for at in range(begin, end) if not text[at].isspace()]
    if not solid or not re.match(r"\w", text[solid[0]]):
        return None
    first = last = solid[0]
    while first > 0 and re.match(r"\w", text[first - 1]):
        first -= 1
    while last + 1 < len(text) and re.match(r"\w", text[last + 1]):
        last += 1
    return first, last + 1


@pytest.mark.parametrize("name", TOKENIZERS)
@settings(max_examples=150, deadline=None)
@given(text=TEXTS)
@example("A café, 🎉\r\nit's the\tthe  thé_1")
def test_words_equal_their_definition(name: str, text: str) -> None:
    offsets = offsets_of(name, text)
    words = find_words(text, offsets)
    assert words.is_word_start.tolist() == starts_by_hand(text, offsets)
    runs = [run_by_hand(text, *span) for span in offsets]
    assert words.word == [None if run is None else text[slice(*run)] for run in runs]
    earlier = [None if run is None else runs[:i].count(run) for i, run in enumerate(runs)]
    assert words.word_part == earlier


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_word_of_prose_has_exactly_one_start(name: str) -> None:
    text = "the president said that, in the  end,\nthe congress' war was moved"
    words = find_words(text, offsets_of(name, text))
    assert words.is_word_start.sum() == len(text.split())


def test_a_word_of_several_tokens_by_hand() -> None:
    text = "The naïve war's end"
    offsets = np.array([[0, 3], [3, 6], [6, 7], [6, 7], [7, 9], [9, 13], [13, 15], [15, 19]])
    words = find_words(text, offsets)  # The| na|ï|ï|ve| war|'s| end, as GPT-2 may cut it
    assert words.is_word_start.tolist() == [True, True, *[False] * 3, True, False, True]
    assert words.word == ["The", *["naïve"] * 4, "war", None, "end"]
    assert words.word_part == [0, 0, 1, 2, 3, 0, None, 0]


def test_an_endless_word_is_cut_but_stays_one_word() -> None:
    text = "A" * 5_000
    words = find_words(text, np.array([[i, i + 1] for i in range(5_000)]))
    assert set(words.word) == {"A" * LONGEST_WORD}
    assert words.word_part == list(range(5_000))
    assert words.is_word_start.sum() == 1

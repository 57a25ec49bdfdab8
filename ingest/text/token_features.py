"""Features of tokens: which start a word, the word of each, and repeats within a doc.

Words are found from character spans only. Rules by prefix (a blank, `##`) fail on some tokenizers;
spans were exact on all that we tried.
"""

import re
from dataclasses import dataclass

import numpy as np

_WORD = re.compile(r"\w+")
# Each token repeats its word: a megabyte of base64 on one line would become terabytes.
LONGEST_WORD = 100


@dataclass(frozen=True)
class Words:
    """Per token of one text, all of shape (tokens,)."""

    is_word_start: np.ndarray
    """bool: the first token that covers a word-initial character."""
    word: list[str | None]
    """The run of word characters around the token's first non-blank character, cut if very long."""
    word_part: list[int | None]
    """0 for the first token of its word, then 1, 2, …; None if there is no word."""


def find_words(text: str, offsets: np.ndarray) -> Words:
    """Words of the tokens whose character spans are `offsets`, int (tokens, 2), end exclusive."""
    blank = np.array([character.isspace() for character in text], dtype=bool)
    spans = [match.span() for match in _WORD.finditer(text)]
    names = [text[start : min(end, start + LONGEST_WORD)] for start, end in spans]
    word_index = _word_of_token(blank, spans, offsets)
    words = [None if w < 0 else names[w] for w in word_index.tolist()]
    return Words(_word_starts(blank, offsets), words, _parts(word_index))


def _word_starts(blank: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """A character is word-initial if it is not white space and is first or follows white space."""
    initial = np.flatnonzero(~blank & np.concatenate([[True], blank[:-1]]))
    starts, ends = offsets[:, 0], np.maximum.accumulate(offsets[:, 1])
    first_cover = np.searchsorted(ends, initial, side="right")
    inside = first_cover < len(offsets)
    first_cover, initial = first_cover[inside], initial[inside]
    result = np.zeros(len(offsets), dtype=bool)
    result[first_cover[starts[first_cover] <= initial]] = True
    return result


def _word_of_token(
    blank: np.ndarray, spans: list[tuple[int, int]], offsets: np.ndarray
) -> np.ndarray:
    """Index into `spans` of each token's word, -1 for none; int (tokens,)."""
    size = len(blank)
    of_character = np.full(size + 1, -1)
    for index, (start, end) in enumerate(spans):
        of_character[start:end] = index
    # next_solid[c]: the first character at or after c that is not blank.
    next_solid = np.where(blank, size, np.arange(size))
    next_solid = np.append(np.minimum.accumulate(next_solid[::-1])[::-1], size)
    first_solid = next_solid[offsets[:, 0]]
    return np.where(first_solid < offsets[:, 1], of_character[first_solid], -1)


def _parts(word_index: np.ndarray) -> list[int | None]:
    parts: list[int | None] = []
    seen: dict[int, int] = {}
    for word in word_index.tolist():
        parts.append(None if word < 0 else seen.get(word, 0))
        seen[word] = seen.get(word, 0) + 1
    return parts


def ngram_seen_before(ids: np.ndarray, n: int) -> np.ndarray:
    """Earlier occurrences of the n tokens that end at each index of `ids`, int32 (len(ids),).

    `ids` is all that the model saw, including the BOS. The first n-1 tokens end no n-gram: 0.
    """
    counts = np.zeros(len(ids), dtype=np.int32)
    if len(ids) < n:
        return counts
    keys = np.zeros(len(ids) - n + 1, dtype=np.int64)
    size = int(ids.max()) + 1  # size ** 3 stays below 2 ** 63 up to 2 million token types
    for shift in range(n):
        keys = keys * size + ids[shift : shift + len(keys)]
    counts[n - 1 :] = earlier_occurrences(keys)
    return counts


def earlier_occurrences(keys: np.ndarray) -> np.ndarray:
    """How often each key occurs earlier in `keys`: (n,) -> int32 (n,)."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    starts = np.flatnonzero(is_first)
    first_of_run = np.repeat(starts, np.diff(np.append(starts, len(keys))))
    counts = np.empty(len(keys), dtype=np.int32)
    counts[order] = np.arange(len(keys)) - first_of_run
    return counts

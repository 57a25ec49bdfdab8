"""A text's token ids, and the span of characters that each token covers."""

from itertools import pairwise

import numpy as np
from transformers import PreTrainedTokenizerBase

from ingest.errors import IngestError
from ingest.text.pieces import SENTENCE_PIECE_BLANK
from ingest.text.tokenizer import token_bytes


def tokenize(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[np.ndarray, np.ndarray]:
    """Ids int64 (tokens,), without special tokens, and spans int64 (tokens, 2), end exclusive.

    Fast tokenizers report the spans. For slow ones, each token's bytes are searched from the end
    of the token before. Raises IngestError if they are not found.
    """
    fast = tokenizer.is_fast
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=fast, verbose=False)
    ids = np.array(encoded["input_ids"], dtype=np.int64)
    found = encoded["offset_mapping"] if fast else _find_spans(text, tokenizer, ids.tolist())
    spans = np.array(found, dtype=np.int64).reshape(-1, 2)
    if len(ids) and _is_added_blank(text, tokenizer, int(ids[0])):
        spans[0] = 0
    return ids, spans


def _is_added_blank(text: str, tokenizer: PreTrainedTokenizerBase, first: int) -> bool:
    """Is the first token a blank that is not in the text? SentencePiece prepends one.

    Fast tokenizers report it at the text's first character, which belongs to the next token.
    """
    return tokenizer.convert_ids_to_tokens(first) == SENTENCE_PIECE_BLANK and not text[0].isspace()


def _find_spans(
    text: str, tokenizer: PreTrainedTokenizerBase, ids: list[int]
) -> list[tuple[int, int]]:
    types = list(dict.fromkeys(ids))
    of_type = dict(zip(types, token_bytes(tokenizer, types), strict=True))
    pieces = [None if i == tokenizer.unk_token_id else of_type[i] for i in ids]
    finder = _SpanFinder(text)
    spans = finder.spans(pieces)
    if spans is None:
        at = finder.character_at()
        raise IngestError(
            f"{type(tokenizer).__name__} is a slow tokenizer, and its tokens are not found in the "
            f"text near {text[at : at + 20]!r}, so word starts are unknown: name a fast tokenizer "
            "(one with a tokenizer.json) with --tokenizer"
        )
    return spans


class _SpanFinder:
    """Walks through a text's bytes, token by token.

    Blanks around a token need not be in the text, nor blanks of the text in a token. A tokenizer
    may lower-case letters, but tokens may not be missing or out of order.
    """

    def __init__(self, text: str) -> None:
        sizes = [len(c.encode()) for c in text]
        self.bytes = text.encode()
        self.lower = "".join(_lower(c) for c in text).encode()
        # One entry more than there are bytes, so that the end has a character index, too.
        self.character = np.repeat(np.arange(len(text) + 1), [*sizes, 1])
        blank = np.repeat(np.array([c.isspace() for c in text] + [False]), [*sizes, 1])
        solid = np.where(blank, len(self.bytes), np.arange(len(blank)))
        self.next_solid = np.minimum.accumulate(solid[::-1])[::-1]
        self.at = 0

    def character_at(self) -> int:
        """The character that the walk has reached."""
        return int(self.character[self.at])

    def spans(self, pieces: list[bytes | None]) -> list[tuple[int, int]] | None:
        """Character spans of tokens with these bytes; a piece of None is the unknown token.

        Returns None if a token is not found.
        """
        found: list[tuple[int, int]] = []
        for piece, following in pairwise([*pieces, b""]):
            span = self._unknown(following) if piece is None else self._known(piece)
            if span is None:
                return None
            begin, end = span
            last = begin if begin == end else end - 1
            stop = self.character[last] + (end > begin)
            found.append((int(self.character[begin]), int(stop)))
            self.at = end
        return found if self.next_solid[self.at] == len(self.bytes) else None

    def _known(self, piece: bytes) -> tuple[int, int] | None:
        """First and last byte: verbatim, else without blanks, else in lower case."""
        core, start = piece.strip(), int(self.next_solid[self.at])
        if self.bytes.startswith(piece, self.at):
            return self.at, self.at + len(piece)
        if not core:
            return self.at, self.at
        if self.bytes.startswith(core, start) or self.lower.startswith(core, start):
            return start, start + len(core)
        return None

    def _unknown(self, following: bytes | None) -> tuple[int, int]:
        """Up to the next token that is found; consecutive unknown tokens share their characters."""
        start = int(self.next_solid[self.at])
        if following is None:
            return start, start
        core = following.strip()
        ends = [i for i in (b.find(core, start + 1) for b in (self.bytes, self.lower)) if i > 0]
        end = min(ends) if core and ends else len(self.bytes)
        solid = np.flatnonzero(self.next_solid[start:end] == np.arange(start, end))
        return start, start + int(solid[-1]) + 1 if len(solid) else start


def _lower(character: str) -> str:
    """In lower case if that takes the same number of bytes, so that indices stay valid."""
    lower = character.lower()
    return lower if len(lower.encode()) == len(character.encode()) else character

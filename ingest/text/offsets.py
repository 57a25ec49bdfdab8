"""A text's token ids, and which of its characters each token stands for."""

from itertools import pairwise

import numpy as np
from transformers import PreTrainedTokenizerBase

from ingest.errors import IngestError
from ingest.text.vocabulary import SENTENCE_PIECE_BLANK, token_bytes


def located(text: str, tokenizer: PreTrainedTokenizerBase) -> tuple[np.ndarray, np.ndarray]:
    """Ids int64 (tokens,), without special tokens, and spans int64 (tokens, 2), end exclusive.

    Fast tokenizers give the spans themselves; for slow ones, each token's bytes are looked for
    where the token before it ended. Raises IngestError where they are not there.
    """
    fast = tokenizer.is_fast
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=fast, verbose=False)
    ids = np.array(encoded["input_ids"], dtype=np.int64)
    found = encoded["offset_mapping"] if fast else _found(text, tokenizer, ids.tolist())
    spans = np.array(found, dtype=np.int64).reshape(-1, 2)
    if len(ids) and _is_put_before(text, tokenizer, int(ids[0])):
        spans[0] = 0
    return ids, spans


def _is_put_before(text: str, tokenizer: PreTrainedTokenizerBase, first: int) -> bool:
    """Is the first token a blank that the text does not have, as SentencePiece puts before texts?

    Fast tokenizers say that it stands for the text's first character, which the next token is.
    """
    return tokenizer.convert_ids_to_tokens(first) == SENTENCE_PIECE_BLANK and not text[0].isspace()


def _found(text: str, tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[tuple[int, int]]:
    types = list(dict.fromkeys(ids))
    of_type = dict(zip(types, token_bytes(tokenizer, types), strict=True))
    pieces = [None if i == tokenizer.unk_token_id else of_type[i] for i in ids]
    finder = _Finder(text)
    spans = finder.spans(pieces)
    if spans is None:
        at = finder.place()
        raise IngestError(
            f"{type(tokenizer).__name__} is a slow tokenizer, and its tokens are not found in the "
            f"text near {text[at : at + 20]!r}, so word starts cannot be told: name a fast "
            "tokenizer (one with a tokenizer.json) with --tokenizer"
        )
    return spans


class _Finder:
    """Walks through a text's bytes, token by token; what it does not find stays None.

    Tokens may have blanks around them that the text has not, and the text such as no token has;
    a tokenizer may put letters in lower case, but nothing may be missing or in another order.
    """

    def __init__(self, text: str) -> None:
        sizes = [len(c.encode()) for c in text]
        self.bytes = text.encode()
        self.lower = "".join(_lower(c) for c in text).encode()
        # One more than there are bytes, so that the end has a place, too.
        self.character = np.repeat(np.arange(len(text) + 1), [*sizes, 1])
        blank = np.repeat(np.array([c.isspace() for c in text] + [False]), [*sizes, 1])
        solid = np.where(blank, len(self.bytes), np.arange(len(blank)))
        self.next_solid = np.minimum.accumulate(solid[::-1])[::-1]
        self.at = 0

    def place(self) -> int:
        """The character that the walk has come to."""
        return int(self.character[self.at])

    def spans(self, pieces: list[bytes | None]) -> list[tuple[int, int]] | None:
        """Character spans of tokens that have these bytes; None stands for the unknown token."""
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
        """Bytes from and to: as they are, else without blanks, else without capitals."""
        core, start = piece.strip(), int(self.next_solid[self.at])
        if self.bytes.startswith(piece, self.at):
            return self.at, self.at + len(piece)
        if not core:
            return self.at, self.at
        if self.bytes.startswith(core, start) or self.lower.startswith(core, start):
            return start, start + len(core)
        return None

    def _unknown(self, following: bytes | None) -> tuple[int, int]:
        """Up to where the next token is found; all unknown ones in a row share their characters."""
        start = int(self.next_solid[self.at])
        if following is None:
            return start, start
        core = following.strip()
        ends = [i for i in (b.find(core, start + 1) for b in (self.bytes, self.lower)) if i > 0]
        end = min(ends) if core and ends else len(self.bytes)
        solid = np.flatnonzero(self.next_solid[start:end] == np.arange(start, end))
        return start, start + int(solid[-1]) + 1 if len(solid) else start


def _lower(character: str) -> str:
    """The same number of bytes, so that places stay."""
    lower = character.lower()
    return lower if len(lower.encode()) == len(character.encode()) else character

"""What each token id looks like as text."""

import functools
import json
from typing import Any

from transformers import PreTrainedTokenizerBase

WORD_PIECE_CONTINUATION = "##"
SENTENCE_PIECE_BLANK = "\u2581"


def token_strings(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    """The text of each token, its leading blank included; bytes that are no text as `<0xE2>`."""
    pieces = tokenizer.convert_ids_to_tokens(ids)
    if _is_byte_level(tokenizer):
        return [_from_bytes(piece) for piece in pieces]
    return [_plain(piece) for piece in pieces]


def _is_byte_level(tokenizer: PreTrainedTokenizerBase) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return False
    parts: dict[str, Any] = json.loads(backend.to_str())
    return "ByteLevel" in json.dumps([parts.get("decoder"), parts.get("pre_tokenizer")])


def _plain(piece: str) -> str:
    return piece.replace(SENTENCE_PIECE_BLANK, " ").removeprefix(WORD_PIECE_CONTINUATION)


def _from_bytes(piece: str) -> str:
    table = _byte_of_character()
    if not all(character in table for character in piece):
        return piece  # an added token, stored as plain text
    raw = bytes(table[character] for character in piece)
    return raw.decode("utf-8", errors="token_trails_hex")


def _hex(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    return "".join(f"<0x{byte:02X}>" for byte in bad), error.end


@functools.cache
def _byte_of_character() -> dict[str, int]:
    """Inverse of GPT-2's byte alphabet: printable bytes stand for themselves, the rest from 256."""
    import codecs

    codecs.register_error("token_trails_hex", _hex)
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + i): byte for i, byte in enumerate(others)}

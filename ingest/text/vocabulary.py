"""What each token id looks like as text."""

import codecs
import functools
import json
import re
from typing import Any

from transformers import PreTrainedTokenizerBase

SENTENCE_PIECE_BLANK = "\u2581"
_BYTE = re.compile(r"<0x([0-7][0-9A-F])>")


def token_strings(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    """The text of each token, its leading blank included; bytes that are no text as `<0xE2>`."""
    if not tokenizer.is_fast:
        return [_text(raw) for raw in token_bytes(tokenizer, ids)]
    pieces = tokenizer.convert_ids_to_tokens(ids)
    parts: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    if "ByteLevel" in json.dumps([parts.get("decoder"), parts.get("pre_tokenizer")]):
        plain = tokenizer.added_tokens_decoder  # stored as they are, not in the byte alphabet
        return [p if i in plain else _from_bytes(p) for i, p in zip(ids, pieces, strict=True)]
    return [_plain(piece, parts["model"]) for piece in pieces]


def token_bytes(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[bytes]:
    """What each token of a slow tokenizer adds to a text, blanks around it perhaps included."""
    pieces = tokenizer.convert_ids_to_tokens(ids)
    return [_bytes_of(tokenizer, i, piece) for i, piece in zip(ids, pieces, strict=True)]


def _bytes_of(tokenizer: PreTrainedTokenizerBase, token_id: int, piece: str) -> bytes:
    if added := tokenizer.added_tokens_decoder.get(token_id):
        return str(added).encode()
    if hasattr(tokenizer, "sp_model"):
        if tokenizer.sp_model.is_byte(token_id):
            return bytes([int(piece[1:-1], 16)])
        return piece.replace(SENTENCE_PIECE_BLANK, " ").encode()
    if len(piece) == 1 and ord(piece) < 256 and not tokenizer.convert_tokens_to_string([piece]):
        return bytes([ord(piece)])  # half a character, in a vocabulary of bytes
    # Between two others: tokenizers strip their texts, and mark the ends of words in many ways.
    one = tokenizer.tokenize("a")
    ends, text = (tokenizer.convert_tokens_to_string(t) for t in (one, [*one, piece, *one]))
    added_text = text.removeprefix(ends.rstrip()).removesuffix(ends.lstrip()).rstrip()
    return str(added_text or text[len(ends) : -len(ends)]).encode()


def _plain(piece: str, model: dict[str, Any]) -> str:
    """`model` says what `##` and `<0x0A>` are: a mark, as in WordPiece and Llama 2, or text."""
    if model.get("byte_fallback") and (byte := _BYTE.fullmatch(piece)):
        return chr(int(byte[1], 16))
    continuation = model.get("continuing_subword_prefix") or ""
    return piece.replace(SENTENCE_PIECE_BLANK, " ").removeprefix(continuation)


def _from_bytes(piece: str) -> str:
    table = _byte_of_character()
    if not all(character in table for character in piece):
        return piece  # stored as plain text, though not marked as added
    return _text(bytes(table[character] for character in piece))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="token_trails_hex")


def _hex(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    return "".join(f"<0x{byte:02X}>" for byte in bad), error.end


@functools.cache
def _byte_of_character() -> dict[str, int]:
    """Inverse of GPT-2's byte alphabet: printable bytes stand for themselves, the rest from 256."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + i): byte for i, byte in enumerate(others)}


codecs.register_error("token_trails_hex", _hex)

"""The text of tokens in byte-level vocabularies (GPT-2's alphabet). Needs no tokenizer."""

import codecs
import functools

SENTENCE_PIECE_BLANK = "▁"


def text_of_piece(piece: str) -> str:
    """The text of a piece such as `Ġthe`; bytes that are not valid UTF-8 as `<0xE2>`."""
    table = _byte_of_character()
    if not all(character in table for character in piece):
        return piece  # stored verbatim, though not marked as an added token
    return text_of_bytes(bytes(table[character] for character in piece))


def text_of_bytes(raw: bytes) -> str:
    """The text of a token; bytes that are not valid UTF-8 as `<0xE2>`."""
    return raw.decode("utf-8", errors="token_trails_hex")


def _hex(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    bad = error.object[error.start : error.end]
    return "".join(f"<0x{byte:02X}>" for byte in bad), error.end


@functools.cache
def _byte_of_character() -> dict[str, int]:
    """Inverse of GPT-2's byte alphabet: printable bytes map to themselves, others to 256 and up."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + i): byte for i, byte in enumerate(others)}


codecs.register_error("token_trails_hex", _hex)

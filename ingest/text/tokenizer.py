"""Tokenizers: loading one, its digest, and the text of each token."""

import copy
import hashlib
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from ingest.errors import IngestError, needs_remote_code, remote_code_advice
from ingest.sources.checkpoint_files import TOKENIZER_FILES
from ingest.sources.revisions import Checkpoint
from ingest.text.pieces import SENTENCE_PIECE_BLANK, text_of_bytes, text_of_piece

_BYTE = re.compile(r"<0x([0-7][0-9A-F])>")


def load_tokenizer(
    source: Path,
    checkpoints: list[Checkpoint],
    named: str | None,
    trust_remote_code: bool = False,
) -> PreTrainedTokenizerBase:
    """The tokenizer in the folder `named`, else the first one in the source or its checkpoints.

    Raises IngestError if there is none, or if it cannot be loaded.
    """
    if named and not Path(named).is_dir():
        raise IngestError(
            f"--tokenizer {named} is not a folder on this machine: name one that holds "
            "tokenizer.json, or a repository on the Hub"
        )
    folders = [Path(named)] if named else [source, *(c.path for c in checkpoints)]
    for folder in folders:
        if any((folder / name).exists() for name in TOKENIZER_FILES):
            try:
                # False, not None, which would ask at the terminal.
                return AutoTokenizer.from_pretrained(
                    folder, local_files_only=True, trust_remote_code=trust_remote_code
                )
            except Exception as error:  # any library error: the files are not a tokenizer
                if needs_remote_code(error):
                    raise IngestError(remote_code_advice(f"the tokenizer in {folder}")) from error
                raise IngestError(f"the tokenizer in {folder} cannot be loaded: {error}") from error
    raise IngestError(
        f"there is no tokenizer in {named or source} or its checkpoints: expected tokenizer.json "
        "there; name a folder that holds one with --tokenizer"
    )


def tokenizer_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    """sha256 of a fast tokenizer as JSON, or of a slow one's files: equal ids for equal text."""
    if tokenizer.is_fast:
        backend = tokenizer.backend_tokenizer
        if backend.truncation or backend.padding:  # left by an earlier call, and not used here
            backend = copy.deepcopy(backend)
            backend.no_truncation()
            backend.no_padding()
        return hashlib.sha256(backend.to_str().encode()).hexdigest()
    digest = hashlib.sha256(type(tokenizer).__name__.encode())
    digest.update(json.dumps(tokenizer.get_vocab(), sort_keys=True).encode())
    with tempfile.TemporaryDirectory() as folder:
        for path in tokenizer.save_vocabulary(folder):
            digest.update(Path(path).read_bytes())
    return digest.hexdigest()


def bos_id(tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> int | None:
    """The id of the BOS, else of the EOS, else None: lm-evaluation-harness's convention.

    A token that the model has no trained embedding for is passed over, and a note says why.
    """
    named = {"BOS": tokenizer.bos_token_id, "EOS": tokenizer.eos_token_id}
    refused: dict[int, str] = {}
    for name, found in named.items():
        if found is not None and found not in refused:
            why = _untrained(int(found), tokenizer, config)
            if not why:
                _print_refused(refused, f"the {name}, {tokenizer.convert_ids_to_tokens(found)}")
                return int(found)
            refused[found] = f"the {name} of the tokenizer has id {found}, {why}"
    _print_refused(refused, "no BOS")
    return None


def _untrained(
    token_id: int, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig
) -> str | None:
    """Why the model cannot know the token; None if it can."""
    text = config.get_text_config()
    if token_id >= text.vocab_size:
        return f"but the model knows only {text.vocab_size} token types"
    ids: set[int | None] = set()
    for name in ("bos_token_id", "eos_token_id"):
        of_model = getattr(text, name, None)  # encoder-decoders may have neither
        ids.update(of_model if isinstance(of_model, list) else [of_model])
    is_padded = text.vocab_size > len(tokenizer)  # so the added tokens do not fill the embedding
    if token_id >= tokenizer.vocab_size and is_padded and token_id not in ids:
        return (
            f"which lies in the padded part of the model's embedding: the tokenizer's own "
            f"vocabulary has {tokenizer.vocab_size} token types, and the model's config names "
            "another BOS and EOS"
        )
    return None


def _print_refused(refused: dict[int, str], instead: str) -> None:
    for why in refused.values():
        print(f"note: {why}: {instead} is prepended to each doc", file=sys.stderr)


def token_strings(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[str]:
    """The text of each token with its leading blank; bytes that are not valid UTF-8 as `<0xE2>`."""
    if not tokenizer.is_fast:
        return [text_of_bytes(raw) for raw in token_bytes(tokenizer, ids)]
    pieces = tokenizer.convert_ids_to_tokens(ids)
    parts: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    if "ByteLevel" in json.dumps([parts.get("decoder"), parts.get("pre_tokenizer")]):
        plain = tokenizer.added_tokens_decoder  # stored verbatim, not in the byte alphabet
        return [p if i in plain else text_of_piece(p) for i, p in zip(ids, pieces, strict=True)]
    return [_plain(piece, parts["model"]) for piece in pieces]


def vocabulary(tokenizer: PreTrainedTokenizerBase, size: int) -> list[str | None]:
    """`token_strings` of all types 0 … size - 1; None for those that the tokenizer lacks."""
    known = sorted(i for i in set(tokenizer.get_vocab().values()) if i < size)
    texts = dict(zip(known, token_strings(tokenizer, known), strict=True))
    return [texts.get(i) for i in range(size)]


def token_bytes(tokenizer: PreTrainedTokenizerBase, ids: list[int]) -> list[bytes]:
    """The bytes that each token of a slow tokenizer adds to a text, perhaps with blanks around."""
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
        return bytes([ord(piece)])  # part of a character, in a byte-level vocabulary
    # Decode it between two other tokens: tokenizers strip texts, and mark word ends in many ways.
    one = tokenizer.tokenize("a")
    ends, text = (tokenizer.convert_tokens_to_string(t) for t in (one, [*one, piece, *one]))
    added_text = text.removeprefix(ends.rstrip()).removesuffix(ends.lstrip()).rstrip()
    return str(added_text or text[len(ends) : -len(ends)]).encode()


def _plain(piece: str, model: dict[str, Any]) -> str:
    """`model` says whether `##` and `<0x0A>` are marks, as in WordPiece and Llama 2, or text."""
    if model.get("byte_fallback") and (byte := _BYTE.fullmatch(piece)):
        return chr(int(byte[1], 16))
    continuation = model.get("continuing_subword_prefix") or ""
    return piece.replace(SENTENCE_PIECE_BLANK, " ").removeprefix(continuation)

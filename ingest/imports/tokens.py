"""The token table of an imported store: every feature that follows from ids and texts alone."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ingest.imports.results import Pieces, Tokens
from ingest.text.pieces import SENTENCE_PIECE_BLANK, text_of_piece
from ingest.text.token_features import find_words, ngram_seen_before
from store import schema

NO_TEXT = "the imported files have token ids but no texts, and an import uses no tokenizer"
NO_WORDS = ("is_word_start", "word", "word_part")


@dataclass(frozen=True)
class Tables:
    """The text of an imported store."""

    docs: pa.Table
    tokens: pa.Table
    unknown: dict[str, str]
    """Columns that are NULL, and why."""
    notes: list[str]

    @property
    def unknown_sentences(self) -> list[str]:
        """What is NULL, in words."""
        reasons = dict.fromkeys(self.unknown.values())
        return [
            f"{', '.join(c for c, r in self.unknown.items() if r == reason)} are NULL: {reason}"
            for reason in reasons
        ]


@dataclass(frozen=True)
class _Texts:
    """One text per token, (tokens,), and whether they are words without the blanks between."""

    strings: list[str]
    note: str = ""


def make_tables(tokens: Tokens, pieces: Pieces | None) -> Tables:
    """docs.parquet and tokens.parquet, one row per scored token.

    Position 1 is the first token that has a loss. A doc without such a token is left out.
    """
    texts = _texts(tokens, pieces)
    known = tokens.token_str is not None
    ids = _type_ids(tokens)
    starts = np.flatnonzero(np.concatenate([[True], np.diff(tokens.doc) != 0]))
    ends = np.append(starts[1:], len(tokens.doc))
    columns: dict[str, list[np.ndarray]] = {}
    docs: list[dict[str, object]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        first = start + int(not tokens.scored[start])
        if first == end:
            continue
        found, text = _doc(ids[start:end], texts.strings[start:end], first - start, known)
        found["doc"] = np.full(end - first, len(docs))
        found["at"] = np.arange(first, end)
        for name, values in found.items():
            columns.setdefault(name, []).append(values)
        docs.append({"name": int(tokens.doc[start]), "n_tokens": end - first, "text": text})
    joined = {name: np.concatenate(values) for name, values in columns.items()}
    return Tables(
        _docs_table(tokens, docs),
        _tokens_table(tokens, joined, ids, texts.strings),
        {} if known else dict.fromkeys(NO_WORDS, NO_TEXT),
        [texts.note] if texts.note else [],
    )


def _doc(
    ids: np.ndarray, strings: list[str], first: int, with_words: bool
) -> tuple[dict[str, np.ndarray], str]:
    """Features of one doc's scored tokens, and its text. Earlier tokens count as seen."""
    text = "".join(strings)
    stops = np.cumsum([len(s) for s in strings])
    spans = np.stack([np.concatenate([[0], stops[:-1]]), stops], axis=1)
    found: dict[str, np.ndarray] = {
        "char_start": spans[first:, 0],
        "char_end": spans[first:, 1],
        "position": np.arange(1, len(ids) - first + 1),
    }
    for n, name in enumerate(("seen_before", "bigram_seen_before", "trigram_seen_before"), 1):
        found[name] = ngram_seen_before(ids, n)[first:]
    if with_words:
        words = find_words(text, spans)
        found["is_word_start"] = words.is_word_start[first:]
        found["word"] = np.array(words.word, object)[first:]
        found["word_part"] = np.array(words.word_part, object)[first:]
    return found, text


def _tokens_table(
    tokens: Tokens, found: dict[str, np.ndarray], ids: np.ndarray, strings: list[str]
) -> pa.Table:
    at = found.pop("at")
    texts = np.array(strings, object)
    follows = np.concatenate([[False], np.diff(tokens.doc) == 0])
    previous = np.roll(texts, 1)
    previous[~follows] = None
    _, inverse, counts = np.unique(ids[at], return_inverse=True, return_counts=True)
    found |= {
        "row": np.arange(len(at)),
        "token_id": ids[at],
        "token_str": texts[at],
        "prev_token_str": previous[at],
        "corpus_count": counts[inverse],
    }
    if tokens.is_word_start is not None:
        found["is_word_start"] = tokens.is_word_start[at]
    empty = np.full(len(at), None, object)
    return pa.table({f.name: pa.array(found.get(f.name, empty), f.type) for f in schema.TOKENS})


def _docs_table(tokens: Tokens, docs: list[dict[str, object]]) -> pa.Table:
    names = tokens.sources or tokens.names
    parts: dict[str, int] = {}
    rows = []
    for number, doc in enumerate(docs):
        source = names[int(str(doc["name"]))] or "all"
        parts[source] = parts.get(source, -1) + 1
        rows.append({
            "doc": number, "source": source, "part": parts[source],
            "n_tokens": doc["n_tokens"], "text": doc["text"],
        })  # fmt: skip
    return pa.Table.from_pylist(rows, schema.DOCS)


def _type_ids(tokens: Tokens) -> np.ndarray:
    """Ids as published; without any, the distinct texts are numbered as they appear. int64."""
    if tokens.token_id is not None:
        return tokens.token_id
    assert tokens.token_str is not None
    return np.asarray(tokens.token_str.dictionary_encode().indices.to_numpy(), np.int64)


def _texts(tokens: Tokens, pieces: Pieces | None) -> _Texts:
    if tokens.token_str is None:
        assert tokens.token_id is not None
        return _Texts([f"<{i}>" for i in tokens.token_id.tolist()])
    coded = tokens.token_str.dictionary_encode()
    types, indices = coded.dictionary.to_pylist(), coded.indices.to_numpy()
    kind = pieces or kind_of_pieces(types)
    if kind == "byte-level":
        types = [text_of_piece(t) for t in types]
    if kind == "sentencepiece":
        types = [t.replace(SENTENCE_PIECE_BLANK, " ") for t in types]
    note = "" if pieces or kind == "plain" else _NOTES[kind]
    if kind != "words":
        return _Texts([types[i] for i in indices.tolist()], note)
    inside = np.concatenate([[False], np.diff(tokens.doc) == 0]).tolist()
    return _Texts(
        [_word(types[i], blank) for i, blank in zip(indices.tolist(), inside, strict=True)], note
    )


_NOTES = {
    "byte-level": "the tokens are pieces of a byte-level vocabulary (Ġ is a blank): decoded",
    "sentencepiece": "the tokens are pieces of SentencePiece (▁ is a blank): decoded",
    "words": "no token contains a blank: they are taken for words, with blanks between them",
}


def kind_of_pieces(types: list[str]) -> Pieces:
    """How the texts of tokens are written, from the texts of all token types."""
    if any(t.startswith("Ġ") for t in types):
        return "byte-level"
    if any(t.startswith(SENTENCE_PIECE_BLANK) for t in types):
        return "sentencepiece"
    has_blank = any(any(map(str.isspace, t)) for t in types)
    return "plain" if has_blank or len(types) < 2 else "words"


def _word(text: str, blank: bool) -> str:
    """`##` marks the continuation of a word in WordPiece."""
    if text.startswith("##") and len(text) > 2:
        return text[2:]
    return f" {text}" if blank else text

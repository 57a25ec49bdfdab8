"""Source documents + tokenizer -> docs, tokens, and the windows that the model sees."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from transformers import PreTrainedTokenizerBase

from ingest.errors import IngestError
from ingest.text.chat import render, speakers
from ingest.text.document_names import (
    SourceDocument,
    distinct_columns,
    with_distinct_names,
)
from ingest.text.offsets import tokenize
from ingest.text.token_features import find_words, ngram_seen_before
from ingest.text.tokenizer import token_strings
from store import schema


@dataclass(frozen=True)
class Convention:
    """How a text is cut into docs of at most `context_length` tokens, including the BOS.

    `stride` is the minimum context, including the BOS, of every token outside a document's first
    window; None means windows that do not overlap. Raises IngestError for an impossible stride.
    """

    context_length: int
    bos_id: int | None
    max_parts: int | None = None
    stride: int | None = None
    limit_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.stride is not None and not 1 <= self.stride < self.context_length:
            raise IngestError(
                f"--stride is {self.stride}, the minimum context of a token: expected 1 to "
                f"{self.context_length - 1}, less than the context length"
            )

    @property
    def room(self) -> int:
        """Tokens of the text that fit into one doc."""
        return self.context_length - (self.bos_id is not None)

    @property
    def advance(self) -> int:
        """Tokens of the text from the start of one window to the start of the next."""
        return self.room if self.stride is None else self.context_length - self.stride


@dataclass(frozen=True)
class Window:
    """The model sees tokens `start` to `end` (exclusive) of a document; `first` is scored first.

    Tokens before `first` were scored, with more context, in an earlier window.
    """

    part: int
    start: int
    first: int
    end: int


@dataclass(frozen=True)
class Corpus:
    """A tokenized text. Row r of `tokens` is the r-th scored token of `windows`, in order."""

    docs: pa.Table
    tokens: pa.Table
    windows: list[np.ndarray]
    """What the model sees, int64 (length,) each, the BOS first."""
    first: np.ndarray
    """int64 (windows,): the index in each window of the first token that is scored there, which is
    1 unless windows overlap. All tokens from there on are scored."""
    n_documents: int

    @property
    def n_tokens(self) -> int:
        return int(self.tokens.num_rows)


@dataclass(frozen=True)
class _Doc:
    source: SourceDocument
    part: int
    text: str
    text_start: int
    window: np.ndarray
    first: int
    columns: dict[str, Any]

    @property
    def n_tokens(self) -> int:
        return len(self.window) - self.first


def build_corpus(
    documents: Iterable[SourceDocument], tokenizer: PreTrainedTokenizerBase, convention: Convention
) -> Corpus:
    """Tokenize without special tokens, cut into docs, compute every token feature.

    Stops reading documents once `limit_tokens` are reached. Raises IngestError for a tokenizer
    whose tokens are not found in the text, and for a text that is too short to score a token.
    """
    docs: list[_Doc] = []
    left, n_documents = convention.limit_tokens, 0
    for document in documents:
        n_documents += 1
        cut = _cut(document, tokenizer, convention, left)
        docs += cut
        if left is not None and (left := left - sum(d.n_tokens for d in cut)) == 0:
            break
    if not docs:
        raise IngestError("the text is too short: no token in it has a predecessor")
    docs = _named(docs)
    return Corpus(
        _docs_table(docs),
        _tokens_table(docs, tokenizer),
        [d.window for d in docs],
        np.array([d.first for d in docs]),
        n_documents,
    )


def windows(n_tokens: int, convention: Convention, left: int | None = None) -> Iterator[Window]:
    """The windows of a document of `n_tokens` in which at least one token is scored.

    Each token is scored in the first window that holds it, which gives it the most context. At most
    `left` tokens are scored.
    """
    seen = scored = 0
    starts = range(0, n_tokens, convention.advance)[: convention.max_parts]
    for part, start in enumerate(starts):
        end = min(start + convention.room, n_tokens)
        # Without a BOS, the first token of a document or window has no predecessor.
        first = max(seen, start + (convention.bos_id is None))
        if left is not None:
            end = min(end, first + left - scored)
        if first < end:
            yield Window(part, start, first, end)
            scored += end - first
        if end == n_tokens or scored == left:
            break
        seen = end


def _cut(
    document: SourceDocument,
    tokenizer: PreTrainedTokenizerBase,
    convention: Convention,
    left: int | None,
) -> list[_Doc]:
    document, ids, offsets, columns = (
        _tokenize_chat(document, tokenizer, convention.bos_id)
        if document.messages
        else (document, *tokenize(document.text, tokenizer), {})
    )
    words = find_words(document.text, offsets)
    columns |= {
        "is_word_start": words.is_word_start,
        "word": words.word,
        "word_part": words.word_part,
    }
    return [
        _make_doc(document, window, ids, offsets, columns, convention.bos_id)
        for window in windows(len(ids), convention, left)
    ]


def _tokenize_chat(
    document: SourceDocument, tokenizer: PreTrainedTokenizerBase, bos: int | None
) -> tuple[SourceDocument, np.ndarray, np.ndarray, dict[str, Any]]:
    """The document with its rendered text, ids, character spans, and columns of who wrote what.

    A BOS that the template writes is left out: each window gets one.
    """
    rendered = render(document.messages, tokenizer, f"document {document.source!r}")
    ids, offsets = tokenize(rendered.text, tokenizer)
    wrote = speakers(document.messages, rendered.spans, offsets)
    skip = int(bos is not None and ids[:1].tolist() == [bos])
    cut = int(offsets[0, 1]) if skip else 0
    columns = {name: getattr(wrote, name)[skip:] for name in schema.CHAT.names}
    return replace(document, text=rendered.text[cut:]), ids[skip:], offsets[skip:] - cut, columns


def _make_doc(
    document: SourceDocument,
    window: Window,
    ids: np.ndarray,
    offsets: np.ndarray,
    of_tokens: dict[str, Any],
    bos: int | None,
) -> _Doc:
    """One doc. Its columns cover the tokens scored in it, and its text covers the window."""
    seen, scored = slice(window.start, window.end), slice(window.first, window.end)
    tokens = ids[seen] if bos is None else np.concatenate([[bos], ids[seen]])
    first = window.first - window.start + (bos is not None)
    begin = int(offsets[window.start, 0])
    text = document.text[begin : int(offsets[window.end - 1, 1])]
    columns = {name: values[scored] for name, values in of_tokens.items()}
    spans = offsets[scored] - begin
    columns |= {"char_start": spans[:, 0], "char_end": spans[:, 1]}
    columns |= {
        name: ngram_seen_before(tokens, n)[first:]
        for n, name in enumerate(("seen_before", "bigram_seen_before", "trigram_seen_before"), 1)
    }
    return _Doc(document, window.part, text, begin, tokens, first, columns)


def _named(docs: list[_Doc]) -> list[_Doc]:
    """Docs of documents whose names tell them apart, where their rows have such a column."""
    documents = {id(d.source): d.source for d in docs}
    named = dict(zip(documents, with_distinct_names([*documents.values()]), strict=True))
    return [replace(d, source=named[id(d.source)]) for d in docs]


def _docs_table(docs: list[_Doc]) -> pa.Table:
    columns: dict[str, Any] = {
        "doc": range(len(docs)),
        "source": [d.source.source for d in docs],
        "part": [d.part for d in docs],
        "n_tokens": [d.n_tokens for d in docs],
        "text": [d.text for d in docs],
        "text_start": [d.text_start for d in docs],
    }
    fields = [*schema.DOCS, schema.TEXT_START]
    table = pa.table({f.name: pa.array(columns[f.name], f.type) for f in fields})
    for name, column in distinct_columns(k for d in docs for k in d.source.metadata).items():
        values = [d.source.metadata.get(name) for d in docs]
        table = table.append_column(column, _column(values))
    return table


def _column(values: list[Any]) -> pa.Array:
    """Values of one type keep it; mixed types and integers beyond 64 bits become text."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if v is None else str(v) for v in values])


def _tokens_table(docs: list[_Doc], tokenizer: PreTrainedTokenizerBase) -> pa.Table:
    scored = np.concatenate([d.window[d.first :] for d in docs])
    previous = np.concatenate([d.window[d.first - 1 : -1] for d in docs])
    types = np.unique(np.concatenate([scored, previous]))
    strings = dict(zip(types.tolist(), token_strings(tokenizer, types.tolist()), strict=True))
    counts = Counter(scored.tolist())
    columns: dict[str, Any] = {
        "row": np.arange(len(scored)),
        "doc": np.repeat(np.arange(len(docs)), [d.n_tokens for d in docs]),
        "position": np.concatenate([np.arange(d.first, len(d.window)) for d in docs]),
        "token_id": scored,
        "token_str": [strings[i] for i in scored.tolist()],
        "prev_token_str": [strings[i] for i in previous.tolist()],
        "corpus_count": [counts[i] for i in scored.tolist()],
    }
    for name in docs[0].columns:
        columns[name] = [value for doc in docs for value in doc.columns[name]]
    fields = schema.tokens(chat=schema.CHAT.names[0] in columns)
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in fields})

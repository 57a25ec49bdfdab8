"""Source documents + tokenizer -> docs, tokens and the windows that the model will see."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from transformers import PreTrainedTokenizerBase

from ingest.errors import IngestError
from ingest.features import ngram_seen_before
from ingest.texts import SourceDocument
from ingest.vocabulary import token_strings
from ingest.words import find_words
from store import schema


@dataclass(frozen=True)
class Convention:
    """How a text is cut: at most `context_length` tokens a doc, the BOS included."""

    context_length: int
    bos_id: int | None
    max_parts: int | None = None

    @property
    def room(self) -> int:
        """Text tokens that fit into one doc."""
        return self.context_length - (self.bos_id is not None)


@dataclass(frozen=True)
class Corpus:
    """A tokenized text. Row r of `tokens` is the r-th predicted token of `windows` in order."""

    docs: pa.Table
    tokens: pa.Table
    windows: list[np.ndarray]
    """What the model sees, int64 (length,) each, the BOS first; all but the first are predicted."""
    n_documents: int

    @property
    def n_tokens(self) -> int:
        return int(self.tokens.num_rows)


@dataclass(frozen=True)
class _Doc:
    source: SourceDocument
    part: int
    text: str
    window: np.ndarray
    columns: dict[str, Any]


def build_corpus(
    documents: list[SourceDocument], tokenizer: PreTrainedTokenizerBase, convention: Convention
) -> Corpus:
    """Tokenize without special tokens, cut into docs, compute every token feature.

    Raises IngestError for a tokenizer without offsets or a text too short to predict anything.
    """
    if not tokenizer.is_fast:
        raise IngestError(
            f"{type(tokenizer).__name__} gives no character offsets, which word starts need: "
            "name a fast tokenizer with --tokenizer"
        )
    docs = [doc for d in documents for doc in _cut(d, tokenizer, convention)]
    if not docs:
        raise IngestError("the text has no token that can be predicted: it is too short")
    return Corpus(_docs_table(docs), _tokens_table(docs, tokenizer), [d.window for d in docs],
                  len(documents))  # fmt: skip


def _cut(
    document: SourceDocument, tokenizer: PreTrainedTokenizerBase, convention: Convention
) -> list[_Doc]:
    encoded = tokenizer(
        document.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )
    ids = np.array(encoded["input_ids"], dtype=np.int64)
    offsets = np.array(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
    words = find_words(document.text, offsets)
    starts = range(0, len(ids), convention.room)[: convention.max_parts]
    cuts = [slice(start, start + convention.room) for start in starts]
    columns = [
        {
            "offsets": offsets[cut],
            "is_word_start": words.is_word_start[cut],
            "word": words.word[cut],
            "word_part": words.word_part[cut],
        }
        for cut in cuts
    ]
    docs = [
        _make_doc(document, part, ids[cut], values, convention.bos_id)
        for part, (cut, values) in enumerate(zip(cuts, columns, strict=True))
    ]
    return [doc for doc in docs if len(doc.window) > 1]


def _make_doc(
    document: SourceDocument, part: int, ids: np.ndarray, values: dict[str, Any], bos: int | None
) -> _Doc:
    """One doc; without a BOS its first token is seen but not predicted, so it has no row."""
    window = ids if bos is None else np.concatenate([[bos], ids])
    skipped = 1 if bos is None else 0
    begin, end = int(values["offsets"][0, 0]), int(values["offsets"][-1, 1])
    columns: dict[str, Any] = {name: column[skipped:] for name, column in values.items()}
    spans = columns.pop("offsets") - begin
    columns |= {"char_start": spans[:, 0], "char_end": spans[:, 1]}
    columns |= {
        name: ngram_seen_before(window, n)[1:]
        for n, name in enumerate(("seen_before", "bigram_seen_before", "trigram_seen_before"), 1)
    }
    return _Doc(document, part, document.text[begin:end], window, columns)


def _docs_table(docs: list[_Doc]) -> pa.Table:
    columns: dict[str, Any] = {
        "doc": range(len(docs)),
        "source": [d.source.source for d in docs],
        "part": [d.part for d in docs],
        "n_tokens": [len(d.window) - 1 for d in docs],
        "text": [d.text for d in docs],
    }
    table = pa.table({f.name: pa.array(columns[f.name], f.type) for f in schema.DOCS})
    for name in dict.fromkeys(k for d in docs for k in d.source.metadata):
        values = [d.source.metadata.get(name) for d in docs]
        table = table.append_column(name, _column(values))
    return table


def _column(values: list[Any]) -> pa.Array:
    """Values of one type keep it; mixed types, and integers beyond 64 bits, are kept as text."""
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError):
        return pa.array([None if v is None else str(v) for v in values])


def _tokens_table(docs: list[_Doc], tokenizer: PreTrainedTokenizerBase) -> pa.Table:
    predicted = np.concatenate([d.window[1:] for d in docs])
    previous = np.concatenate([d.window[:-1] for d in docs])
    types = np.unique(np.concatenate([predicted, previous]))
    strings = dict(zip(types.tolist(), token_strings(tokenizer, types.tolist()), strict=True))
    counts = Counter(predicted.tolist())
    columns: dict[str, Any] = {
        "row": np.arange(len(predicted)),
        "doc": np.repeat(np.arange(len(docs)), [len(d.window) - 1 for d in docs]),
        "position": np.concatenate([np.arange(1, len(d.window)) for d in docs]),
        "token_id": predicted,
        "token_str": [strings[i] for i in predicted.tolist()],
        "prev_token_str": [strings[i] for i in previous.tolist()],
        "corpus_count": [counts[i] for i in predicted.tolist()],
    }
    for name in docs[0].columns:
        columns[name] = [value for doc in docs for value in doc.columns[name]]
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in schema.TOKENS})

"""Stores of given texts, cut into tokens anywhere: as by different tokenizers."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from store import schema
from store.layout import Layout
from store.manifest import write_manifest
from tests.queries.support.stores import add_checkpoint, manifest_of

TEXTS = {
    "bells": "The bells rang out,\n\nand the town—naïve as ever—listened. "
    "\u00a0 It was late 🙂🙂 now.\n",
    "rain": "  Rain fell on the roofs of Zürich; it had not rained\tfor weeks.",
    "short": "Well.",
}


@dataclass(frozen=True)
class Cut:
    """How texts become tokens: of random lengths up to `longest`, in windows of `window` tokens."""

    seed: int
    longest: int = 7
    window: int = 1_000
    overlap: int = 0
    has_bos: bool = True
    trimmed: bool = False
    """Do the spans of tokens leave out the blanks before them, as GPT-NeoX's do?"""
    starts_known: bool = True
    """Does docs.parquet say where each text starts?"""


def text_store(
    root: Path, cut: Cut, texts: Mapping[str, str] = TEXTS, steps: tuple[int, ...] = (0, 100)
) -> Path:
    """A store of these texts with random losses; returns `root`."""
    rng = np.random.default_rng(cut.seed)
    docs: list[dict[str, object]] = []
    tokens: list[dict[str, object]] = []
    for source, text in texts.items():
        spans = _spans(rng, text, cut)
        begins = range(0, len(spans), cut.window - cut.overlap)
        for part, begin in enumerate(begins):
            window = spans[begin : begin + cut.window]
            first = cut.overlap if part else 0
            first = max(first, 0 if cut.has_bos else 1)
            scored = window[first:]
            if not scored:
                break
            text_start = window[0][0]
            doc = {"doc": len(docs), "source": source, "part": part, "n_tokens": len(scored)}
            docs.append(doc | {"text": text[text_start : window[-1][1]], "text_start": text_start})
            tokens += [
                _token(len(tokens) + i, doc["doc"], first + i + cut.has_bos, text, span, text_start)
                for i, span in enumerate(scored)
            ]
            if begin + cut.window >= len(spans):
                break
    layout = Layout(root)
    layout.losses.mkdir(parents=True)
    table = pa.Table.from_pylist(tokens, schema.TOKENS)
    fields = [*schema.DOCS, *([schema.TEXT_START] if cut.starts_known else [])]
    pq.write_table(table, layout.tokens)
    pq.write_table(pa.Table.from_pylist(docs, pa.schema(fields)), layout.docs)
    write_manifest(manifest_of(table, len(docs)), layout.manifest)
    for step in steps:
        add_checkpoint(root, step, rng.exponential(3, len(tokens)))
    return root


def _spans(rng: np.random.Generator, text: str, cut: Cut) -> list[tuple[int, int]]:
    ends = np.cumsum(rng.integers(1, cut.longest + 1, len(text)))
    ends = np.unique(np.append(ends[ends < len(text)], len(text))).tolist()
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    if not cut.trimmed:
        return spans
    stripped = [(e - len(text[b:e].lstrip()), e) for b, e in spans]
    return [(b, e) for b, e in stripped if b < e and text[b:e].strip()]


def _token(
    row: int, doc: object, position: int, text: str, span: tuple[int, int], start: int
) -> dict[str, object]:
    begin, end = span
    piece = text[begin:end]
    before = text[:begin]
    return {
        "row": row, "doc": doc, "position": position, "token_id": hash(piece) % 1000,
        "token_str": piece, "is_word_start": not before or before[-1].isspace(),
        "char_start": begin - start, "char_end": end - start,
    }  # fmt: skip

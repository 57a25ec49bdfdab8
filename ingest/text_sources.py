"""The text that a run scores, wherever it is: named, opened, and read no further than asked for."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import IngestError
from ingest.hub_texts import named_dataset, read_dataset, resolved
from ingest.texts import SourceDocument, read_texts


@dataclass(frozen=True)
class Text:
    """A text as the manifest names it, and its documents, each read when it is asked for."""

    name: str
    commit: str | None
    documents: Iterator[SourceDocument]


def open_text(
    text: str | Path,
    column: str = "text",
    split: str | None = None,
    limit_docs: int | None = None,
) -> Text:
    """A local file or folder, else `wikitext-2`, `wikitext-103` or `hf:REPO:CONFIG:SPLIT`.

    Documents without any character are left out; at most `limit_docs` of the others are given.
    Raises IngestError, also while documents are read, for what cannot be read or holds no text.
    """
    path = Path(text)
    dataset = None if path.exists() else named_dataset(str(text), split)
    if dataset:
        dataset = resolved(dataset)
        found = read_dataset(dataset, column)
        return Text(dataset.name, dataset.commit, _with_text(found, dataset.name, limit_docs))
    if split:
        raise IngestError(f"--split {split} is for texts on the Hub, and {text} is none: omit it")
    found = read_texts(path, column)
    return Text(path.resolve().name, None, _with_text(found, str(text), limit_docs))


def _with_text(
    found: Iterator[SourceDocument], name: str, limit: int | None
) -> Iterator[SourceDocument]:
    kept = empty = 0
    for document in found:
        if not document.text.strip():
            empty += 1
            continue
        yield document
        kept += 1
        if kept == limit:
            break
    if not kept:
        raise IngestError(f"{name} holds no text: every document in it is empty")
    if empty:
        message = f"{empty:,} of {kept + empty:,} documents hold no text and are left out"
        print(message, file=sys.stderr)

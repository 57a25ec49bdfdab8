"""The names of source documents, and of their metadata columns.

Source documents are the sampled unit of every band, so two documents of one name count as one.
Which column tells them apart is known once all rows are read.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ingest.text.chat import Message
from store import schema

# Columns that may hold a document's name, in order of preference.
NAME_COLUMNS = ("source", "id", "name", "title")
# On the Hub, a column `source` usually holds the collection, not the document.
HUB_NAME_COLUMNS = ("id", "title")
# Columns that are tried if the preferred one has a value twice.
_IDENTIFIERS = ("doc_id", "document_id", "uuid", "_id", "key", "url", "path", "filename")
_SCHEMAS = (schema.DOCS, schema.TOKENS, schema.LOSSES)
_RESERVED = {name for s in _SCHEMAS for name in s.names} | {schema.TEXT_START.name, "doc_tokens"}


@dataclass(frozen=True)
class SourceDocument:
    """One document as it was read, before it is cut into docs of one context window each."""

    source: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)
    messages: tuple[Message, ...] = ()
    """The conversation, if the document is one. Then `text` holds the contents only, since a chat
    template makes the text that the model sees."""
    name_column: str | None = field(default=None, compare=False)
    """The column that `source` is from."""
    names: dict[str, str] = field(default_factory=dict, compare=False)
    """What the row has in the columns that may hold its name, in order of preference. Empty if the
    user named the column, which then counts although rows may share a name in it."""


def name_column(row: dict[str, Any], column: str, preferred: tuple[str, ...]) -> str | None:
    """The first of the `preferred` columns that the row has, apart from its text."""
    return next((n for n in preferred if n != column and row.get(n) is not None), None)


def candidates(
    row: dict[str, Any], column: str, preferred: tuple[str, ...] = NAME_COLUMNS
) -> dict[str, str]:
    """The row's values in all columns that may hold its name, in order of preference."""
    columns = dict.fromkeys((*preferred, *_IDENTIFIERS))
    return {n: str(row[n]) for n in columns if n != column and row.get(n) is not None}


def free_name(name: str) -> str:
    """Metadata columns may not shadow the store's own, nor a column that was renamed for that."""
    reserved = re.sub("^(meta_)*", "", name.lower()) in _RESERVED
    return f"meta_{name}" if reserved else name


def with_distinct_names(documents: list[SourceDocument]) -> list[SourceDocument]:
    """The documents, named by the first column that differs in each row, if one does.

    Says so if that is not the preferred column, and warns if there is no such column. A column
    that the user named stays without a word.
    """
    if all(d.name_column and not d.names for d in documents):
        return documents
    if not (repeated := _repeated([d.source for d in documents])):
        return documents
    found = next((c for c in _shared_columns(documents) if not _repeated_in(c, documents)), None)
    if found is None:
        _warn(documents, repeated)
        return documents
    before = next(d.name_column for d in documents if d.name_column)
    print(
        f"note: the column {found} names the source documents, as {before} has the same value in "
        f"several rows ({_most(repeated)}); {before} is kept as {free_name(before)}",
        file=sys.stderr,
    )
    return [_renamed(document, found) for document in documents]


def _repeated(names: list[str]) -> dict[str, int]:
    return {name: n for name, n in Counter(names).items() if n > 1}


def _repeated_in(column: str, documents: list[SourceDocument]) -> dict[str, int]:
    return _repeated([d.names[column] for d in documents])


def _shared_columns(documents: list[SourceDocument]) -> list[str]:
    """The columns that may hold a name and that no document lacks, in order of preference."""
    return [c for c in documents[0].names if all(c in d.names for d in documents)]


def _renamed(document: SourceDocument, column: str) -> SourceDocument:
    metadata = {k: v for k, v in document.metadata.items() if k != free_name(column)}
    if before := document.name_column:
        metadata = {free_name(before): document.names[before], **metadata}
    return replace(document, source=document.names[column], metadata=metadata, name_column=column)


def _warn(documents: list[SourceDocument], repeated: dict[str, int]) -> None:
    column = next((d.name_column for d in documents if d.name_column), None)
    where = f"the column {column}" if column else "their files"
    n_names = len({d.source for d in documents})
    print(
        f"warning: {len(documents):,} documents have only {n_names:,} different names in {where} "
        f"({_most(repeated)}). Documents of one name count as one source document in bands. If "
        "they are separate, give each a name of its own in a column id",
        file=sys.stderr,
    )


def _most(repeated: dict[str, int]) -> str:
    name, n = max(repeated.items(), key=lambda item: item[1])
    return f"{name[:40]!r} {n:,} times"


def distinct_columns(names: Iterable[str]) -> dict[str, str]:
    """Column -> its name in the store, where SQL does not tell `Year` from `year`.

    The name in lower case stays; another one says how it was written, as in `Year_capitalized`.
    """
    names = list(dict.fromkeys(names))
    written = Counter(name.lower() for name in names)
    taken = {name.lower() for name in names}
    found = {}
    for name in names:
        found[name] = name
        if written[name.lower()] > 1 and name != name.lower():
            found[name] = _free(f"{name}_{_spelling(name)}", taken)
            taken.add(found[name].lower())
    if renamed := {k: v for k, v in found.items() if k != v}:
        pairs = ", ".join(f"{k} is {v}" for k, v in renamed.items())
        print(f"note: SQL ignores the case of column names: {pairs}", file=sys.stderr)
    return found


def _spelling(name: str) -> str:
    if name == name.upper():
        return "uppercase"
    return "capitalized" if name == name.capitalize() else "mixed_case"


def _free(name: str, taken: set[str]) -> str:
    numbers = (f"{name}_{n}" for n in range(2, len(taken) + 3))
    return next(n for n in (name, *numbers) if n.lower() not in taken)

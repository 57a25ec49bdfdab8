"""The text of a run: source documents from local files, WikiText, or any data set on the Hub.

Documents are read lazily, no further than the run needs.
"""

import json
import os
import shlex
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import IngestError, first_line
from ingest.text.chat import Message, read_messages
from ingest.text.document_names import (
    HUB_NAME_COLUMNS,
    NAME_COLUMNS,
    SourceDocument,
    candidates,
    free_name,
    name_column,
)
from store import schema

FILE_TYPES = (".txt", ".jsonl", ".parquet")
WIKITEXT = {"wikitext-2": "wikitext-2-raw-v1", "wikitext-103": "wikitext-103-raw-v1"}
_SYSTEM_FOLDERS = {"__MACOSX", "__pycache__"}
DEFAULT_SPLIT = "test"  # the split on which language models are compared


@dataclass(frozen=True)
class Text:
    """A text under its name in the manifest, and its documents, each read on demand."""

    name: str
    commit: str | None
    documents: Iterator[SourceDocument]


def open_text(
    text: str | Path,
    column: str = "text",
    split: str | None = None,
    limit_docs: int | None = None,
    document_column: str | None = None,
    chat: bool = False,
) -> Text:
    """A local file or folder, else `wikitext-2`, `wikitext-103` or `hf:REPO:CONFIG:SPLIT`.

    Blank documents are left out; at most `limit_docs` of the others are read. `document_column`
    names the source documents; with `chat`, `column` holds lists of messages. Raises IngestError,
    also while documents are read, for anything that cannot be read or holds no text.
    """
    if document_column == column:
        raise IngestError(f"--document-column {column} is the column of the text: name another")
    path = Path(text)
    dataset = None if path.exists() else named_dataset(str(text), split)
    if dataset:
        dataset = _with_commit(dataset)
        documents = read_dataset(dataset, column, document_column, chat)
        return Text(dataset.name, dataset.commit, _not_blank(documents, dataset.name, limit_docs))
    if split:
        raise IngestError(f"--split {split} is for texts on the Hub, and {text} is local: omit it")
    documents = read_texts(path, column, document_column, chat)
    return Text(path.resolve().name, None, _not_blank(documents, str(text), limit_docs))


def _not_blank(
    documents: Iterator[SourceDocument], name: str, limit: int | None
) -> Iterator[SourceDocument]:
    kept = blank = 0
    for document in documents:
        if not document.text.strip():
            blank += 1
            continue
        yield document
        kept += 1
        if kept == limit:
            break
    if not kept:
        raise IngestError(f"{name} holds no text: every document in it is empty")
    if blank:
        verbs = "holds no text and is" if blank == 1 else "hold no text and are"
        message = f"{blank:,} of {kept + blank:,} documents {verbs} left out"
        print(message, file=sys.stderr)


def from_row(
    row: dict[str, Any],
    fallback: str,
    origin: str,
    column: str,
    names: tuple[str, ...] = NAME_COLUMNS,
    document_column: str | None = None,
    chat: bool = False,
) -> SourceDocument:
    """A document from a row: its text, its name, metadata.

    The name is from `document_column`, else from the first of `names` that the row has, else it is
    `fallback`. `origin` says in messages where the row is from. Raises IngestError if `column` is
    absent or holds no text (with `chat`, no messages), or if the row has nothing in
    `document_column`.
    """
    if column not in row:
        columns = ", ".join(sorted(row)) or "none"
        raise IngestError(
            f"{origin} has no column {column!r}; its columns are {columns}: "
            "name the one that holds the text with --column"
        )
    text = row[column]
    if text is not None and not isinstance(text, str) and not chat:
        raise IngestError(
            f"{origin}: column {column!r} holds a {type(text).__name__}, expected text: "
            "name another with --column, or add --chat if it holds conversations"
        )
    if document_column is not None and row.get(document_column) is None:
        raise IngestError(
            f"{origin} has a row without {document_column!r}, which --document-column names; its "
            f"columns are {', '.join(sorted(row))}: name one that every row has, or omit it"
        )
    name = document_column or name_column(row, column, names)
    metadata = {free_name(k): _scalar(v) for k, v in row.items() if k not in (column, name)}
    source = str(row[name]) if name else fallback
    others = {} if document_column else candidates(row, column, names)
    if chat:
        messages = read_messages(text, f"column {column!r} of {origin}, document {source!r}")
        text = "\n".join(message.content for message in messages)
        metadata = _chat_metadata(messages, metadata)
        return SourceDocument(source, text, metadata, messages, name, others)
    return SourceDocument(source, text or "", metadata, name_column=name, names=others)


def _chat_metadata(messages: tuple[Message, ...], metadata: dict[str, Any]) -> dict[str, Any]:
    """With the roles; other columns may not shadow them, nor those of the tokens."""
    reserved = {"roles", *schema.CHAT.names}
    kept = {f"meta_{k}" if k.lower() in reserved else k: v for k, v in metadata.items()}
    return {"roles": _scalar([message.role for message in messages]), **kept}


def _scalar(value: Any) -> Any:
    """Nested values are kept as JSON text, so that every metadata column is a plain one."""
    return json.dumps(value, default=str) if isinstance(value, dict | list) else value


@dataclass(frozen=True)
class _Columns:
    """The columns that hold the text, or with `chat` the messages, and the document's name."""

    text: str
    document: str | None
    chat: bool

    def refuse_no_columns(self, text: object) -> None:
        """Raises IngestError if the user said something about columns."""
        if self.document is not None:
            raise IngestError(
                f"{text} has no columns, but --document-column {self.document} names one: omit it"
            )
        if self.chat:
            raise IngestError(
                f"{text} has no columns, but --chat needs one of messages: use a .jsonl or "
                ".parquet file, or omit --chat"
            )


def read_texts(
    path: Path, column: str = "text", document_column: str | None = None, chat: bool = False
) -> Iterator[SourceDocument]:
    """All documents of a file or folder, in a fixed order.

    Raises IngestError at once for a missing path or an unknown file type, and while reading for a
    missing column or text that is not UTF-8.
    """
    files = _files(path)
    names = Counter(_name(file, path) for file in files)
    columns = _Columns(column, document_column, chat)
    return (document for file in files for document in _read_file(file, path, columns, names))


def _files(path: Path) -> list[Path]:
    types = ", ".join(FILE_TYPES)
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if _is_text(p, path))
        if not files:
            raise IngestError(f"{path} has no {types} files in it (hidden files do not count)")
        return files
    if not path.exists():
        raise IngestError(f"{path} does not exist: expected a {types} file or a folder")
    if _type(path) not in FILE_TYPES:
        ending = f"ends in {path.suffix}" if path.suffix else "has no file extension"
        raise IngestError(f"{path} {ending}: expected {types}")
    return [path]


def _is_text(file: Path, root: Path) -> bool:
    """Hidden files are notes of an editor or a file system, such as `.ipynb_checkpoints/a.txt`."""
    parts = file.relative_to(root).parts
    hidden = any(part.startswith(".") or part in _SYSTEM_FOLDERS for part in parts)
    return _type(file) in FILE_TYPES and not hidden and file.is_file()


def _type(file: Path) -> str:
    return file.suffix.lower()


def _read_file(
    file: Path, root: Path, columns: _Columns, names: Counter[str]
) -> Iterator[SourceDocument]:
    """`names` counts the files of each name: `a.txt` and `a.TXT` are two documents."""
    name = _name(file, root)
    name += file.suffix if names[name] > 1 else ""
    if _type(file) == ".txt":
        columns.refuse_no_columns(file)
        yield SourceDocument(name, _decode(file))
        return
    rows = _jsonl_rows(file) if _type(file) == ".jsonl" else _parquet_rows(file)
    for number, row in enumerate(rows):
        origin = f"{name}:{number}"
        yield from_row(
            row,
            origin,
            str(file),
            columns.text,
            document_column=columns.document,
            chat=columns.chat,
        )


def _name(file: Path, root: Path) -> str:
    return _readable(str(file.relative_to(root).with_suffix("")) if root.is_dir() else file.stem)


def _readable(name: str) -> str:
    """A file name that is not UTF-8 holds lone surrogates, which Parquet cannot store."""
    return os.fsencode(name).decode("utf-8", "replace")


def _decode(file: Path) -> str:
    content = file.read_bytes()
    encoding = _wide_encoding(content)
    try:
        if not encoding:
            return content.decode("utf-8-sig")
        found = f"is {encoding.upper()} text"
    except UnicodeDecodeError as error:
        encoding = "latin1"
        found = f"is not UTF-8 text (byte {error.start} cannot be decoded)"
    old, new = shlex.quote(str(file)), shlex.quote(f"{file}.new")
    raise IngestError(
        f"{file} {found}, expected UTF-8: convert it, for example with "
        f"`iconv -f {encoding} -t utf-8 {old} > {new} && mv {new} {old}`"
    )


def _wide_encoding(content: bytes) -> str | None:
    """UTF-16 or UTF-32 if a byte order mark or every other byte says so."""
    marks = {"utf-32": (b"\xff\xfe\0\0", b"\0\0\xfe\xff"), "utf-16": (b"\xff\xfe", b"\xfe\xff")}
    for encoding, starts in marks.items():
        if content.startswith(starts):
            return encoding
    half = len(content) // 2
    zeros = {"utf-16be": content[::2].count(0), "utf-16le": content[1::2].count(0)}
    return next((name for name, n in zeros.items() if half and n > 0.7 * half), None)


def _jsonl_rows(file: Path) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(_decode(file).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            json.dumps(row, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise IngestError(
                f"{file}, line {number}, has half a character (a lone surrogate, "
                f"{error.object[error.start]!r}): repair the file's escapes"
            ) from error
        except (ValueError, RecursionError) as error:
            raise IngestError(f"{file}, line {number}, is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise IngestError(f"{file}, line {number}, is not a JSON object with named fields")
        yield row


def _parquet_rows(file: Path) -> Iterator[dict[str, Any]]:
    try:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches():
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise IngestError(f"{file} is not a readable Parquet file ({error})") from error


@dataclass(frozen=True)
class Dataset:
    """One split of a data set on the Hub. Without a configuration, its only or default one."""

    repo_id: str
    config: str | None
    split: str
    commit: str | None = None

    @property
    def name(self) -> str:
        return ":".join([self.repo_id, self.config or "", self.split])

    @property
    def is_wikitext(self) -> bool:
        return self.repo_id == "Salesforce/wikitext"


def named_dataset(name: str, split: str | None) -> Dataset | None:
    """The data set that `wikitext-2`, `wikitext-103` or `hf:REPO:CONFIG:SPLIT` names, else None.

    Raises IngestError for a malformed name, or one that names another split than `split`.
    """
    if name in WIKITEXT:
        return Dataset("Salesforce/wikitext", WIKITEXT[name], split or DEFAULT_SPLIT)
    if not name.startswith("hf:"):
        return None
    repo, config, own_split = [*name.removeprefix("hf:").split(":"), "", ""][:3]
    if name.count(":") > 3 or not repo:
        raise IngestError(f"--text {name} is not of the form hf:REPO:CONFIG:SPLIT: correct it")
    if own_split and split and own_split != split:
        raise IngestError(f"--text {name} and --split {split} name two splits: give one of them")
    return Dataset(repo, config or None, own_split or split or DEFAULT_SPLIT)


def _with_commit(dataset: Dataset) -> Dataset:
    """Pin the commit of the data set's main branch. Raises IngestError if the Hub has none."""
    from ingest.sources.hub import dataset_commit  # a second to import, for texts on the Hub only

    return replace(dataset, commit=dataset_commit(dataset.repo_id))


def read_dataset(
    dataset: Dataset, column: str, document_column: str | None = None, chat: bool = False
) -> Iterator[SourceDocument]:
    """WikiText's articles, or a document for each row of any other data set, in order.

    Raises IngestError if the Hub does not deliver them, and for a missing column.
    """
    rows = _hub_rows(dataset)
    if dataset.is_wikitext:
        _Columns(column, document_column, chat).refuse_no_columns(dataset.name)
        yield from articles(str(row["text"]) for row in rows)
        return
    for number, row in enumerate(rows):
        name = f"{dataset.split}:{number}"
        yield from_row(row, name, dataset.name, column, HUB_NAME_COLUMNS, document_column, chat)


def _hub_rows(dataset: Dataset) -> Iterator[dict[str, Any]]:
    from datasets import disable_progress_bars, load_dataset  # two seconds to import

    from ingest.sources.retries import with_retries

    disable_progress_bars()
    load = partial(
        load_dataset,
        dataset.repo_id,
        dataset.config,
        split=dataset.split,
        streaming=True,
        revision=dataset.commit,
    )
    try:
        yield from with_retries(load)  # `datasets` itself retries reading
    except Exception as error:  # any library error: no such configuration, split or file
        raise IngestError(
            f"{dataset.name} cannot be read ({first_line(error)}): expected "
            "hf:REPO:CONFIG:SPLIT with a configuration and a split that the data set has; if the "
            "Hub was unavailable, rerun the same command later"
        ) from error


def articles(lines: Iterable[str]) -> Iterator[SourceDocument]:
    """WikiText's lines -> its articles, named by their titles.

    The rule of `EleutherAI/wikitext_document_level`, which lm-evaluation-harness scores: a
    first-level heading opens an article. Blank lines are `" "` in the published text, and `""` in
    the rows of the data set. A repeated title gets a number, since it is another article.
    """
    seen: Counter[str] = Counter()
    title: str | None = None
    article: list[str] = []
    for line in lines:
        text = line.removesuffix("\n") or " "
        if new_title := _title(text):
            yield from _article(title, article, seen)
            title, article = new_title, []
        article.append(text)
    yield from _article(title, article, seen)


def _title(line: str) -> str | None:
    heading = line.replace("= = =", "===").replace("= =", "==").strip()
    is_title = heading.startswith("= ") and heading.endswith(" =")
    return line.strip()[2:-2].strip() or heading if is_title else None


def _article(title: str | None, lines: list[str], seen: Counter[str]) -> Iterator[SourceDocument]:
    text = "\n".join(lines)
    if not text.strip():
        return
    name = title or "before the first title"
    seen[name] += 1
    yield SourceDocument(name if seen[name] == 1 else f"{name} ({seen[name]})", text)

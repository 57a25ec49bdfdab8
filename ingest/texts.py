"""Local text files -> source documents: .txt files or folders, .jsonl, .parquet."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import IngestError
from store import schema

KINDS = (".txt", ".jsonl", ".parquet")
# Columns that name a document, in order of preference.
NAMES = ("source", "id", "name", "title")
_TAKEN = {*schema.DOCS.names, *schema.TOKENS.names, *schema.LOSSES.names}


@dataclass(frozen=True)
class SourceDocument:
    """One text as it was found, before it is cut into docs of a context window each."""

    source: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


def read_texts(path: Path, column: str = "text") -> Iterator[SourceDocument]:
    """All documents of a file or folder, in a fixed order, each read when it is asked for.

    Raises IngestError at once for a missing path or an unknown kind, and while reading for a
    missing column or text that is not UTF-8.
    """
    files = _files(path)
    return (document for file in files for document in _read(file, path, column))


def from_row(
    row: dict[str, Any], fallback: str, of: str, column: str, names: tuple[str, ...] = NAMES
) -> SourceDocument:
    """A row's text, its name (the first of the columns `names` that it has), and all else.

    Raises IngestError where `column` is absent or holds no text; `of` says where the row is from.
    """
    if column not in row:
        columns = ", ".join(sorted(row)) or "none"
        raise IngestError(
            f"{of} has no column {column!r}; its columns are {columns}: "
            "name the one that holds the text with --column"
        )
    text = row[column]
    if text is not None and not isinstance(text, str):
        raise IngestError(
            f"{of}: column {column!r} holds a {type(text).__name__}, expected text: "
            "name another with --column"
        )
    name = next((n for n in names if n != column and row.get(n) is not None), None)
    metadata = {_free_name(k): _scalar(v) for k, v in row.items() if k not in (column, name)}
    return SourceDocument(str(row[name]) if name else fallback, text or "", metadata)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        files = sorted(p for p in path.rglob("*") if p.suffix in KINDS and p.is_file())
        if not files:
            raise IngestError(f"{path} has no {', '.join(KINDS)} files in it")
        return files
    if not path.exists():
        raise IngestError(f"{path} does not exist: expected a {', '.join(KINDS)} file or a folder")
    if path.suffix not in KINDS:
        raise IngestError(f"{path} ends in {path.suffix or 'nothing'}: expected {', '.join(KINDS)}")
    return [path]


def _read(file: Path, root: Path, column: str) -> Iterator[SourceDocument]:
    name = _readable(str(file.relative_to(root).with_suffix("")) if root.is_dir() else file.stem)
    if file.suffix == ".txt":
        yield SourceDocument(name, _decode(file))
        return
    rows = _jsonl_rows(file) if file.suffix == ".jsonl" else _parquet_rows(file)
    for number, row in enumerate(rows):
        yield from_row(row, f"{name}:{number}", str(file), column)


def _readable(name: str) -> str:
    """A file name whose bytes are no UTF-8 holds lone surrogates, which Parquet cannot."""
    return os.fsencode(name).decode("utf-8", "replace")


def _decode(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise IngestError(
            f"{file} is not UTF-8 text (byte {error.start} cannot be read): convert it, for "
            f"example with `iconv -f latin1 -t utf-8 {file.name}`"
        ) from error


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


def _free_name(name: str) -> str:
    """A metadata column may not shadow one of the store's own, nor one that was renamed so."""
    own = re.sub("^(meta_)*", "", name.lower()) in _TAKEN
    return f"meta_{name}" if own else name


def _scalar(value: Any) -> Any:
    """Nested values are kept as JSON text, so that every metadata column is a plain one."""
    return json.dumps(value, default=str) if isinstance(value, dict | list) else value

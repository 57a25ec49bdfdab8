"""The files of an import: which they are, which checkpoint each holds, and their rows."""

import gzip
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pcsv
import pyarrow.parquet as pq

from ingest.errors import IngestError, first_line
from ingest.imports.results import Preview

KINDS = (".parquet", ".csv", ".tsv", ".jsonl", ".json", ".npy", ".npz", ".pt", ".txt")
ROWS = 2**18
"""Rows of a table in memory at a time."""
_BLOCK = 2**24  # bytes of a CSV file
_STEP = re.compile(r"(?:step|checkpoint|ckpt|revision|iter|epoch)[-_=]?(\d{1,18})", re.I)
_NUMBER = re.compile(r"(\d{1,18})")


def preview(path: Path) -> Preview:
    """Raises IngestError if there are no files, or none of a kind that an import reads."""
    if not path.exists():
        raise IngestError(f"{path} does not exist: expected a file or folder of per-token results")
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    files = [p for p in found if kind_of(p) in KINDS and not p.name.startswith(".")]
    if not files:
        raise IngestError(f"{path} has no {', '.join(KINDS[:-1])} or {KINDS[-1]} files")
    kinds = [kind_of(p) for p in files]
    kind = max(KINDS, key=lambda k: (kinds.count(k), -KINDS.index(k)))
    same = sorted(
        (p for p in files if kind_of(p) == kind),
        key=lambda p: (number_in(p, path) if number_in(p, path) is not None else -1, str(p)),
    )
    return Preview(path, same, kind, _first_record(same[0], kind))


def kind_of(path: Path) -> str:
    """The suffix that says how to read a file, without .gz."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def number_in(file: Path, root: Path) -> int | None:
    """The checkpoint that a file's name or that of its folder says.

    The last `step1000`, `checkpoint-1000` or the like, else the last number in the file's name.
    """
    name = str(file.relative_to(root)) if root.is_dir() else file.name
    named = _STEP.findall(name) or _NUMBER.findall(Path(name).stem)
    return int(named[-1]) if named else None


def checkpoint_of(file: Path, root: Path, given: tuple[int, ...]) -> int:
    """The checkpoint of a file that does not contain one. Raises IngestError if nothing says it."""
    number = given[0] if len(given) == 1 else number_in(file, root)
    if number is None:
        raise IngestError(
            f"{file} does not say which checkpoint it is of: give --checkpoints N, or put the step "
            "into its name, as in step1000"
        )
    return number


def _first_record(path: Path, kind: str) -> Mapping[str, Any]:
    if kind in (".jsonl", ".json"):
        return next(iter(records(path)), {})
    if kind in (".parquet", ".csv", ".tsv"):
        for table in tables(path, None):
            if table.num_rows:
                return cast(dict[str, Any], table.slice(0, 1).to_pylist()[0])
        raise IngestError(f"{path} has no rows: there are no losses in it")
    return {}


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The objects in a .jsonl file, or in the list (or single object) in a .json file."""
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        if kind_of(path) == ".json":
            yield from _objects(json.load(lines), path)
            return
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    found = json.loads(line)
                except ValueError as error:
                    raise IngestError(f"{path}, row {number:,}: no JSON ({error})") from error
                yield from _objects(found, path)


def _objects(found: Any, path: Path) -> Iterator[dict[str, Any]]:
    for each in found if isinstance(found, list) else [found]:
        if isinstance(each, dict):
            yield each
        else:  # a document without a name for its only content, as minicons prints it
            yield {"tokens": each}


def tables(path: Path, columns: Iterable[str] | None, rows: int = ROWS) -> Iterator[pa.Table]:
    """A .parquet, .csv, .tsv or .jsonl file in pieces of at most about `rows` rows.

    Raises IngestError for a column that it does not have, and for a damaged file.
    """
    wanted = list(dict.fromkeys(columns)) if columns is not None else None
    try:
        if kind_of(path) == ".parquet":
            with pq.ParquetFile(path) as parquet:
                refuse_missing(path, wanted, parquet.schema_arrow.names)
                for batch in parquet.iter_batches(rows, columns=wanted):
                    yield pa.Table.from_batches([batch])
        elif kind_of(path) in (".csv", ".tsv"):
            yield from _csv(path, wanted)
        else:
            found = iter(records(path))
            while some := list(islice(found, rows)):
                refuse_missing(path, wanted, list(some[0]))
                names = wanted if wanted is not None else list(some[0])
                yield pa.table({n: _column([r.get(n) for r in some], path, n) for n in names})
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise IngestError(f"{path} cannot be read ({first_line(error)})") from error


def _csv(path: Path, wanted: list[str] | None) -> Iterator[pa.Table]:
    """Blanks belong to tokens, and so do words such as null: only empty cells are missing."""
    delimiter = "\t" if kind_of(path) == ".tsv" else _delimiter(path)
    with pcsv.open_csv(
        path,
        read_options=pcsv.ReadOptions(block_size=_BLOCK),
        parse_options=pcsv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        convert_options=pcsv.ConvertOptions(
            null_values=["", "NaN", "nan"], strings_can_be_null=False, column_types=_csv_types(path)
        ),
    ) as reader:
        refuse_missing(path, wanted, reader.schema.names)
        for batch in reader:
            table = pa.Table.from_batches([batch])
            yield table if wanted is None else table.select(wanted)


def _csv_types(path: Path) -> dict[str, pa.DataType]:
    """Columns of text, also where all tokens of the first block happen to be numbers."""
    return {name: pa.string() for name in ("token_str", "token", "word", "piece", "source")}


def _delimiter(path: Path) -> str:
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as lines:
        header = lines.readline()
    return max(",\t; ", key=lambda c: (header.count(c) > 0, -",\t; ".index(c)))


def refuse_missing(path: Path, wanted: Iterable[str] | None, found: Iterable[str]) -> None:
    """Raises IngestError for a column that a file does not have."""
    for name in wanted or []:
        if name not in found:
            raise IngestError(
                f"{path} has no column {name!r}; its columns are {', '.join(found)}: name "
                "them with --map"
            )


def refuse_without_loss(found: Preview, names: Mapping[str, str]) -> None:
    """Raises IngestError unless `names` (our column -> theirs) has the loss and all exist."""
    refuse_missing(found.files[0], names.values(), found.record)
    if "loss" not in names:
        raise IngestError(
            f"{found.files[0]} has no column of losses; its columns are "
            f"{', '.join(found.record)}: name it with --map loss=…"
        )


def _column(values: list[Any], path: Path, name: str) -> pa.Array:
    try:
        return pa.array(values)
    except pa.ArrowInvalid:  # integers and floats in one column
        pass
    try:
        return pa.array(values, pa.float64())
    except (pa.ArrowException, TypeError) as error:
        raise IngestError(f"{path}: column {name!r} mixes types ({first_line(error)})") from error


def integers(values: pa.Array, path: Path, name: str) -> np.ndarray:
    """A column as int64 (n,). Raises IngestError with the first row that holds no integer."""
    if values.null_count:
        at = int(values.is_null().to_numpy(zero_copy_only=False).argmax())
        raise IngestError(f"{path}: {name} of value {at + 1:,} of a block is null")
    try:
        return np.asarray(values.cast(pa.int64()).to_numpy(zero_copy_only=False), np.int64)
    except pa.ArrowException as error:
        raise IngestError(f"{path}: {name}: expected integers ({first_line(error)})") from error


def floats(values: pa.Array, path: Path, name: str) -> np.ndarray:
    """A column as floating-point numbers (n,) of its own width; null is NaN."""
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        values = _parsed(values, path, name)
    if not pa.types.is_floating(values.type):
        values = values.cast(pa.float64())
    return np.asarray(values.to_numpy(zero_copy_only=False))


def _parsed(values: pa.Array, path: Path, name: str) -> pa.Array:
    try:
        return values.cast(pa.float64())
    except pa.ArrowException as error:
        raise IngestError(
            f"{path}: {name} holds text instead of numbers ({first_line(error)})"
        ) from error

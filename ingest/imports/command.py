"""`python -m ingest import`: its options from text, and what it prints."""

import sys
from pathlib import Path
from typing import Literal, TypeVar, cast, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from ingest.errors import IngestError
from ingest.imports.build import find_format, import_results
from ingest.imports.files import preview
from ingest.imports.formats import FORMATS
from ingest.imports.results import ImportOptions, Pieces, Unit

_Choice = TypeVar("_Choice", bound=str)


def options(
    columns: str | None,
    unit: str | None,
    tokens: Path | None,
    checkpoints: str | None,
    array: str | None,
    pieces: str | None,
    rank_from: int | None,
) -> ImportOptions:
    """The options as given on the command line. Raises IngestError for one that does not parse."""
    _refuse_other(unit, "--unit", get_args(Unit))
    _refuse_other(pieces, "--pieces", get_args(Pieces))
    return ImportOptions(
        _columns(columns or ""),
        cast(Unit | None, unit),
        tokens,
        _steps(checkpoints or ""),
        array,
        cast(Literal[0, 1] | None, rank_from),
        cast(Pieces | None, pieces),
    )


def _refuse_other(value: str | None, flag: str, expected: tuple[str, ...]) -> None:
    if value is not None and value not in expected:
        raise IngestError(f"{flag} is {value!r}: expected {', '.join(expected)}")


def _columns(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    for ours, sign, theirs in pairs:
        if not (ours and sign and theirs):
            raise IngestError(f"--map {text}: expected OURS=THEIRS,…, such as loss=nll,doc=seq_idx")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


def _steps(text: str) -> tuple[int, ...]:
    """From a list, a file with one step a line, or Parquet with a column `checkpoint`."""
    is_list = not text.strip(" ,0123456789")  # one of many steps is too long for a file's name
    if not is_list and not Path(text).is_file():
        raise IngestError(f"--checkpoints {text}: expected integers (0,100,…), or a file")
    if text.endswith(".parquet"):
        return _listed(Path(text))
    try:
        listed = text if is_list else Path(text).read_text(encoding="utf-8")
        return tuple(int(step) for step in listed.replace(",", " ").split())
    except ValueError as error:
        raise IngestError(
            f"--checkpoints {text}: expected integers, such as 0,100,200 ({error})"
        ) from error


def _listed(path: Path) -> tuple[int, ...]:
    """The steps in the file that `queries export` writes next to a matrix."""
    try:
        found = pq.read_table(path, columns=["checkpoint"])["checkpoint"]
        return tuple(found.cast(pa.int64()).to_pylist())
    except (OSError, pa.ArrowException) as error:
        raise IngestError(
            f"--checkpoints {path}: expected a column checkpoint of integers ({error})"
        ) from error


def list_formats() -> int:
    """Print the names of all formats."""
    width = max(map(len, FORMATS))
    for each in FORMATS.values():
        print(f"{each.name:{width}}  {each.title}")
    return 0


def sniff(path: Path, given: ImportOptions, format: str | None) -> int:
    """Print what `path` is taken for, and why."""
    found = preview(path)
    chosen, reason = find_format(found, format, given.columns)
    files = f"{len(found.files):,} {found.kind} files" if len(found.files) > 1 else "one file"
    print(f"{path}: {chosen.name}, {chosen.title} ({files}): {reason}")
    return 0


def run(
    path: Path,
    store: str | None,
    given: ImportOptions,
    format: str | None,
    name: str | None,
    text: str | None,
) -> int:
    """Import, and print what was imported and what was assumed."""
    if store is None:
        raise IngestError("--store is missing: name the folder to write, or give --sniff")
    if "://" in store:
        raise IngestError(
            f"--store {store} is a URL: import into a folder, and publish it with "
            "`python -m ingest push`"
        )
    imported = import_results(path, Path(store), given, format, name, text)
    for note in imported.notes:
        print(f"note: {note}", file=sys.stderr)
    print(f"{store}: {imported}")
    return 0

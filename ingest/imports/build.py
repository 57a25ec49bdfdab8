"""Write a store from imported results: all of it, or nothing."""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
from tqdm import tqdm

from ingest.errors import IngestError
from ingest.imports.files import preview
from ingest.imports.formats import FORMATS, long
from ingest.imports.results import Column, Format, ImportOptions, Preview, Results, Tokens
from ingest.imports.rows import TokensIncompleteError, assemble
from ingest.imports.tokens import Tables, make_tables
from ingest.imports.units import first_unusable, refuse, to_nats
from ingest.output.locks import file_lock
from ingest.output.outcomes import Outcome, summarize, write_outcomes
from ingest.output.tables import write_table
from ingest.output.writer import write_losses, write_prediction_columns
from ingest.sources.revisions import Checkpoint
from store import schema
from store.layout import Layout
from store.manifest import Manifest, write_manifest

_WRITERS = 4  # also wait for the disk
_LEVEL = 3  # of zstd: twice as fast as that of `ingest run`, for 1% more bytes


@dataclass(frozen=True)
class Imported:
    """What was imported."""

    format: Format
    n_tokens: int
    n_checkpoints: int
    seconds: float
    notes: list[str]

    def __str__(self) -> str:
        n_losses = self.n_tokens * self.n_checkpoints
        return (
            f"{self.n_checkpoints:,} checkpoints x {self.n_tokens:,} tokens, {n_losses:,} losses "
            f"in {self.seconds:.1f} s ({n_losses / self.seconds / 1e6:.1f} M losses/s), read as "
            f"{self.format.name}"
        )


def find_format(found: Preview, name: str | None, columns: Mapping[str, str]) -> tuple[Format, str]:
    """The format, and why. Raises IngestError for an unknown name, and for files of none."""
    if name is not None:
        if name not in FORMATS:
            raise IngestError(f"there is no format {name!r}: expected {', '.join(FORMATS)}")
        return FORMATS[name], FORMATS[name].recognise(found) or "named with --format"
    for each in FORMATS.values():
        if reason := each.recognise(found):
            return each, reason
    if (named := columns.get("loss")) in found.record:
        kind = "nested" if isinstance(found.record[str(named)], list) else "long"
        return FORMATS[kind], f"the column of losses is {named}, named with --map"
    _refuse_text(found)
    held = f"; its columns are {', '.join(found.record)}" if found.record else ""
    raise IngestError(
        f"{found.files[0]} is in no format that is recognised{held}: name its columns with --map "
        "and its format with --format long, nested or matrix"
    )


def _refuse_text(found: Preview) -> None:
    """A long table is not recognised by a loss that is text, such as 0,5 or '0.5'."""
    name = long.columns(found.record, {}).get("loss", "")
    if isinstance(value := found.record.get(name), str):
        raise IngestError(
            f"{found.files[0]}: the column {name!r} holds text ({value!r}), expected numbers; if "
            "it is the column of losses and all of its values are numbers, give --format long"
        )


def import_results(
    path: Path,
    store: Path,
    options: ImportOptions,
    format: str | None = None,
    model: str | None = None,
    text: str | None = None,
) -> Imported:
    """Write the results at `path` into a new store. `model` and `text` are names for its manifest.

    Raises IngestError for an existing store and for unusable results; then nothing is written.
    """
    began = time.perf_counter()
    _refuse_existing(store)
    found = preview(path)
    chosen, _ = find_format(found, format, options.columns)
    results = chosen.read(found, options)
    with _staged(store) as layout:
        tables, n_checkpoints, measures = _write_all(layout, results, options)
        manifest = _manifest(found, chosen, results, tables, measures, (model, text))
        write_manifest(manifest, layout.manifest)
    notes = [*results.notes, *tables.notes, *_float16(results), *tables.unknown_sentences]
    return Imported(
        chosen, tables.tokens.num_rows, n_checkpoints, time.perf_counter() - began, notes
    )


def _refuse_existing(store: Path) -> None:
    if store.exists() and (not store.is_dir() or any(store.iterdir())):
        raise IngestError(f"{store} exists already: name another --store, or delete it")


@contextmanager
def _staged(store: Path) -> Iterator[Layout]:
    """A folder next to the store, which becomes the store if the block succeeds."""
    store.parent.mkdir(parents=True, exist_ok=True)
    folder = store.with_name(f".{store.name}.importing")
    taken = IngestError(f"another import is writing {store}: wait for it or stop it")
    with file_lock(folder.with_name(f"{folder.name}.lock"), taken):
        shutil.rmtree(folder, ignore_errors=True)  # left behind by a killed import
        try:
            layout = Layout(folder)
            layout.losses.mkdir(parents=True)
            yield layout
            if store.exists():
                store.rmdir()  # it is empty
            folder.rename(store)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _write_all(
    layout: Layout, results: Results, options: ImportOptions
) -> tuple[Tables, int, set[str]]:
    """The text, the number of checkpoints, and which of rank and entropy are known."""
    rank_from = results.rank_from if options.rank_from is None else options.rank_from
    for all_of_it in (False, True):
        with tqdm(total=results.n_losses, unit="loss", unit_scale=True) as bar:
            try:
                tokens, columns = _columns(layout, results, bar.update, all_of_it)
                tables = make_tables(tokens, options.pieces or results.pieces)
                write_table(layout.docs, tables.docs)
                write_table(layout.tokens, tables.tokens)
                return tables, *_write_columns(layout, tables.tokens, columns, rank_from)
            except TokensIncompleteError:  # the first checkpoint is not in one piece: look at all
                if all_of_it:
                    raise
        for path in [*layout.scored().values(), *layout.predicted().values()]:
            path.unlink()
    raise AssertionError


def _columns(
    layout: Layout, results: Results, read: Callable[[int], object], all_of_it: bool
) -> tuple[Tokens, Iterator[Column]]:
    if results.batches is not None:
        scratch = layout.root / "unfinished"
        scratch.mkdir(exist_ok=True)
        tokens, columns = assemble(results.batches, results.unit, scratch, read, all_of_it)
        return tokens, columns
    assert results.tokens is not None and results.columns is not None
    return results.tokens, _in_nats(results, results.tokens, read)


def _in_nats(results: Results, tokens: Tokens, read: Callable[[int], object]) -> Iterator[Column]:
    assert results.columns is not None
    for column in results.columns():
        losses = to_nats(column.loss, results.unit)
        if (bad := first_unusable(losses)) is not None:
            at = int(np.flatnonzero(tokens.scored)[bad])
            place = f"doc {tokens.names[tokens.doc[at]]}, position {tokens.position[at]:,}"
            where = f"{column.file}, token {bad + 1:,} ({place})"
            where += f" at checkpoint {column.checkpoint:,}"
            raise refuse(where, float(column.loss[bad]), results.unit)
        yield Column(column.checkpoint, column.file, losses, column.rank, column.entropy)
        read(len(losses))


def _write_columns(
    layout: Layout, tokens: pa.Table, columns: Iterator[Column], rank_from: int
) -> tuple[int, set[str]]:
    """Write each column's files, while the next ones are read."""
    repeated = tokens.select(schema.REPEATED)
    outcomes: list[Outcome] = []
    measures = {"rank", "entropy"}
    with ThreadPoolExecutor(_WRITERS) as pool:
        pending: list[Future[Outcome]] = []
        for column in columns:
            if len(pending) > _WRITERS:
                outcomes.append(pending.pop(0).result())
            predictions = _predictions(column, rank_from)
            measures &= predictions.keys()
            pending.append(pool.submit(_write, layout, repeated, column, predictions))
        outcomes += [future.result() for future in pending]
    write_outcomes(layout, outcomes)
    shutil.rmtree(layout.root / "unfinished", ignore_errors=True)
    return len(outcomes), measures


def _predictions(column: Column, rank_from: int) -> dict[str, pa.Array]:
    """rank and entropy, if published. Raises IngestError for values that they cannot have."""
    found: dict[str, pa.Array] = {}
    for name, values in (("rank", column.rank), ("entropy", column.entropy)):
        if values is None:
            continue
        if name == "rank":
            values = values - rank_from
        if not (values >= 0).all():
            at = int((~(values >= 0)).argmax())
            hint = ": give --rank-from 0" if name == "rank" and rank_from else ""
            raise IngestError(
                f"{column.file}: the {name} of scored token {at + 1:,} at checkpoint "
                f"{column.checkpoint:,} is missing or too small{hint}; nothing was imported"
            )
        kind = pa.int32() if name == "rank" else pa.float32()
        found[name] = pa.array(values.astype(kind.to_pandas_dtype()))
    return found


def _write(
    layout: Layout, tokens: pa.Table, column: Column, predictions: dict[str, pa.Array]
) -> Outcome:
    step = column.checkpoint
    checkpoint = Checkpoint(step, f"step-{step}", layout.root, step)
    outcome = Outcome(checkpoint, n_tokens=len(column.loss), **summarize(column.loss))
    if predictions:
        write_prediction_columns(layout, outcome, tokens, predictions, _LEVEL)
    write_losses(layout, outcome, tokens, column.loss, _LEVEL)
    return outcome


def _manifest(
    found: Preview,
    format: Format,
    results: Results,
    tables: Tables,
    measures: set[str],
    names: tuple[str | None, str | None],
) -> Manifest:
    longest = int(np.asarray(tables.tokens["position"]).max()) + 1
    model, text = names
    return Manifest(
        model=model or found.path.name,
        text=text or found.path.name,
        tokenizer="unknown (imported)",
        tokenizer_sha256="",
        context_length=longest,
        bos=None,
        bos_id=None,
        dtype=results.dtype,
        attention="unknown (imported)",
        n_docs=tables.docs.num_rows,
        n_tokens=tables.tokens.num_rows,
        token_fingerprint=schema.fingerprint(tables.tokens),
        options={"predictions": bool(measures)},
        versions={name: version(name) for name in ("numpy", "pyarrow")},
        imported={
            "format": format.name,
            "unit": results.unit,
            "dtype": results.dtype,
            "files": len(found.files),
            "notes": [*results.notes, *tables.notes, *_float16(results)],
            "unknown": tables.unknown | _unknown_measures(measures),
        },
    )


def _unknown_measures(known: set[str]) -> dict[str, str]:
    measures = {"rank": "rank", "accuracy": "rank", "entropy": "entropy"}
    return {
        name: f"the imported files have no column of {column}"
        for name, column in measures.items()
        if column not in known
    }


def _float16(results: Results) -> list[str]:
    if results.dtype != "float16":
        return []
    digits = "the losses have its precision: about 3 significant digits"
    if results.unit == "probability":
        digits = "a loss is exact to about 0.0005 nats, and coarser above 9.7 nats"
    return [f"the {results.unit} values were published as float16: {digits}"]

"""catalog.duckdb: a store's views, named groups and macros for any DuckDB, without Python.

It is generated: its views read the store's Parquet files, including new loss
files, by absolute paths, so it is rebuilt if the store has moved or its groups have changed.
"""

import contextlib
import hashlib
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import duckdb
import pandas as pd

from queries import sql
from queries.engine import database as relations
from queries.engine.clauses import Expression, check_clause
from queries.engine.database import Database, literal
from queries.errors import QueryError
from queries.groups.named_groups import NamedGroup
from store.files import whole_file
from store.layout import Layout
from store.schema import TEXT_START

# The oldest format that table macros need: DuckDB 1.5 cannot open what 2.x writes by itself.
CONFIGURATION = {"storage_compatibility_version": "v1.0.0"}
PROBES = "catalog/probes"  # if the store has any
MACROS = (*relations.MACROS, "catalog/loss_at")  # in the app, loss_at is a Python function
_making = threading.Lock()  # two sessions that open a store would build it twice


def refresh(
    layout: Layout, database: Database, read_groups: Callable[[], Iterable[NamedGroup]]
) -> None:
    """Build the catalog unless there is one for the current state of the store.

    Failures are ignored, since the catalog is a convenience and many stores are read-only.
    """
    with contextlib.suppress(OSError, duckdb.Error, QueryError), _making:
        groups = list(read_groups())
        if not layout.catalog.exists() or _made_from(layout) != _digest(layout, database, groups):
            _make(layout, database, groups)


def make(layout: Layout, database: Database, groups: Iterable[NamedGroup]) -> pd.DataFrame:
    """Build the catalog; returns name, kind ("view", "macro", or "left out" for a group).

    Raises QueryError if it cannot be written.
    """
    try:
        with _making:
            return _make(layout, database, list(groups))
    except (OSError, duckdb.Error) as error:
        raise QueryError(
            f"{layout.catalog} cannot be written ({error}): make the folder writable, or use "
            "`python -m queries`, which needs no catalog"
        ) from error


def _make(layout: Layout, database: Database, groups: list[NamedGroup]) -> pd.DataFrame:
    # DuckDB cannot create a database where the path has a ? or a backslash.
    with tempfile.TemporaryDirectory() as folder, whole_file(layout.catalog) as temporary:
        built = Path(folder) / layout.catalog.name
        with duckdb.connect(str(built), config=CONFIGURATION) as connection:
            root = Layout(layout.root.resolve())
            _create_relations(connection, root, _features(layout, database))
            left_out = [g.name for g in groups if not _create_group(connection, database, g)]
            made: pd.DataFrame = connection.sql(sql.read("catalog/contents")).df()
        shutil.copyfile(built, temporary)
        # A journal that another DuckDB left behind belongs to the file that is replaced here.
        layout.catalog.with_name(f"{layout.catalog.name}.wal").unlink(missing_ok=True)
    with whole_file(_note(layout)) as temporary:
        temporary.write_text(_digest(layout, database, groups), encoding="utf-8")
    return pd.concat([made, pd.DataFrame({"name": left_out, "kind": "left out"})])


def _create_relations(
    connection: duckdb.DuckDBPyConnection, root: Layout, features: list[Path]
) -> None:
    # A view's SQL takes no bound values.
    files = _loss_files(root)
    connection.read_parquet(files, file_row_number=True).create_view("loss_files")
    docs = connection.read_parquet(literal(root.docs))
    has_starts = TEXT_START.name in docs.columns
    docs.project("*" if has_starts else f"*, null::integer as {TEXT_START.name}").create_view(
        "doc_rows"
    )
    connection.read_parquet(literal(root.checkpoints)).create_view("checkpoints")
    if root.probes.exists():
        connection.read_parquet(literal(root.probes)).create_view("probe_rows")
        connection.execute(sql.read(PROBES))
    tokens = connection.read_parquet(literal(root.tokens))
    for path in features:
        tokens = tokens.join(connection.read_parquet(literal(path)), "row")
    tokens.create_view("token_rows")
    relations.create_relations(connection)
    connection.execute(sql.read("catalog/loss_at"))
    if predicted := _prediction_files(root):
        relations.create_predictions(connection, predicted)


def _prediction_files(root: Layout) -> list[str]:
    """As `_loss_files`; empty if there are none."""
    found = root.predicted()
    if "\\" in str(root.predictions) or not found:
        return [literal(path) for path in found.values()]
    return [f"{literal(root.predictions)}/checkpoint-*.parquet"]


def _loss_files(root: Layout) -> list[str]:
    """A pattern, which finds checkpoints that are scored later; or each file.

    DuckDB has no pattern for a path with a backslash, so a store there gets a new catalog when it
    is opened with further checkpoints.
    """
    if "\\" in str(root.losses):
        return [literal(path) for path in root.scored().values()]
    return [f"{literal(root.losses)}/checkpoint-*.parquet"]


def _create_group(
    connection: duckdb.DuckDBPyConnection, database: Database, group: NamedGroup
) -> bool:
    """Create a view of the group's tokens; False if it cannot be created.

    That is so if the clause needs Python functions, which this DuckDB lacks, or is invalid, and if
    one of our own relations has its name.
    """
    try:
        check_clause(database, Expression(group.clause))
        members = sql.read("catalog/group").replace("{clause}", group.clause)
        connection.sql(members).create_view(group.name, replace=False)
    except (duckdb.Error, QueryError):
        return False
    return True


def _features(layout: Layout, database: Database) -> list[Path]:
    """The files of the features that are columns of tokens."""
    return [layout.features.resolve() / f"{name}.parquet" for name in database.features]


def _digest(layout: Layout, database: Database, groups: list[NamedGroup]) -> str:
    """Changes with the store's path, tokens, docs, features, groups, probes, and with our SQL."""
    paths = [layout.tokens, layout.docs, *_features(layout, database)]
    files = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
    ours = (*relations.VIEWS, *MACROS, PROBES, "catalog/group", "catalog/t_quantiles")
    texts = [sql.read(name) for name in (*ours, *relations.PREDICTIONS)]
    clauses = [(group.name, group.clause) for group in groups]
    root = Layout(layout.root.resolve())
    scored = _loss_files(root), _prediction_files(root)
    facts = (scored, files, texts, clauses, layout.probes.exists())
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _made_from(layout: Layout) -> str | None:
    # In a separate file: another DuckDB may hold the catalog's lock, and opening it takes 50 ms.
    note = _note(layout)
    return note.read_text(encoding="utf-8") if note.exists() else None


def _note(layout: Layout) -> Path:
    return layout.index / "catalog.sha256"

"""A DuckDB in memory over one store: loaded, then locked down; one cursor per query."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from queries import sql
from queries.engine.clauses import message_of, objection, place
from queries.engine.measures import NO_PREDICTIONS
from queries.engine.sql_errors import SqlError, explained
from queries.errors import QueryError, StoreError
from queries.stats.bands import LARGEST, t_quantile
from store.layout import Layout
from store.schema import TEXT_START

TIME_LIMIT = 60.0
"""Seconds; the time limit of one query."""
MEMORY_LIMIT = "2 GB"
"""Memory limit of DuckDB for all queries together, without their results."""
ANSWER_LIMIT = 2**30
"""Bytes; the size limit of the result of a user's query."""
CONCURRENT = 16
"""Users' queries that may run at the same time; others wait."""
QueryProgress = Callable[[float], None]
_INTERVAL = 0.1  # seconds between progress reports
_EARLIER = 0.2  # seconds by which a Python function is stopped first, so that the error names it
_VECTORS = 10  # of 2,048 rows, fetched at a time


class Database:
    """A store's tables, views and macros. After `lock` it only reads.

    The tables are token_rows, doc_rows, checkpoints and, if there are any, probes.
    """

    def __init__(
        self,
        layout: Layout,
        loss_files: list[Path],
        prediction_files: list[Path],
        features: pa.Table | None = None,
    ) -> None:
        self._connection = duckdb.connect(":memory:")
        self._connection.execute(sql.read("engine/load_docs"), {"path": literal(layout.docs)})
        if TEXT_START.name not in self._connection.table("doc_rows").columns:
            self._connection.execute(sql.read("engine/add_text_start"))
        self.load_checkpoints(layout, loss_files)
        self._token_file = literal(layout.tokens)
        self.tokens_loaded = 0
        """How often the tokens were loaded: their columns may change each time."""
        self.load_tokens(features)
        self.unusable_columns: dict[str, str] = {}
        """Features that cannot be used as columns, and why."""
        create_relations(self._connection)
        self.load_predictions(prediction_files)
        self._connection.execute("create schema token_groups")  # see GroupViews
        self._deadlines: list[float] = []  # of the running queries
        self._changing = False
        self._changed = threading.Condition()
        self._cursors: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()

    def load_checkpoints(self, layout: Layout, loss_files: list[Path]) -> None:
        """Load what changes when a checkpoint is added: the table of checkpoints, the probes, and
        the view of the loss files.

        After `lock`, only while no query runs: see `alone`.
        """
        checkpoints = {"path": literal(layout.checkpoints)}
        self._connection.execute(sql.read("engine/load_checkpoints"), checkpoints)
        self._has_probes, self._probe_error = layout.probes.exists(), ""
        if self._has_probes:
            self._load_probes(layout.probes)
        # A view's SQL takes no bound values, and other cursors would not see a variable.
        files = [literal(path.absolute()) for path in loss_files]
        self._connection.read_parquet(files, file_row_number=True).create_view("loss_files")

    def load_predictions(self, prediction_files: list[Path]) -> None:
        """Create the views over the files of predictions, if there are any.

        After `lock`, only while no query runs: see `alone`.
        """
        self._has_predictions = bool(prediction_files)
        if prediction_files:
            files = [literal(path.absolute()) for path in prediction_files]
            create_predictions(self._connection, files)

    def load_tokens(self, features: pa.Table | None) -> None:
        """Load the tokens, or reload them, with `features` (row and others) as further columns.

        After `lock`, only while no query runs: see `alone`.
        """
        how = "engine/load_tokens"
        self.features = features.column_names[1:] if features is not None else []
        if features is not None:
            how = "engine/load_tokens_with_features"
            self._connection.register("feature_columns", features)
        self._connection.execute(sql.read(how), {"path": self._token_file})
        if features is not None:
            self._connection.unregister("feature_columns")
        self._connection.execute(sql.read("engine/tokens"))
        self.tokens_loaded += 1

    def register(self, name: str, function: Any, **how: Any) -> None:
        """Make a Python function callable in SQL; also allowed after `lock`."""
        self._connection.create_function(name, function, **how)

    def unregister(self, name: str) -> None:
        """Remove a function that `register` added."""
        self._connection.remove_function(name)

    def define(self, statement: str) -> None:
        """Run our own `create view` or `drop view`, also after `lock`. Raises duckdb.Error."""
        cursor = self._connection.cursor()
        try:
            cursor.execute(statement)
        finally:
            cursor.close()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait for running queries to end; new ones wait until the block has ended.

        Removing a function while a query calls it would crash the process.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._changing)
            self._changing = True
            self._changed.wait_for(lambda: not self._deadlines)
        try:
            yield
        finally:
            with self._changed:
                self._changing = False
                self._changed.notify_all()

    def deadline(self) -> float:
        """Time (time.monotonic) by which the Python functions of running queries must end.

        DuckDB does not say which query calls a function, so this is the latest deadline: never too
        early, and exact if only one query runs.
        """
        return max(self._deadlines)

    def lock(self, root: Path) -> None:
        """From now on, only the store's files can be read and no setting changed. Order matters."""
        for _ in range(CONCURRENT):  # progress needs settings of each cursor
            cursor = self._connection.cursor()
            cursor.execute("set enable_progress_bar = true")
            cursor.execute("set enable_progress_bar_print = false")
            cursor.execute("set search_path = 'main,token_groups'")
            self._cursors.put(cursor)
        self._connection.execute("set memory_limit = $limit", {"limit": MEMORY_LIMIT})
        # Otherwise what exceeds the memory is spilled to .tmp in the working directory, and stays.
        self._connection.execute("set temp_directory = ''")
        # Otherwise a table's name may also be that of a Python variable around the call.
        self._connection.execute("set global python_enable_replacements = false")
        self._connection.execute("set global errors_as_json = true")  # see clauses.message_of
        # DuckDB compares patterns as well as the files that they match.
        folders = [str(root.absolute()), literal(root.absolute())]
        self._connection.execute(
            "set allowed_directories = $folders::varchar[]", {"folders": folders}
        )
        self._connection.execute("set enable_external_access = false")
        self._connection.execute("set lock_configuration = true")

    def frame(self, query: str, values: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """The result of one of our own queries.

        Raises duckdb.Error, for `clauses.message_of`, and QueryError past the time limit.
        """
        with self._limited_cursor() as cursor:
            answer: pd.DataFrame = cursor.sql(query, params=dict(values or {})).df()
            return answer

    def rows(self, query: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The same as tuples: several times faster than a frame for a short result."""
        with self._limited_cursor() as cursor:
            found: list[tuple[Any, ...]] = cursor.execute(query, dict(values or {})).fetchall()
            return found

    def probes(self, scored: list[int]) -> pd.DataFrame | None:
        """checkpoint, probe, layer, head, value of `scored` checkpoints; None without probes."""
        if self._probe_error:
            raise QueryError(self._probe_error)
        return (
            self.frame(sql.read("engine/probes"), {"scored": scored}) if self._has_probes else None
        )

    def _load_probes(self, path: Path) -> None:
        try:
            self._connection.execute(sql.read("engine/load_probes"), {"path": literal(path)})
        except duckdb.Error:  # only `probes` needs them
            self._probe_error = f"{path} cannot be read: delete it and run ingest with --probes"

    def table(self, query: str) -> pa.Table:
        """The same as an Arrow table: for millions of rows, a third of a frame's memory."""
        with self._limited_cursor() as cursor:
            return cursor.sql(query).to_arrow_table()

    def column(self, query: str) -> np.ndarray:
        """The only column of one of our own queries, in no order. Raises as `frame` does."""
        with self._limited_cursor() as cursor:
            (values,) = cursor.execute(query).fetchnumpy().values()
            return np.asarray(values)

    def parse(self, statement: str) -> dict[str, Any]:
        """A statement's parse tree, as json_serialize_sql gives it. Nothing is run."""
        ((text,),) = self.rows(sql.read("engine/parse"), {"statement": statement})
        try:
            tree: dict[str, Any] = json.loads(text)
        except RecursionError as error:
            raise QueryError("the expression is nested too deeply: simplify it") from error
        return tree

    def select(
        self,
        query: str,
        progress: QueryProgress | None = None,
        cancel: threading.Event | None = None,
        values: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """The result of a user's query: one SELECT statement and nothing else.

        `values` are those of its parameters. `progress` is called with the share done, 0 to 1;
        once `cancel` is set, the query stops. Raises QueryError for other statements, for errors of
        DuckDB, past the time limit, if cancelled, and for a result above the size limit.
        """
        try:
            self._check_select(query)
            with self._pooled_cursor() as cursor, _watched(cursor, progress, cancel):
                return _bounded(cursor.execute(query, dict(values or {})))
        except duckdb.InterruptException as error:
            if cancel and cancel.is_set():
                raise QueryError("the query was cancelled") from error
            raise QueryError(_too_long()) from error
        except duckdb.Error as error:
            found = message_of(error, query)
            if not self._has_predictions and _is_about_predictions(str(error)):
                raise QueryError(NO_PREDICTIONS) from error
            where = f" ({place(query, found.at)})" if found.at is not None else ""
            sides = ("", "") if found.at is None else (query[: found.at], query[found.at :])
            raise SqlError(explained(found.text, *sides) + where, found.at) from error

    def _check_select(self, query: str) -> None:
        try:
            query.encode()
        except UnicodeEncodeError as error:
            raise QueryError(f"the query is not valid Unicode text ({error.reason})") from error
        with self._limited_cursor() as cursor:
            statements = cursor.extract_statements(query)
        if len(statements) != 1:
            raise QueryError(f"found {len(statements)} statements, expected one SELECT")
        if statements[0].type != duckdb.StatementType.SELECT:
            kind = statements[0].type.name
            raise QueryError(f"found a statement of type {kind}: only SELECT is allowed")
        tree = self.parse(query)
        if problem := tree.get("error_message") or objection(tree):
            raise QueryError(problem)

    @contextmanager
    def _limited_cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor for one of our own queries."""
        cursor = self._connection.cursor()
        try:
            with self._limits(cursor):
                yield cursor
        except duckdb.InterruptException as error:
            raise QueryError(_too_long()) from error
        finally:
            cursor.close()

    @contextmanager
    def _pooled_cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor that reports its progress."""
        cursor = self._cursors.get()
        try:
            with self._limits(cursor):
                yield cursor
        finally:
            with contextlib.suppress(duckdb.Error):  # no transaction was begun
                cursor.rollback()
            self._cursors.put(cursor)

    @contextmanager
    def _limits(self, cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """Limit time and memory; allow only reading. Past the time: duckdb.InterruptException."""
        with self._changed:
            self._changed.wait_for(lambda: not self._changing)
            deadline = time.monotonic() + TIME_LIMIT - _EARLIER
            self._deadlines.append(deadline)
        timer = threading.Timer(TIME_LIMIT, cursor.interrupt)
        timer.start()
        try:
            # In addition to the check of the statement: nothing can change the tables.
            cursor.execute("begin transaction read only")
            yield
        except duckdb.OutOfMemoryException as error:
            raise QueryError(
                f"the query needs more than {MEMORY_LIMIT} of memory and was stopped: select less"
            ) from error
        finally:
            timer.cancel()
            timer.join()  # otherwise it might interrupt the cursor's next query
            with self._changed:
                self._deadlines.remove(deadline)
                self._changed.notify_all()


@contextmanager
def _watched(
    cursor: duckdb.DuckDBPyConnection,
    progress: QueryProgress | None,
    cancel: threading.Event | None,
) -> Iterator[None]:
    """While the block runs, report the share done, 0 to 1, to `progress`, if DuckDB knows it.

    `progress` is called from a separate thread. Once `cancel` is set, the query is interrupted.
    """
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(_INTERVAL):
            if cancel and cancel.is_set():
                cursor.interrupt()  # repeatedly: one between two steps would be lost
            elif progress and (percent := cursor.query_progress()) >= 0:
                progress(min(percent / 100, 1.0))

    thread = threading.Thread(target=watch, daemon=True, name="query progress")
    if progress or cancel:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if thread.ident:
            thread.join()


def _is_about_predictions(message: str) -> bool:
    names = ("predictions", "prediction_rows")
    return any(f"Table with name {name} does not exist" in message for name in names)


def _too_long() -> str:
    return f"the query ran longer than {TIME_LIMIT:.0f} s and was stopped: select less"


def _bounded(cursor: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """All rows; an endless result would fill the memory of the whole app."""
    chunks: list[pd.DataFrame] = []
    size = 0
    while not chunks or len(chunks[-1]):
        chunks.append(cursor.fetch_df_chunk(_VECTORS))
        size += int(chunks[-1].memory_usage(deep=True).sum())
        if size > ANSWER_LIMIT:
            raise QueryError(
                f"the result is larger than {ANSWER_LIMIT >> 20:,} MB: aggregate it, or add a limit"
            )
    # The last chunk is empty and is omitted, as its text columns have no type.
    return pd.concat(chunks[:-1] or chunks, ignore_index=True)


def literal(path: Path) -> str:
    """A file's path as DuckDB's `read_parquet` needs it: in a pattern, *, ? and [ are escaped.

    In a path with a backslash nothing can be escaped, as DuckDB takes that for a separator of
    folders. Raises StoreError if it would be needed.
    """
    text = str(path)
    if "\\" not in text:
        return escape(text)
    if set(text) & set("*?["):
        raise StoreError(
            f"{path} has a backslash and one of *, ? and [ in its path, which DuckDB cannot read: "
            "rename one of its folders"
        )
    return text


# The views and macros over a store's files, which its catalog and this database share.
#
# They refer to token_rows, doc_rows, checkpoints and loss_files (the loss files' rows with
# file_row_number), which each of the two creates in its own way.

VIEWS = (
    *("engine/tokens", "engine/docs", "catalog/losses", "catalog/loss_rows"),
    *("catalog/doc_texts", "catalog/words"),
)
RELATIONS = {
    *("checkpoints", "doc_rows", "doc_texts", "docs", "loss_files", "loss_rows", "losses"),
    *("prediction_files", "prediction_rows", "predictions", "probes", "t_quantiles"),
    *("token_rows", "tokens", "tokens_500th", "tokens_50th", "words"),
}
"""Tables and views, whose names a group may not have."""
MACROS = (
    "catalog/leave_one_out",
    "catalog/tenths",
    "catalog/cannot_tell",
    "catalog/trajectory",
    "catalog/difference",
    "catalog/ratio",
    "catalog/in_context_score",
    "catalog/zoom",
)


PREDICTIONS = ("catalog/predictions", "catalog/prediction_rows", "catalog/predicted_trajectory")
"""Of stores that have predictions."""


def create_predictions(connection: duckdb.DuckDBPyConnection, files: list[str]) -> None:
    """Create views and macros over files of predictions. Raises duckdb.Error."""
    connection.read_parquet(files, file_row_number=True).create_view("prediction_files")
    for name in PREDICTIONS:
        connection.execute(sql.read(name))


def create_relations(connection: duckdb.DuckDBPyConnection) -> None:
    """Create all views and macros. Raises duckdb.Error."""
    for name in VIEWS:
        connection.execute(sql.read(name))
    tenths = np.arange(10, 10 * LARGEST + 1)
    values = {"tenths": tenths.tolist(), "quantiles": t_quantile(tenths / 10).tolist()}
    connection.execute(sql.read("catalog/t_quantiles"), values)
    for name in MACROS:
        connection.execute(sql.read(name))

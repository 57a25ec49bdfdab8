"""A DuckDB in memory over one store: loaded, then locked down; one cursor per query."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from queries import sql
from queries.errors import QueryError
from store.layout import Layout

TIME_LIMIT = 60.0


class Database:
    """Tables token_rows, doc_rows, checkpoints; views tokens, docs, losses. Read-only in effect."""

    def __init__(self, layout: Layout, loss_files: list[Path]) -> None:
        self._connection = duckdb.connect(":memory:")
        for name, path in (
            ("load_tokens", layout.tokens),
            ("load_docs", layout.docs),
            ("load_checkpoints", layout.checkpoints),
        ):
            self._connection.execute(sql.read(name), {"path": str(path)})
        for name in ("tokens", "docs"):
            self._connection.execute(sql.read(name))
        # A view's SQL takes no bound values, and a variable would be unknown to other cursors.
        files = [str(path.absolute()) for path in loss_files]
        self._connection.read_parquet(files).create_view("losses")

    def register(self, name: str, function: Any, **how: Any) -> None:
        """Make a Python function callable in SQL. Only before `lock`."""
        self._connection.create_function(name, function, **how)

    def lock(self, root: Path) -> None:
        """From now on: no file but the store's, no setting changes. The order matters."""
        self._connection.execute(
            "set allowed_directories = $folders::varchar[]", {"folders": [str(root.absolute())]}
        )
        self._connection.execute("set enable_external_access = false")
        self._connection.execute("set lock_configuration = true")

    def frame(self, query: str, values: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """The result of one of our own queries.

        Raises duckdb.Error as DuckDB says it, QueryError past the time limit.
        """
        with self._limited_cursor() as cursor:
            answer: pd.DataFrame = cursor.sql(query, params=dict(values or {})).df()
            return answer

    def rows(self, query: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The same as tuples: several times quicker than a frame for a short answer."""
        with self._limited_cursor() as cursor:
            found: list[tuple[Any, ...]] = cursor.execute(query, dict(values or {})).fetchall()
            return found

    def column(self, query: str) -> np.ndarray:
        """The one column of one of our own queries, in no order. Raises as `frame` does."""
        with self._limited_cursor() as cursor:
            (values,) = cursor.execute(query).fetchnumpy().values()
            return np.asarray(values)

    def select(self, query: str) -> pd.DataFrame:
        """The result of a query that a person wrote: one SELECT statement and nothing else.

        Raises QueryError for anything else and for what DuckDB refuses.
        """
        try:
            statements = self._connection.cursor().extract_statements(query)
            if len(statements) != 1:
                raise QueryError(f"found {len(statements)} statements, expected one SELECT")
            if statements[0].type != duckdb.StatementType.SELECT:
                kind = statements[0].type.name
                raise QueryError(f"found a statement of type {kind}: a store takes only SELECT")
            return self.frame(query)
        except duckdb.Error as error:
            raise QueryError(str(error)) from error

    @contextmanager
    def _limited_cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        cursor = self._connection.cursor()
        timer = threading.Timer(TIME_LIMIT, cursor.interrupt)
        timer.start()
        try:
            yield cursor
        except duckdb.InterruptException as error:
            raise QueryError(
                f"the query ran longer than {TIME_LIMIT:.0f} s and was stopped: ask for less"
            ) from error
        finally:
            timer.cancel()
            cursor.close()

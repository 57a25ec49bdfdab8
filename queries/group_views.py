"""Named groups as views of tokens, for people's own SQL; they follow the groups' files."""

import contextlib
import threading
from collections.abc import Callable, Mapping

import duckdb

from queries import sql
from queries.clauses import check_clause
from queries.database import Database
from queries.errors import GroupError, QueryError
from queries.groups import NamedGroup


class GroupViews:
    """The views, in a schema of their own, so that none takes the place of a table of the store."""

    def __init__(self, database: Database, read: Callable[[], Mapping[str, NamedGroup]]) -> None:
        self._database = database
        self._read = read
        # A view looks for names in its own schema first, so these would be taken for the store's.
        self._taken = {name for (name,) in database.rows(sql.read("relation_names"))}
        self._made: dict[str, tuple[str, int]] = {}  # also of those that were left out
        self._lock = threading.Lock()

    def follow(self) -> None:
        """Make, change and drop views so that they are the groups'; one that is none has none.

        Where a group's file is none, views stay as they were: it spoils no other question.
        """
        try:
            groups = self._read()
        except GroupError:
            return
        # A view keeps the columns that tokens had when it was made.
        loaded = self._database.tokens_loaded
        wanted = {name: (group.clause, loaded) for name, group in groups.items()}
        with self._lock:
            for name in self._made.keys() - wanted.keys():
                self._drop(name)
                del self._made[name]
            for name, made in wanted.items():
                if name.lower() not in self._taken and self._made.get(name) != made:
                    self._make(name, made[0])
                    self._made[name] = made

    def _make(self, name: str, clause: str) -> None:
        try:
            check_clause(self._database, clause)
            text = sql.read("group_view").replace("{name}", _quoted(name))
            self._database.define(text.replace("{clause}", clause))
        except (duckdb.Error, QueryError):
            self._drop(name)

    def _drop(self, name: str) -> None:
        with contextlib.suppress(duckdb.Error):
            self._database.define(sql.read("group_view_drop").replace("{name}", _quoted(name)))


def _quoted(name: str) -> str:
    return name.replace('"', '""')

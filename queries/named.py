"""The named groups that a store knows: the shared ones and its own, found, saved and renamed."""

import difflib
import re
from collections.abc import Callable
from pathlib import Path

from queries import clauses
from queries.database import Database
from queries.errors import GroupError
from queries.group_views import GroupViews
from queries.groups import (
    SHARED,
    NamedGroup,
    delete_group,
    find_group,
    read_groups,
    rename_group,
    save_group,
    taken,
)
from queries.relations import RELATIONS

_WORD = re.compile(r"[^\W\d]\w*")
_CONSTANTS = ("true", "false", "null")


class NamedGroups:
    """Files in `queries/groups/` and in `folder`, the store's own, which win; read afresh.

    `changed` is called after each change. Methods raise GroupError with what to do.
    """

    def __init__(self, database: Database, folder: Path, changed: Callable[[], None]) -> None:
        self._database = database
        self._own = folder
        self._changed = changed
        self._views = GroupViews(database, self.all)

    def all(self) -> dict[str, NamedGroup]:
        """By name, in order. Raises GroupError for a file that is none."""
        return read_groups(SHARED, self._own)

    def show_in_sql(self) -> None:
        """Let people's own SQL find the groups, as they are now, as views of tokens."""
        self._views.follow()

    @property
    def own(self) -> set[str]:
        """Names of the store's own, which can be renamed and deleted without a say of others."""
        return {path.stem for path in self._own.glob("*.sql")}

    def clause(self, group: str) -> str:
        """The WHERE expression of a named group, or `group` itself where it is no name.

        Raises GroupError for a single word that is neither a group nor a column.
        """
        name = group.strip()
        named = find_group(name, SHARED, self._own)
        if named is None and _WORD.fullmatch(name) and name.lower() not in _CONSTANTS:
            self._refuse_unknown(name)
        return named.clause if named else group

    def _refuse_unknown(self, name: str) -> None:
        known = {c.lower(): f"the column {c}" for c in clauses.token_columns(self._database)}
        if name.lower() in {*known, "loss", *self._database.unusable_columns}:
            return  # what is wrong about it, if anything, is said where it is evaluated
        known |= {group: f"the group {group}" for group in self.all()}
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {known[near[0]]}?" if near else f"for text, write word = '{name}'"
        raise GroupError(f"{name} is neither a group nor a column of tokens: {hint}")

    def save(
        self,
        name: str,
        clause: str,
        title: str = "",
        description: str = "",
        *,
        shared: bool = False,
        overwrite: bool = False,
    ) -> NamedGroup:
        """Keep a clause, or another group's, as a named group of this store, or shared by all.

        Raises GroupError for a clause that is none, a name that is none, that is a column's or
        that is taken (unless `overwrite`), and where the folder cannot be written.
        """
        group = NamedGroup(name, title, description, self.clause(clause))
        clauses.check_clause(self._database, group.clause)
        self._refuse_name(name, overwrite)
        saved = save_group(self._folder(shared), group, overwrite)
        self._changed()
        return saved

    def rename(
        self, name: str, new_name: str, *, shared: bool = False, overwrite: bool = False
    ) -> NamedGroup:
        """Give one of the store's own groups, or a shared one, another name."""
        self._refuse_name(new_name, overwrite)
        renamed = rename_group(self._folder(shared), name, new_name, overwrite)
        self._changed()
        return renamed

    def delete(self, name: str, *, shared: bool = False) -> None:
        """Delete one of the store's own groups, or a shared one."""
        delete_group(self._folder(shared), name)
        self._changed()

    def _refuse_name(self, name: str, overwrite: bool) -> None:
        """A group would hide the column of its name, and its namesake in the other folder."""
        if name in clauses.token_columns(self._database):
            raise GroupError(f"{name} cannot name a group: it is a column of tokens")
        if name in RELATIONS:
            raise GroupError(f"{name} cannot name a group: it is a table of every store")
        if name in self.all() and not overwrite:
            raise GroupError(taken(name))

    def _folder(self, shared: bool) -> Path:
        return SHARED if shared else self._own

"""Named groups: one .sql file each, in `queries/groups/` and in the store's own `groups/`.

A file is comment lines (the first is the title, the others the description), then the WHERE
expression; an empty line between them parts an expression that begins with a comment itself.
"""

import contextlib
import difflib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from queries import sql
from queries.engine import clauses
from queries.engine.clauses import check_clause, reserved_words
from queries.engine.database import RELATIONS, Database
from queries.errors import GroupError, QueryError
from store.files import whole_file

SHARED = Path(__file__).parent
_STEM = re.compile(r"[\w-]{1,80}")  # of a file that somebody made by hand
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class NamedGroup:
    """A file's name, the title and description in its comment, and its WHERE expression."""

    name: str
    title: str
    description: str
    clause: str


def read_groups(*folders: Path) -> dict[str, NamedGroup]:
    """All named groups by name, in order; a later folder's file wins over an earlier one's.

    Raises GroupError for a file without an expression or that is no text.
    """
    files = {path.stem: path for folder in folders for path in sorted(folder.glob("*.sql"))}
    return {name: read_group(path) for name, path in sorted(files.items())}


def find_group(name: str, *folders: Path) -> NamedGroup | None:
    """The group of that name, as `read_groups` has it; only its file is read. None: no such name.

    Raises GroupError as `read_groups`.
    """
    if not _STEM.fullmatch(name):
        return None
    files = [folder / f"{name}.sql" for folder in folders]
    return next((read_group(path) for path in reversed(files) if path.exists()), None)


def read_group(path: Path) -> NamedGroup:
    """The group in a file. Raises GroupError as `read_groups`."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise GroupError(f"{path} cannot be read as UTF-8 text ({error}): save it anew") from error
    end = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    comment = [line.removeprefix("--").strip() for line in lines[:end]]
    clause = "\n".join(lines[end:]).strip()
    if not clause:
        raise GroupError(f"{path} holds no expression: add one after its comment")
    title = (comment[0] if comment else "") or path.stem
    return NamedGroup(path.stem, title, "\n".join(comment[1:]), clause)


def save_group(folder: Path, group: NamedGroup, overwrite: bool = False) -> NamedGroup:
    """Write the group's file, whole or not at all; returns the group as it reads back.

    The title becomes one line and the description loses blanks around its lines; the clause keeps
    every character but blanks around it. Raises GroupError for a name that is none or that is taken
    (unless `overwrite`), an empty clause, and a folder that cannot be written.
    """
    refuse_name(group.name)
    path = _path(folder, group.name)
    if path.exists() and not overwrite:
        raise GroupError(taken(group.name))
    if not group.clause.strip():
        raise GroupError("the group is empty: write a condition such as position = 500")
    try:
        content = _content(group).encode()
    except UnicodeEncodeError as error:
        raise GroupError(f"{group.name} is no valid Unicode text ({error.reason})") from error
    with _written(folder), whole_file(path) as temporary:
        temporary.write_bytes(content)
    return read_group(path)


def rename_group(folder: Path, name: str, new_name: str, overwrite: bool = False) -> NamedGroup:
    """Give a group another name. Raises GroupError as `save_group`, and where there is none."""
    refuse_name(new_name)
    path, new_path = _there(folder, name), _path(folder, new_name)
    if new_path.exists() and not overwrite:
        raise GroupError(taken(new_name))
    with _written(folder):
        path.replace(new_path)
    return read_group(new_path)


def delete_group(folder: Path, name: str) -> None:
    """Delete a group's file. Raises GroupError where there is none or it cannot be deleted."""
    path = _there(folder, name)
    with _written(folder):
        path.unlink()


def refuse_name(name: str) -> None:
    """Raises GroupError unless SQL and every file system take the text as a plain name."""
    if not _NAME.fullmatch(name):
        raise GroupError(
            f"{name!r} cannot name a group: expected up to 63 small letters a to z, digits and _, "
            "not a digit first, as in early_positions"
        )
    if name in reserved_words():
        raise GroupError(f"{name} cannot name a group: SQL keeps that word, so add another to it")


def _content(group: NamedGroup) -> str:
    clause = group.clause.strip()
    comment = [" ".join(group.title.split()), *group.description.strip().split("\n")]
    lines = [f"-- {line.strip()}".rstrip() for line in comment]
    if not group.description.strip():
        lines = lines[:1]
    return "\n".join([*lines, *([""] if clause.startswith("--") else []), clause, ""])


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.sql"


def _there(folder: Path, name: str) -> Path:
    """The file of a group that exists; a name with a way out of the folder is none."""
    names = sorted(path.stem for path in folder.glob("*.sql"))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"
        raise GroupError(f"{folder} has no group {name}: {hint}")
    return _path(folder, name)


def taken(name: str) -> str:
    """What is said of a name that a group has already."""
    return f"there is a group {name} already: choose another name, or ask to overwrite it"


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GroupError(
            f"groups in {folder} cannot be changed ({error.strerror}): make it writable, or keep "
            "the group among the shared ones or as an SQL text of yours"
        ) from error


# Named groups as views of tokens, for people's own SQL; they follow the groups' files.


class GroupViews:
    """The views, in a schema of their own, so that none takes the place of a table of the store."""

    def __init__(self, database: Database, read: Callable[[], Mapping[str, NamedGroup]]) -> None:
        self._database = database
        self._read = read
        # A view looks for names in its own schema first, so these would be taken for the store's.
        self._taken = {name for (name,) in database.rows(sql.read("groups/relation_names"))}
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
            text = sql.read("groups/group_view").replace("{name}", _quoted(name))
            self._database.define(text.replace("{clause}", clause))
        except (duckdb.Error, QueryError):
            self._drop(name)

    def _drop(self, name: str) -> None:
        with contextlib.suppress(duckdb.Error):
            self._database.define(
                sql.read("groups/group_view_drop").replace("{name}", _quoted(name))
            )


def _quoted(name: str) -> str:
    return name.replace('"', '""')


# The named groups that a store knows: the shared ones and its own, found, saved and renamed.

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

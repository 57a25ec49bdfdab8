"""Named groups: one .sql file each, in `queries/groups/` and in the store's own `groups/`.

A file consists of comment lines (the first is the title, the others the description), followed by
the WHERE expression. An empty line separates an expression that itself begins with a comment.
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
from queries.engine.clauses import Expression, check_clause, reserved_words
from queries.engine.database import RELATIONS, Database
from queries.errors import GroupError, QueryError
from store.files import whole_file

SHARED = Path(__file__).parent
_STEM = re.compile(r"[\w-]{1,80}")  # of a file that was written by hand
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_WORD = re.compile(r"[^\W\d]\w*")
_CONSTANTS = ("true", "false", "null")


@dataclass(frozen=True)
class NamedGroup:
    """A file's name, the title and description in its comment, and its WHERE expression."""

    name: str
    title: str
    description: str
    clause: str


class NamedGroups:
    """The named groups of a store: the shared ones and those in `folder`, which take precedence.

    Files are read at every call. `changed` is called after each change. Methods raise GroupError.
    """

    def __init__(self, database: Database, folder: Path, changed: Callable[[], None]) -> None:
        self._database = database
        self._own = folder
        self._changed = changed
        self._views = GroupViews(database, self.all)

    def resolve(self, group: str) -> Expression:
        """The expression of a named group, or `group` itself if it is a WHERE clause.

        Raises GroupError for a single word that is neither a group nor a column, and for a named
        group whose file holds the name of another group in place of a condition.
        """
        name = group.strip()
        named = find_group(name, SHARED, self._own)
        if named:
            self._check_condition(named)
            return Expression(named.clause, named.name)
        if _is_word(name) and name.lower() not in self._columns():
            self._refuse_unknown(name)
        return Expression(group)

    def clause(self, group: str) -> str:
        """The WHERE expression of `resolve`."""
        return self.resolve(group).text

    def _columns(self) -> set[str]:
        """Words that are expressions, in lower case; errors in their use are found later."""
        names = [*clauses.token_columns(self._database), *self._database.unusable_columns]
        return {*(name.lower() for name in names), "loss"}

    def _check_condition(self, named: NamedGroup) -> None:
        word = named.clause
        if _is_word(word) and word.lower() not in self._columns():
            other = find_group(word, SHARED, self._own)
            if other and other.name != named.name:
                raise GroupError(
                    f"the group {named.name} holds the name of another group, {other.name}, in "
                    f"place of a condition: write its condition, {' '.join(other.clause.split())}"
                )

    def _refuse_unknown(self, name: str) -> None:
        known = {c.lower(): f"the column {c}" for c in clauses.token_columns(self._database)}
        known |= {group: f"the group {group}" for group in self.all()}
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {known[near[0]]}?" if near else f"for text, write word = '{name}'"
        raise GroupError(f"{name} is neither a group nor a column of tokens: {hint}")

    def all(self) -> dict[str, NamedGroup]:
        """All groups by name, in order. Raises GroupError for an unreadable file."""
        return read_groups(SHARED, self._own)

    @property
    def own(self) -> set[str]:
        """Names of the groups in the store's own folder."""
        return {path.stem for path in self._own.glob("*.sql")}

    def update_views(self) -> None:
        """Make the groups available in SQL, as views of tokens."""
        self._views.update()

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
        """Save a clause, or another group's, as a named group of this store, or shared by all.

        Raises GroupError for an invalid clause, a name that is invalid, a column's or in use
        (unless `overwrite`), and if the folder cannot be written.
        """
        expression = self.resolve(clause)
        check_clause(self._database, expression)
        self._check_name(name, overwrite)
        group = NamedGroup(name, title, description, expression.text)
        saved = save_group(self._folder(shared), group, overwrite)
        self._changed()
        return saved

    def rename(
        self, name: str, new_name: str, *, shared: bool = False, overwrite: bool = False
    ) -> NamedGroup:
        """Rename one of the store's own groups, or a shared one."""
        self._check_name(new_name, overwrite)
        renamed = rename_group(self._folder(shared), name, new_name, overwrite)
        self._changed()
        return renamed

    def delete(self, name: str, *, shared: bool = False) -> None:
        """Delete one of the store's own groups, or a shared one."""
        delete_group(self._folder(shared), name)
        self._changed()

    def _check_name(self, name: str, overwrite: bool) -> None:
        """A group would hide the column of its name, and its namesake in the other folder."""
        if name in clauses.token_columns(self._database):
            raise GroupError(f"{name} cannot be the name of a group: it is a column of tokens")
        if name in RELATIONS:
            raise GroupError(f"{name} cannot be the name of a group: it is a table of every store")
        if name in self.all() and not overwrite:
            raise GroupError(_in_use(name))

    def _folder(self, shared: bool) -> Path:
        return SHARED if shared else self._own


def _is_word(text: str) -> bool:
    return bool(_WORD.fullmatch(text)) and text.lower() not in _CONSTANTS


# The files.


def read_groups(*folders: Path) -> dict[str, NamedGroup]:
    """All named groups by name, in order; a later folder's file replaces an earlier one's.

    Raises GroupError for a file without an expression or that is not text.
    """
    files = {path.stem: path for folder in folders for path in sorted(folder.glob("*.sql"))}
    return {name: read_group(path) for name, path in sorted(files.items())}


def find_group(name: str, *folders: Path) -> NamedGroup | None:
    """The group of that name in `read_groups`, but only its file is read; None if there is none.

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
        raise GroupError(
            f"{path} cannot be read as UTF-8 text ({error}): save it again as UTF-8"
        ) from error
    end = next((i for i, line in enumerate(lines) if not line.startswith("--")), len(lines))
    comment = [line.removeprefix("--").strip() for line in lines[:end]]
    clause = "\n".join(lines[end:]).strip()
    if not clause:
        raise GroupError(f"{path} contains no expression: add one after its comment")
    title = (comment[0] if comment else "") or path.stem
    return NamedGroup(path.stem, title, "\n".join(comment[1:]), clause)


def save_group(folder: Path, group: NamedGroup, overwrite: bool = False) -> NamedGroup:
    """Write the group's file, completely or not at all; returns the group as read back.

    The title becomes one line, and spaces around the description's lines are removed; the clause
    keeps every character except the spaces around it. Raises GroupError for an invalid name or one
    in use (unless `overwrite`), an empty clause, and a folder that cannot be written.
    """
    check_name(group.name)
    path = _path(folder, group.name)
    if path.exists() and not overwrite:
        raise GroupError(_in_use(group.name))
    if not group.clause.strip():
        raise GroupError("the group is empty: write a condition such as position = 500")
    try:
        content = _content(group).encode()
    except UnicodeEncodeError as error:
        raise GroupError(f"{group.name} is not valid Unicode text ({error.reason})") from error
    with _writing(folder), whole_file(path) as temporary:
        temporary.write_bytes(content)
    return read_group(path)


def rename_group(folder: Path, name: str, new_name: str, overwrite: bool = False) -> NamedGroup:
    """Rename a group. Raises GroupError as `save_group`, and if it does not exist."""
    check_name(new_name)
    path, new_path = _existing(folder, name), _path(folder, new_name)
    if new_path.exists() and not overwrite:
        raise GroupError(_in_use(new_name))
    with _writing(folder):
        path.replace(new_path)
    return read_group(new_path)


def delete_group(folder: Path, name: str) -> None:
    """Delete a group's file. Raises GroupError if it does not exist or cannot be deleted."""
    path = _existing(folder, name)
    with _writing(folder):
        path.unlink()


def check_name(name: str) -> None:
    """Raises GroupError unless the text is a plain name in SQL and in every file system."""
    if not _NAME.fullmatch(name):
        raise GroupError(
            f"{name!r} cannot be the name of a group: expected up to 63 lower-case "
            "letters a to z, digits and _, not beginning with a digit, as in early_positions"
        )
    if name in reserved_words():
        raise GroupError(
            f"{name} cannot be the name of a group: it is a reserved word of SQL, so add another "
            "word to it"
        )


def _content(group: NamedGroup) -> str:
    clause = group.clause.strip()
    comment = [" ".join(group.title.split()), *group.description.strip().split("\n")]
    lines = [f"-- {line.strip()}".rstrip() for line in comment]
    if not group.description.strip():
        lines = lines[:1]
    return "\n".join([*lines, *([""] if clause.startswith("--") else []), clause, ""])


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.sql"


def _existing(folder: Path, name: str) -> Path:
    """The file of a group that exists; a name that leads out of the folder does not."""
    names = sorted(path.stem for path in folder.glob("*.sql"))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names) or 'none'}"
        raise GroupError(f"{folder} has no group {name}: {hint}")
    return _path(folder, name)


def _in_use(name: str) -> str:
    return f"the group {name} exists already: choose another name, or overwrite it"


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GroupError(
            f"groups in {folder} cannot be changed ({error.strerror}): make the folder writable, "
            "or save the group as a shared one or as SQL text elsewhere"
        ) from error


class GroupViews:
    """Views of the named groups for users' SQL.

    They have their own schema, so that none replaces a table of the store.
    """

    def __init__(self, database: Database, read: Callable[[], Mapping[str, NamedGroup]]) -> None:
        self._database = database
        self._read = read
        # A view looks up names in its own schema first, so these would hide the store's tables.
        self._reserved = {name for (name,) in database.rows(sql.read("groups/relation_names"))}
        self._created: dict[str, tuple[str, int]] = {}  # includes those that were omitted
        self._lock = threading.Lock()

    def update(self) -> None:
        """Create, replace and drop views to match the groups; an invalid group has no view.

        If a group's file is unreadable, the views stay as they are, so that other queries work.
        """
        try:
            groups = self._read()
        except GroupError:
            return
        # A view keeps the columns that tokens had when it was created.
        loaded = self._database.tokens_loaded
        wanted = {name: (group.clause, loaded) for name, group in groups.items()}
        with self._lock:
            for name in self._created.keys() - wanted.keys():
                self._drop(name)
                del self._created[name]
            for name, state in wanted.items():
                if name.lower() not in self._reserved and self._created.get(name) != state:
                    self._create(name, state[0])
                    self._created[name] = state

    def _create(self, name: str, clause: str) -> None:
        try:
            check_clause(self._database, Expression(clause))
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

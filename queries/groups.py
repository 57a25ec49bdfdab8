"""Named groups: one .sql file each, in `queries/groups/` and in the store's own `groups/`.

A file is comment lines (the first is the title, the others the description), then the WHERE
expression; an empty line between them parts an expression that begins with a comment itself.
"""

import difflib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from queries.errors import GroupError
from queries.names import reserved_words
from store.files import whole_file

SHARED = Path(__file__).parent / "groups"
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

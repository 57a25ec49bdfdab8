"""Named groups: one .sql file each, in `queries/groups/` and in the store's own `groups/`."""

from dataclasses import dataclass
from pathlib import Path

from queries.errors import GroupError

SHARED = Path(__file__).parent / "groups"


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


def read_group(path: Path) -> NamedGroup:
    """Comment lines first (the first is the title), then the expression."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise GroupError(f"{path} cannot be read as UTF-8 text ({error}): save it anew") from error
    comment = [line.removeprefix("--").strip() for line in lines if line.startswith("--")]
    clause = "\n".join(line for line in lines if not line.startswith("--")).strip()
    if not clause:
        raise GroupError(f"{path} holds no expression: add one after its comment")
    title = comment[0] if comment else path.stem
    return NamedGroup(path.stem, title, " ".join(comment[1:]), clause)

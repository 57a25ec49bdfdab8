"""The questions that come with the project: `queries/*.sql`, each a comment and one SELECT."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Question:
    """A file's name without its ending, the question in its first line, and all of its text."""

    name: str
    title: str
    text: str


def questions() -> list[Question]:
    """All of them, in order of name. They can be put to `Store.sql` and to a store's catalog."""
    files = sorted(FOLDER.glob("*.sql"))
    texts = [(path.stem, path.read_text(encoding="utf-8")) for path in files]
    return [Question(name, _title(text), text) for name, text in texts]


def _title(text: str) -> str:
    line = text.partition("\n")[0].removeprefix("--").strip()
    return line[: line.find("?") + 1] or line

"""Example questions in SQL: files in this folder, each a comment and one SELECT."""

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Question:
    """A file's name without its suffix, the question in its first line, and its text."""

    name: str
    title: str
    text: str


def questions() -> list[Question]:
    """All questions, in order of name. `Store.sql` and a store's catalog can run them."""
    files = sorted(FOLDER.glob("*.sql"))
    texts = [(path.stem, path.read_text(encoding="utf-8")) for path in files]
    return [Question(name, _title(text), text) for name, text in texts]


def _title(text: str) -> str:
    line = text.partition("\n")[0].removeprefix("--").strip()
    return line[: line.find("?") + 1] or line

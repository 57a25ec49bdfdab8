"""Texts and lists as SQL literals, and as words for people."""

import json
from collections.abc import Iterable, Sequence


def literal(text: str) -> str:
    """The text as an SQL literal: between single quotes, those within doubled."""
    return "'" + text.replace("'", "''") + "'"


def literals(texts: Iterable[str]) -> str:
    """Several, with commas between."""
    return ", ".join(map(literal, texts))


def shown(text: str) -> str:
    """The text between double quotes, so that blanks and line ends are seen."""
    return json.dumps(text, ensure_ascii=False)


def joined(texts: Sequence[str]) -> str:
    """a; a or b; a, b or c."""
    head = ", ".join(texts[:-1])
    return f"{head} or {texts[-1]}" if head else texts[-1]


def either(noun: str, texts: Sequence[str]) -> str:
    """The noun, in the plural where there are several, and the texts."""
    return f"{noun}{'s' if len(texts) > 1 else ''} {joined(list(map(shown, texts)))}"

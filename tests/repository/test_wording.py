"""Documents and code are written one way: per cent without a space, and plain English."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("data", "docs", "ingest", "queries", "store", "tests", "views")
ENDINGS = {".md", ".py", ".sql", ".html", ".js", ".ipynb"}
RULES = {
    "42 %": (r"[\d}][ \u00a0\u202f]%(?!\s*[\d{(])", "write 42%"),
    "from nothing": (r"from nothing", "write from scratch"),
    "to the bit": (r"to the bit\b", "write bit for bit"),
    "told apart": (r"\b(is|are|be) told\b|told (apart|from)", "write reported, or distinguished"),
    "a clause that is none": (r"(that|which|what) (is|are) none\b", "write an invalid clause"),
    "beside": (r"\bbeside\b", "write next to, or in addition to"),
    "mend": (r"\bmend\b", "write fix"),
    "goes on where": (r"go(es)? on where", "write resumes"),
    "of its own accord": (r"of its own accord", "write automatically"),
}
"""Name -> pattern of what nobody writes, and what to write instead."""


def files() -> list[Path]:
    """Documents and code of the repository."""
    folders = [ROOT / name for name in FOLDERS]
    paths = [*ROOT.glob("*"), *(path for folder in folders for path in folder.rglob("*"))]
    return [path for path in paths if path.suffix in ENDINGS and path != Path(__file__)]


def broken(text: str, pattern: str) -> list[str]:
    """The lines of a text that match."""
    return [line.strip() for line in text.splitlines() if re.search(pattern, line, re.IGNORECASE)]


@pytest.mark.parametrize("rule", RULES)
def test_a_phrase_is_written_nowhere(rule: str) -> None:
    pattern, instead = RULES[rule]
    found = {
        str(path.relative_to(ROOT)): lines
        for path in files()
        if (lines := broken(path.read_text(encoding="utf-8"), pattern))
    }
    assert found == {}, instead


@pytest.mark.parametrize(
    ("rule", "text", "is_broken"),
    [
        ("42 %", "in 95 % of draws", True),
        ("42 %", "57\u00a0%.", True),
        ("42 %", 'f"{share:.0f} %"', True),
        ("42 %", "in 95% of draws", False),
        ("42 %", "hash(row) % 10 = 0", False),
        ("told apart", "a mistake is told", True),
        ("told apart", "it was not told", False),
        ("a clause that is none", "None if there is none", False),
    ],
)
def test_the_check_of_phrases_can_fail(rule: str, text: str, is_broken: bool) -> None:
    assert bool(broken(text, RULES[rule][0])) == is_broken

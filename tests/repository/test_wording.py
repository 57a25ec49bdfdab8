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
    "otherwise than": (r"otherwise than", "write differently from"),
    "inside of": (r"\binside of\b", "write inside"),
    "the two part": (r"\bthe two part\b", "write they diverge by construction"),
    "is the least": (r"\bis the least\b", "write at least 6 are needed"),
    "take an event": (r"\btake a detected", "write jump to a detected event"),
    "Lists of, Of": (r"(?-i:[\"'](Lists of|Of)[\"'])", "write Rank by, Scope"),
    "what there is": (r"what there is to ask", "write Tables and columns"),
    "Across, Up, As": (r"(?-i:[\"'](Across|Up|As)[\"'])", "write X, Y, Mark"),
    "log-like": (r"\blog-like\b", "write symlog"),
    "down to the loss of": (r"down to the loss of", "write first matches the unigram loss at step"),
    "a doubling": (r"nats a doubling", "write nats per doubling"),
    "lines of data": (r"\blines of data\b|\btick a (line|row)", "write rows, and select"),
    "the surest first": (r"\bsurest first\b", "write most significant first"),
    "so few documents": (r"\bso few documents", "write too few documents for a reliable band"),
    "three seen": (r"\b(three|pair) seen\b", "write trigram, or bigram, seen before"),
    "no finding": (r"\bis no finding\b", "write by construction, or is not a finding"),
    "who is in them": (r"\bwho is in them\b", "write cluster members"),
    "-0.5 nats": (r"(?<![\w.`])-\d[\d.,]* nats", "write −0.5 nats, with a minus sign"),
    "p=0.05": (r"(?<![\w.])p ?[<>≤]\d|(?<![\w.])p ?≤\d", "write p < 0.05, with spaces"),
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
        ("otherwise than", "learned otherwise than the rest", True),
        ("inside of", "not is_column inside_of", False),
        ("inside of", "inside of a spike", True),
        ("the two part", "that the two part is expected", True),
        ("is the least", "6 is the least", True),
        ("take an event", "Take a detected event of the mean loss", True),
        ("Lists of, Of", 'st.selectbox("Lists of", kinds)', True),
        ("Lists of, Of", "Lists of tokens, and their colours", False),
        ("what there is", "What there is to ask", True),
        ("Across, Up, As", 'column("Across", "x")', True),
        ("Across, Up, As", "with a spike as baseline", False),
        ("log-like", "a log-like axis", True),
        ("down to the loss of", "Down to the loss of unigrams: first at step 32", True),
        ("a doubling", "0.04 nats a doubling", True),
        ("lines of data", "202 lines of data", True),
        ("lines of data", "Tick a line to take its steps", True),
        ("the surest first", "202 groups, the surest first", True),
        ("so few documents", "so few documents make the band uncertain", True),
        ("three seen", "three seen, pair seen", True),
        ("no finding", "that they differ is no finding", True),
        ("who is in them", "Who is in them", True),
        ("-0.5 nats", "ends at -0.5 nats", True),
        ("-0.5 nats", "ends at −0.5 nats, or 1-2 nats", False),
        ("p=0.05", "with p <0.05", True),
        ("p=0.05", "p < 0.05", False),
    ],
)
def test_the_check_of_phrases_can_fail(rule: str, text: str, is_broken: bool) -> None:
    assert bool(broken(text, RULES[rule][0])) == is_broken

"""Random texts with odd metadata through `ingest run`; then every analysis and every page, once.

The suite tries two examples, and no page; `make fuzz` tries FUZZ of them.
"""

import json
import os
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, example, given, settings

import queries
from ingest.__main__ import main
from ingest.verify import verify
from queries import Store
from queries.analyses.base import Result
from queries.analyses.registry import ANALYSES, Analysis
from queries.errors import QueryError
from queries.questions import questions
from tests.models import PROSE, byte_fallback, byte_level, metaspace, save_run, word_piece
from tests.views.apps import shown

EXAMPLES = int(os.environ.get("FUZZ", "0"))
STEPS = (0, 10, 400)
GENERAL = ("trajectories", "zoom", "text", "sql", "report", "tour")
ONE_STORE = [analysis for analysis in ANALYSES if not analysis.of_runs]
TOKENIZERS = {
    "byte_level": byte_level,
    "metaspace": metaspace,
    "word_piece": word_piece,
    "byte_fallback": lambda: byte_fallback(["\u2581the", "\u2581President", "s", "e", "\u2581"]),
}
ODD_NAMES = (
    *("", " ", "n", "Year", "year", "YEAR", "row", "Row", "meta_row", "source", "id", "title"),
    *("select", "first", "change", "loss", "doc_tokens", "checkpoint", "a b", 'a"b', "it's", "a.b"),
    *("*", "\n", "\x00", "é", "🎉", "%s", "{clause}", "$rows", "__index_level_0__", "?", "[1]"),
)
SQL_WORDS = sorted(
    {
        word
        for path in Path(queries.__file__).parent.rglob("*.sql")
        for word in re.findall(r"[A-Za-z_]\w*", path.read_text(encoding="utf-8"))
    }
)
characters = st.characters(exclude_categories=["Cs"])
names = st.sampled_from(ODD_NAMES) | st.sampled_from(SQL_WORDS) | st.text(characters, max_size=6)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(characters, max_size=9)
values = scalars | st.integers(2**63, 2**70) | st.lists(scalars) | st.dictionaries(names, scalars)
texts = st.one_of(
    st.integers(1, len(PROSE)).map(lambda n: PROSE[:n]),
    st.text(characters, max_size=60),
    st.text("the war of Washington,.\n", max_size=300),
    st.none(),
)
rows = st.builds(
    lambda metadata, text: metadata | {"text": text}, st.dictionaries(names, values), texts
)
OPTIONS = ((), ("--no-bos",), ("--stride", "8"), ("--max-parts", "1"), ("--context-length", "5"))
inputs = st.fixed_dictionaries(
    {
        "rows": st.lists(rows, min_size=1, max_size=6),
        "tokenizer": st.sampled_from(sorted(TOKENIZERS)),
        "options": st.sampled_from(OPTIONS),
    }
)
ALL_NAMES = {
    "rows": [
        dict.fromkeys((*ODD_NAMES, *SQL_WORDS), n) | {"text": PROSE, "id": n} for n in range(3)
    ],
    "tokenizer": "byte_level",
    "options": (),
}


def fuzzed(default: int, share: int = 1) -> settings:
    """Settings of a test with `default` examples, or FUZZ / `share` of them."""
    return settings(
        max_examples=max(EXAMPLES // share, 1) if EXAMPLES else default,
        derandomize=not EXAMPLES,
        deadline=None,
        phases=[p for p in Phase if EXAMPLES or p is not Phase.shrink],
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@cache
def source(tokenizer: str) -> Path:
    """A run of three checkpoints with that tokenizer."""
    folder = Path(tempfile.mkdtemp(prefix="token-trails-fuzz-"))
    return save_run(folder / "run", TOKENIZERS[tokenizer](), STEPS)


def ingested(given_input: dict[str, Any], folder: Path) -> Path | None:
    """The store; None for a text without a token to score, which ingest refuses."""
    text = folder / "text.jsonl"
    lines = (json.dumps(row) + "\n" for row in given_input["rows"])
    text.write_text("".join(lines), encoding="utf-8")
    store = folder / "store"
    arguments = ["run", source(given_input["tokenizer"]), "--text", text, "--store", store]
    status = main([*map(str, arguments), *given_input["options"]])
    if status:
        assert not store.exists()  # nothing was scored, so nothing was written
        return None
    assert verify(store) == []
    return store


def values_of(analysis: Analysis) -> dict[str, Any]:
    regions = iter([(0, 10), (10, 400)])
    return {
        a.name: next(regions) if a.role == "region" else "word_start"
        for a in analysis.arguments
        if a.required
    }


def ask_everything(store: Store) -> None:
    """Every answer is a result or a sentence. Anything else is a bug."""
    everything = store.trajectories({"all": "true"})
    assert list(everything["checkpoint"]) == list(STEPS)
    assert len(store.make_catalog())
    columns = store.sql("from docs").columns
    assert len({name.lower() for name in columns}) == len(columns)
    for question in questions():
        store.sql(question.text)
    for analysis in ONE_STORE:
        try:
            result = analysis.function(store, **values_of(analysis))
        except QueryError as error:
            assert len(str(error)) > 20
            continue
        assert result.script()


@given(inputs)
@example(ALL_NAMES)
@fuzzed(default=1)
def test_every_analysis_of_a_random_store_answers(given_input: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if store := ingested(given_input, Path(folder)):
            ask_everything(Store(store))


@pytest.mark.skipif(not EXAMPLES, reason="takes long: `make fuzz` draws the pages")
@given(inputs)
@fuzzed(default=1, share=10)
def test_every_page_of_a_random_store_is_drawn(given_input: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        if store := ingested(given_input, Path(folder)):
            for page in (*GENERAL, *(a.name for a in ANALYSES)):
                shown(store, page)


def test_a_broken_analysis_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(store: Store) -> Result:
        raise KeyError(store.path)

    monkeypatch.setitem(globals(), "ONE_STORE", [Analysis("x", "", "", broken, "", "")])
    with tempfile.TemporaryDirectory() as folder:
        store = ingested(ALL_NAMES, Path(folder))
        assert store
        with pytest.raises(KeyError):
            ask_everything(Store(store))

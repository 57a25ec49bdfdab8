"""Dependencies point one way: app.py -> views -> queries -> store <- ingest. Read, and run."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("app", "views", "queries", "store", "ingest", "tests")
MAY_IMPORT = {
    "app": {"views", "queries"},
    "views": {"views", "queries"},
    "queries": {"queries", "store"},
    "store": {"store"},
    "ingest": {"ingest", "store"},
}
WEB, MODELS = {"streamlit", "altair"}, {"torch", "transformers"}
DRAWS = "charts"  # the one folder of queries that imports altair, when a chart is drawn
MUST_NOT_LOAD = {
    "app": MODELS | {"duckdb"},
    "views": MODELS | {"duckdb"},
    "queries": MODELS | WEB,
    "store": MODELS | WEB | {"duckdb", "numba", "scipy"},
    "ingest": WEB | {"duckdb"},
}
SQL = re.compile(r"\s*(select|with|from|describe|summarize)\b.*\b(from|select)\b", re.I | re.S)


def files(part: str) -> list[Path]:
    alone = ROOT / f"{part}.py"
    return [alone] if alone.exists() else sorted((ROOT / part).rglob("*.py"))


def imports(source: str) -> Iterator[str]:
    """Modules that a text imports, wherever in it; relative imports stay in their part anyway."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            yield from (str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant))


def trespasses(part: str, source: str) -> set[str]:
    """What a text of this part imports of ours or of others and must not."""
    tops = {name.split(".")[0] for name in imports(source)}
    return (tops & set(PARTS) - MAY_IMPORT[part]) | (tops & MUST_NOT_LOAD[part])


def queries_in(source: str) -> list[str]:
    """String literals that read like SQL; the gaps of f-strings count as a word."""
    texts = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            texts.append(
                "".join(
                    part.value if isinstance(part, ast.Constant) else "x" for part in node.values
                )
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return [text for text in texts if SQL.match(text)]


def loaded_after(program: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded when it has run `program`."""
    program += "\nimport sys; print('loaded', *{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def modules(part: str) -> list[str]:
    """Names of all modules of a part, `__init__` as the package's own."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files(part)]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_every_import_is_allowed(part):
    assert files(part)
    for path in files(part):
        found = trespasses(part, path.read_text(encoding="utf-8"))
        if part == "queries" and path.parent.name == DRAWS:
            found -= {"altair"}
        assert not found, path


@pytest.mark.parametrize(
    ("part", "source", "found"),
    [
        ("queries", "import streamlit as st", {"streamlit"}),
        ("queries", "from ingest.run import score", {"ingest"}),
        ("queries", "def late():\n    from views import charts", {"views"}),
        ("queries", "if True:\n    import numpy, torch.nn", {"torch"}),
        ("queries", "importlib.import_module('altair')", {"altair"}),
        ("views", "__import__('transformers')", {"transformers"}),
        ("views", "from store.layout import Layout", {"store"}),
        ("ingest", "from queries import Store", {"queries"}),
        ("store", "import tests.queries.stores", {"tests"}),
        ("queries", "import queries.sql, store.schema\nfrom . import zoom", set()),
    ],
)
def test_the_check_of_imports_can_fail(part, source, found):
    assert trespasses(part, source) == found


def test_queries_answer_without_the_web_and_models(tmp_path):
    asked = ["zoom", "data/demo", "400", "500", "--top", "2"]
    ours = [name for name in modules("queries") if not name.startswith(f"queries.{DRAWS}")]
    loaded = loaded_after(
        f"import {', '.join(ours)}\n"
        f"assert queries.__main__.main({[*asked, '--output', str(tmp_path / 'a.csv')]}) == 0"
    )
    assert {"queries", "duckdb"} <= loaded
    assert not loaded & (MUST_NOT_LOAD["queries"] | {"ingest", "views"})


def test_the_app_draws_both_pages_without_models():
    loaded = loaded_after(
        f"import {', '.join(modules('views'))}, sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        "sys.argv = ['app.py', 'data/demo']\n"
        "app = AppTest.from_file('app.py', default_timeout=60).run()\n"
        "assert not app.exception and app.get('vega_lite_chart')"
    )
    assert {"views", "queries", "streamlit", "altair"} <= loaded
    assert not loaded & (MODELS | {"ingest"})


def test_ingest_loads_nothing_of_the_web():
    loaded = loaded_after(f"import {', '.join(modules('ingest'))}")
    assert {"ingest", "store", "torch"} <= loaded
    assert not loaded & (MUST_NOT_LOAD["ingest"] | {"queries", "views"})


@pytest.mark.parametrize("part", ["app", "views"])
def test_the_app_holds_no_sql(part):
    for path in files(part):
        assert not queries_in(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("sql('select 1 from tokens')", True),
        ("x = f'''\n  SELECT {column}\nFROM {table}'''", True),
        ("'with a as (' 'select 1) from a'", True),
        ("'from losses select avg(loss)'", True),
        ("'from the first step on'", False),
        ("'see `select * from checkpoints`'", False),
        ("f'position = {n}'", False),
    ],
)
def test_the_check_of_sql_can_fail(source, found):
    assert bool(queries_in(source)) == found

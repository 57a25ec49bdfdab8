"""Dependencies point one way: app.py -> views -> queries -> store <- ingest. No import cycles.

Checked by reading the source and by running it.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("app", "token_trails", "views", "queries", "store", "ingest", "tests")
MAY_IMPORT = {
    "app": {"views", "queries"},
    "token_trails": set(),  # imports packages by name, when their commands are called
    "views": {"views", "queries"},
    "queries": {"queries", "store"},
    "store": {"store"},
    "ingest": {"ingest", "store"},
}
WEB, MODELS = {"streamlit", "altair"}, {"torch", "transformers"}
CHARTS = "queries/charts"  # the one folder of queries that imports altair, when a chart is drawn
MUST_NOT_IMPORT = {
    "app": MODELS | {"duckdb"},
    "token_trails": MODELS | {"altair", "duckdb"},
    "views": MODELS | {"duckdb"},
    "queries": MODELS | WEB,
    "store": MODELS | WEB | {"duckdb", "numba", "scipy"},
    "ingest": WEB | {"duckdb"},
}
SQL = re.compile(r"\s*(select|with|from|describe|summarize)\b.*\b(from|select)\b", re.I | re.S)


def files(part: str) -> list[Path]:
    """Python files of a part: one module, or all of a package."""
    module = ROOT / f"{part}.py"
    return [module] if module.exists() else sorted((ROOT / part).rglob("*.py"))


def imports(source: str) -> Iterator[str]:
    """Absolute names of modules that are imported anywhere in a source text.

    Relative imports are left out, because they stay within their part.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
        elif isinstance(node, ast.Call) and "import" in ast.unparse(node.func):
            yield from (str(a.value) for a in node.args[:1] if isinstance(a, ast.Constant))


def forbidden(part: str, source: str) -> set[str]:
    """Top-level modules that a source text of this part imports and must not."""
    tops = {name.split(".")[0] for name in imports(source)}
    return (tops & set(PARTS) - MAY_IMPORT[part]) | (tops & MUST_NOT_IMPORT[part])


def sources() -> dict[str, str]:
    """Module name -> source text, of everything outside tests; a package as `name.__init__`."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text(encoding="utf-8")
        for part in MAY_IMPORT
        for path in files(part)
    }


def imported(module: str, source: str, known: set[str]) -> set[str]:
    """Which of the `known` modules a module imports, in functions and under TYPE_CHECKING too.

    `from package import name` imports the module `package.name` if there is one, else the package.
    """
    candidates: list[tuple[str, ...]] = []  # of each import, the most specific name first
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            candidates += [(name.name,) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module.split(".")[: -node.level] if node.level else []
            base = ".".join([*package, *([node.module] if node.module else [])])
            candidates += [(f"{base}.{name.name}", base) for name in node.names]
    found = set()
    for names in candidates:
        modules = [m for name in names for m in (name, f"{name}.__init__") if m in known]
        found |= set(modules[:1])
    return found - {module}


def cycle(modules: Mapping[str, str]) -> list[str]:
    """One cycle of imports among the modules (name -> source), or an empty list."""
    known = set(modules)
    graph = {name: imported(name, source, known) for name, source in modules.items()}
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(graph[name]):
            if found := visit(target, [*path, name]):
                return found
        done.add(name)
        return []

    return next((found for name in sorted(graph) if (found := visit(name, []))), [])


def queries_in(source: str) -> list[str]:
    """String literals that look like SQL; a placeholder of an f-string counts as a word.

    Strings that stand alone are documentation.
    """
    texts: list[str] = []
    nodes = list(ast.walk(ast.parse(source)))
    documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = (v.value if isinstance(v, ast.Constant) else "x" for v in node.values)
            texts.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts += [] if id(node) in documentation else [node.value]
    return [text for text in texts if SQL.match(text)]


def loaded_after(program: str) -> set[str]:
    """Top-level modules that are loaded after a fresh interpreter has run `program`."""
    program += "\nimport sys; print('loaded', *{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def modules(part: str) -> list[str]:
    """Names of all modules of a part, packages included."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in files(part)]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_every_import_is_allowed(part: str) -> None:
    assert files(part)
    for path in files(part):
        found = forbidden(part, path.read_text(encoding="utf-8"))
        if path.is_relative_to(ROOT / CHARTS):
            found -= {"altair"}
        if part == "token_trails":
            found -= {"streamlit"}  # starts it
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
        ("store", "import tests.queries.support.stores", {"tests"}),
        ("queries", "import queries.sql, store.schema\nfrom . import zoom", set()),
    ],
)
def test_the_check_of_imports_can_fail(part: str, source: str, found: set[str]) -> None:
    assert forbidden(part, source) == found


def test_there_are_no_import_cycles() -> None:
    assert cycle(sources()) == []


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        ({"a": "import b", "b": "import c", "c": ""}, ""),
        ({"a": "import b", "b": "import c", "c": "import a"}, "a b c a"),
        ({"a": "def f():\n    import b", "b": "import a"}, "a b a"),
        ({"a": "if TYPE_CHECKING:\n    from b import B", "b": "from a import f"}, "a b a"),
        ({"p.__init__": "", "p.a": "from p import b", "p.b": "from . import a"}, "p.a p.b p.a"),
        ({"p.__init__": "from p.a import f", "p.a": "from p.b import g", "p.b": ""}, ""),
        (
            {"p.__init__": "from p.a import f", "p.a": "from p import f"},
            "p.__init__ p.a p.__init__",
        ),
    ],
)
def test_the_check_of_cycles_can_fail(modules: dict[str, str], found: str) -> None:
    assert " ".join(cycle(modules)) == found


def test_queries_load_neither_web_nor_model_packages(tmp_path: Path) -> None:
    command = ["zoom", "data/demo", "400", "500", "--top", "2"]
    ours = [name for name in modules("queries") if not name.startswith("queries.charts")]
    loaded = loaded_after(
        f"import {', '.join(ours)}\n"
        f"assert queries.__main__.main({[*command, '--output', str(tmp_path / 'a.csv')]}) == 0"
    )
    assert {"queries", "duckdb"} <= loaded
    assert not loaded & (MUST_NOT_IMPORT["queries"] | {"ingest", "views"})


def test_the_app_draws_a_page_without_model_packages() -> None:
    loaded = loaded_after(
        f"import {', '.join(modules('views'))}, sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        "sys.argv = ['app.py', 'data/demo']\n"
        "app = AppTest.from_file('app.py', default_timeout=60).run()\n"
        "assert not app.exception and app.get('vega_lite_chart')"
    )
    assert {"views", "queries", "streamlit", "altair"} <= loaded
    assert not loaded & (MODELS | {"ingest"})


def test_ingest_loads_no_web_packages() -> None:
    loaded = loaded_after(f"import {', '.join(modules('ingest'))}")
    assert {"ingest", "store", "torch"} <= loaded
    assert not loaded & (MUST_NOT_IMPORT["ingest"] | {"queries", "views"})


def test_the_console_script_loads_a_package_only_for_its_command() -> None:
    assert not loaded_after("import token_trails") & (WEB | MODELS | set(PARTS) - {"token_trails"})


@pytest.mark.parametrize("part", ["app", "views"])
def test_the_app_contains_no_sql(part: str) -> None:
    for path in files(part):
        assert not queries_in(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("sql('select 1 from tokens')", True),
        ("x = f'''\n  SELECT {column}\nFROM {table}'''", True),
        ("f('with a as (' 'select 1) from a')", True),
        ("f('from losses select avg(loss)')", True),
        ("f('from the first step on')", False),
        ("f('see `select * from checkpoints`')", False),
        ('def f():\n    """With a title from the select box."""', False),
        ("x = f'position = {n}'", False),
    ],
)
def test_the_check_of_sql_can_fail(source: str, found: bool) -> None:
    assert bool(queries_in(source)) == found

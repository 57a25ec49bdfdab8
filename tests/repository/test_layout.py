"""A folder's listing can be read at a glance, and a name means one thing."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("ingest", "queries", "store", "views", "tests")
LIMIT = 16
"""Entries per folder, `__init__` and `__main__` included: a listing for one glance."""
COLLECTIONS = {
    "queries/groups": "a .sql file per named group, next to the package that reads them",
    "queries/questions": "a .sql file per question",
    "queries/sql/catalog": "a .sql file per view or macro of the catalog",
    "queries/sql/engine": "a .sql file per statement",
}
"""Folders that may hold more, and why: their files are alike, and none needs to be read first."""


def entries(folder: Path) -> list[str]:
    """Names in a folder, without caches."""
    return sorted(p.name for p in folder.iterdir() if p.name != "__pycache__")


def folders() -> Iterator[Path]:
    for part in CODE:
        yield ROOT / part
        yield from (p for p in (ROOT / part).rglob("*") if p.is_dir() and p.name[0] not in "._")


def shadowed(name: str, source: str, submodules: set[str]) -> set[str]:
    """Names that the package `name` binds in its `__init__` to something else than a submodule."""
    bound = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom):
            imports_submodules = node.module == name or (node.level == 1 and not node.module)
            bound |= set() if imports_submodules else {a.asname or a.name for a in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
    return bound & submodules


@pytest.mark.parametrize("folder", list(folders()), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_lists_few_entries(folder):
    if str(folder.relative_to(ROOT)) not in COLLECTIONS:
        assert len(entries(folder)) <= LIMIT, entries(folder)


def test_the_collections_exist():
    for folder in COLLECTIONS:
        assert (ROOT / folder).is_dir(), folder


def test_no_function_has_the_name_of_a_module_beside_it():
    found = {}
    for init in (path for part in CODE for path in (ROOT / part).rglob("__init__.py")):
        name = ".".join(init.parent.relative_to(ROOT).parts)
        submodules = {Path(entry).stem for entry in entries(init.parent)}
        if names := shadowed(name, init.read_text(encoding="utf-8"), submodules):
            found[name] = names
    assert found == {}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from package.matched import matched", {"matched"}),
        ("from package.base import other as matched", {"matched"}),
        ("def matched(): ...", {"matched"}),
        ("from package.matched import Matched", set()),
        ("from package import matched", set()),
        ("from . import matched", set()),
    ],
)
def test_the_check_of_shadowed_modules_can_fail(source, found):
    assert shadowed("package", source, {"matched", "base"}) == found

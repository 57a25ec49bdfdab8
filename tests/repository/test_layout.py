"""A folder's listing can be read at a glance, and a name has one meaning."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("ingest", "queries", "store", "views", "tests")
LIMIT = 18
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
    """Submodules of the package `name` whose names its `__init__` gives to something else."""
    bound = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.ImportFrom):
            imports_submodules = node.module == name or (node.level == 1 and not node.module)
            bound |= set() if imports_submodules else imported(node)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound.add(node.name)
    return bound & submodules


def imported(node: ast.ImportFrom) -> set[str]:
    """The names that an import binds; those of `__all__` for a star."""
    names = {alias.asname or alias.name for alias in node.names}
    return set(importlib.import_module(str(node.module)).__all__) if names == {"*"} else names


@pytest.mark.parametrize("folder", list(folders()), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_folder_lists_few_entries(folder: Path) -> None:
    if str(folder.relative_to(ROOT)) not in COLLECTIONS:
        assert len(entries(folder)) <= LIMIT, entries(folder)


def test_the_collections_exist() -> None:
    for folder in COLLECTIONS:
        assert (ROOT / folder).is_dir(), folder


def test_no_name_in_a_package_shadows_one_of_its_modules() -> None:
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
        ("from queries.analyses.registry import *", {"matched"}),
        ("from package.matched import Matched", set()),
        ("from package import matched", set()),
        ("from . import matched", set()),
    ],
)
def test_the_check_of_shadowed_modules_can_fail(source: str, found: set[str]) -> None:
    assert shadowed("package", source, {"matched", "base"}) == found

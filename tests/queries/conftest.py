"""A small store and the demo store to ask; one more to change."""

from pathlib import Path

import pytest

from queries import Store
from tests.queries.stores import PlainSql, build_store

DEMO = Path(__file__).parents[2] / "data" / "demo"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small store's folder. Read only."""
    return build_store(tmp_path_factory.mktemp("stores") / "small", sources=8)


@pytest.fixture(scope="session")
def store(folder: Path) -> Store:
    return Store(folder)


@pytest.fixture(scope="session")
def plain(folder: Path) -> PlainSql:
    return PlainSql(folder)


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A small store's folder that the test may change."""
    return build_store(tmp_path / "own", sources=3, longest=15)


@pytest.fixture(scope="session")
def demo() -> Store:
    return Store(DEMO)

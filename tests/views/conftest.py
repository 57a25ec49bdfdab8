"""Small stores for the pages: one for all tests that only read it, copies for those that write."""

import shutil
from pathlib import Path

import pytest

from queries import Store
from tests.queries.support.stores import build_store


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store to read, with its index and catalog."""
    root = build_store(tmp_path_factory.mktemp("views") / "run", sources=12)
    _ = Store(root).matrix
    return root


@pytest.fixture
def small(folder: Path, tmp_path: Path) -> Path:
    """A copy of it to write to."""
    return Path(shutil.copytree(folder, tmp_path / "small"))

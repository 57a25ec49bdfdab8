"""Isolates each test from the `__main__` of another one."""

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def own_main() -> Iterator[None]:
    """Streamlit's AppTest leaves its script as `__main__`, which a new process would run again."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main

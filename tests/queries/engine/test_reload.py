"""Reloading files of functions: changes, failures, and queries that run meanwhile."""

import threading
from pathlib import Path

import pytest

from queries import GroupError, Store, StoreError
from tests.queries.engine.test_functions import MATRIX


def test_functions_are_reloaded(own: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def f(x: str) -> bool: return True\ndef g(x: str) -> bool: return True\n")
    store = Store(own, functions=path)
    before = store.trajectories({"a": "f(token_str)"})
    # As long as the first one and in the same second; one function changed, one removed, one new.
    path.write_text("def f(x: str) -> bool:return x<'a'\ndef h(x: int) -> int: return x + 1\n")
    assert store.functions_changed
    assert store.reload_functions() == [*MATRIX, "is_palindrome", "f", "h"] == store.functions
    assert not store.functions_changed
    assert store.members("f(token_str)").tolist() == store.members("token_str < 'a'").tolist()
    assert store.members("h(position) = 3").tolist() == store.members("position = 2").tolist()
    with pytest.raises(GroupError, match="there is no function g"):
        store.members("g(token_str)")
    after = store.trajectories({"a": "f(token_str)"})
    assert after["n_tokens"].iloc[0] < before["n_tokens"].iloc[0]
    path.write_text("def f(x: int) -> int: return -x\n")  # other types
    store.reload_functions()
    assert store.members("f(position) = -2").tolist() == store.members("position = 2").tolist()


@pytest.mark.parametrize("text", ["def f(", "def lower(x: str) -> bool: return True", None])
def test_a_reload_that_fails_changes_nothing(own: Path, tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def f(x: str) -> bool: return True\n")
    store = Store(own, functions=path)
    path.write_text(text) if text else path.unlink()
    assert store.functions_changed
    with pytest.raises(StoreError):
        store.reload_functions()
    assert store.functions == [*MATRIX, "is_palindrome", "f"]
    assert len(store.members("f(token_str)")) == store.manifest.n_tokens


def test_queries_continue_while_functions_are_reloaded(own: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def f(x: str) -> bool: return True\n")
    store = Store(own, functions=path)
    done, troubles = threading.Event(), []

    def ask() -> None:
        while not done.is_set():
            try:
                assert len(store.members("f(token_str)")) == store.manifest.n_tokens
            except BaseException as error:  # handed to the test's own thread
                troubles.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        store.reload_functions()
    done.set()
    for thread in threads:
        thread.join()
    assert troubles == []

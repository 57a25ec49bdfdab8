"""One store, many threads, as in the app: every answer is the one that a single thread gets."""

import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from queries import QueryError, Store, overlap
from queries.stats.changes import Zoom
from store.layout import Layout
from tests.queries.support.stores import build_store

THREADS, QUERIES = 16, 50
FUNCTIONS = """
def is_wide(token_str: str) -> bool:
    return len(token_str) > 4

def reciprocal(number: int) -> float:
    return 1 / (number - 3)
"""
MEANS = "select checkpoint, round(avg(loss), 6) as mean from losses where position = 2 group by all"

Question = Callable[[Store], Any]
QUESTIONS: list[Question] = [
    lambda s: s.trajectories({"a": "position = 2", "b": "word_start", "all": "true"}),
    lambda s: s.trajectories({"f": "is_wide(token_str)", "p": "is_palindrome(token_str)"}),
    lambda s: s.trajectories({"moved": "loss_at(row, 4) - loss_at(row, 400) > 1"}),
    lambda s: s.difference("is_word_start", "not is_word_start"),
    lambda s: s.difference("row = 3", "loss_at(row - 1, 8) > 4"),
    lambda s: s.zoom(4, 400, "is_word_start or row < 3", k=5),
    lambda s: s.zoom(0, 1000, k=9, seed=3),
    lambda s: overlap(s, (0, 8), (8, 400), k=6).frame,
    lambda s: s.suggested_regions(),
    lambda s: s.context([3, 1, 40]),
    lambda s: s.sql(f"{MEANS} order by all"),
    lambda s: s.sql("select row from tokens where is_wide(token_str) order by all"),
    lambda s: s.members("is_wide(token_str) and not is_palindrome(token_str)"),
    lambda s: s.members("position = (select max(position) from tokens)"),
    lambda s: s.members("case when position <> 3 then reciprocal(position) > 0.5 end"),
    # Errors:
    lambda s: s.members("reciprocal(position) > 0"),
    lambda s: s.members("positoin = 1"),
    lambda s: s.members("true) or (false"),
    lambda s: s.trajectories({"none": "position = 999"}),
    lambda s: s.zoom(3, 8),
    lambda s: s.sql("drop table token_rows"),
    lambda s: s.sql("select nocolumn from tokens"),
]
UNANSWERED = 7


def outcome(store: Store, question: Question) -> object:
    """An answer, or the error's sentence, in a form that == compares completely."""
    try:
        return _comparable(question(store))
    except QueryError as error:
        return type(error).__name__, str(error)


def _comparable(answer: Any) -> object:
    if isinstance(answer, Zoom):
        return [_comparable(value) for value in vars(answer).values()]
    if isinstance(answer, pd.DataFrame):
        return answer.to_csv()  # all digits, and missing values are equal
    return answer.tolist() if isinstance(answer, np.ndarray) else answer


@pytest.fixture(scope="module")
def expected_and_fresh(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[object], Store]:
    """Answers of one thread; and the same store reopened, with nothing computed or built."""
    root = tmp_path_factory.mktemp("threads")
    folder: Path = build_store(root / "store")
    (root / "own.py").write_text(FUNCTIONS)
    alone = Store(folder, functions=root / "own.py")
    expected = [outcome(alone, question) for question in QUESTIONS]
    shutil.rmtree(Layout(folder).index)
    return expected, Store(folder, functions=root / "own.py")


def test_one_thread_gets_the_expected_answers(expected_and_fresh: tuple[list[Any], Store]) -> None:
    failed = [isinstance(e, tuple) and "Error" in str(e[0]) for e in expected_and_fresh[0]]
    assert failed == [n >= len(QUESTIONS) - UNANSWERED for n in range(len(QUESTIONS))]


def test_many_threads_get_the_answers_of_one(expected_and_fresh: tuple[list[Any], Store]) -> None:
    expected, store = expected_and_fresh
    start = threading.Barrier(THREADS)
    wrong: list[object] = []
    answered: list[object] = []

    def ask(seed: int) -> None:
        start.wait()
        for n in random.Random(seed).choices(range(len(QUESTIONS)), k=QUERIES):
            try:
                got = outcome(store, QUESTIONS[n])
            except BaseException as error:  # else it would end in the thread, unseen
                got = error
            (answered if got == expected[n] else wrong).append((n, got))

    threads = [threading.Thread(target=ask, args=(seed,), daemon=True) for seed in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert wrong == []
    assert len(answered) == THREADS * QUERIES  # there is no deadlock

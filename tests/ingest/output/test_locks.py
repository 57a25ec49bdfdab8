"""Locks: one writer, or several shards that agree; no gap while a lock becomes a shared one."""

import fcntl
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest

from ingest.errors import IngestError
from ingest.output.locks import file_lock, writer_lock
from ingest.sources.selection import Shard
from store.layout import Layout


def test_a_second_writer_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with writer_lock(layout):
        for shard in (None, Shard(1, 2)):
            with pytest.raises(IngestError, match="is writing"), writer_lock(layout, shard):
                pass
    assert list(tmp_path.glob(".*")) == []
    with writer_lock(layout, Shard(1, 2)), writer_lock(layout, Shard(2, 2)):
        with pytest.raises(IngestError, match="another ingest is writing"), writer_lock(layout):
            pass
        other = "as 1/2 to 2/2, this is 3/4"
        with pytest.raises(IngestError, match=other), writer_lock(layout, Shard(3, 4)):
            pass
    assert list(tmp_path.glob(".*")) == []


def test_no_run_gets_in_while_a_lock_is_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """flock(2): converting a lock is not atomic, the existing lock is first removed."""
    layout = Layout(tmp_path)
    answers: list[str] = []
    flock, gap = fcntl.flock, threading.Event()

    def other_run() -> None:
        gap.wait()
        try:
            with writer_lock(layout):
                answers.append("it got in")
        except IngestError as error:
            answers.append(str(error))

    def with_a_gap(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_SH | fcntl.LOCK_NB and not gap.is_set():
            flock(descriptor, fcntl.LOCK_UN)
            gap.set()
            time.sleep(0.3)
        flock(descriptor, operation)

    other = threading.Thread(target=other_run)
    other.start()
    monkeypatch.setattr(fcntl, "flock", with_a_gap)
    with writer_lock(layout, Shard(1, 2)):
        other.join(20)
    assert answers == [f"another ingest is writing {tmp_path}: wait for it or stop it"]


def test_a_lock_that_is_lost_while_it_is_converted_gets_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program, which does not ask for admission, takes the lock in between."""
    layout, flock = Layout(tmp_path), fcntl.flock
    run = tmp_path / ".run.lock"
    thieves: list[TextIO] = []

    def stolen(descriptor: int, operation: int) -> None:
        if operation == fcntl.LOCK_SH | fcntl.LOCK_NB and not thieves:
            flock(descriptor, fcntl.LOCK_UN)
            thieves.append(run.open("r+"))
            flock(thieves[0].fileno(), fcntl.LOCK_EX)
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", stolen)
    taken = "another ingest, without --shard, is writing"
    with pytest.raises(IngestError, match=taken), writer_lock(layout, Shard(1, 2)):
        pass
    thieves[0].close()


def repeatedly(
    enter: Callable[[Shard | None], None], shard: Shard | None, problems: list[str]
) -> threading.Thread:
    def act() -> None:
        for _ in range(40):
            try:
                enter(shard)
            except IngestError:
                continue
            except Exception as error:  # what this test looks for
                problems.append(repr(error))

    return threading.Thread(target=act)


def test_runs_and_shards_that_race_get_in_or_a_sentence(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    problems: list[str] = []
    inside: list[Shard | None] = []

    def enter(shard: Shard | None) -> None:
        with writer_lock(layout, shard):
            inside.append(shard)
            if shard is None and len(inside) != 1:
                problems.append(f"{inside} at once")
            time.sleep(0.0005)
            inside.remove(shard)

    threads = [repeatedly(enter, s, problems) for s in (None, Shard(1, 2), Shard(2, 2))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert list(tmp_path.glob(".*")) == []


def test_a_waiting_process_gets_a_lock_whose_file_was_removed(tmp_path: Path) -> None:
    path = tmp_path / ".a.lock"
    order: list[str] = []

    def wait() -> None:
        with file_lock(path):
            order.append("second")

    waiting = threading.Thread(target=wait)
    with file_lock(path):
        waiting.start()
        time.sleep(0.05)
        order.append("first")
    waiting.join(20)
    assert order == ["first", "second"]
    assert not path.exists()

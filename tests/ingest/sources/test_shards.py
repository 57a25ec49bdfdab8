"""Shards of one store, at once and killed at any moment, end in the store of a single run."""

import os
import random
import re
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.options import RunOptions
from ingest.run import open_source_for
from ingest.sources.hub import Repository
from ingest.sources.revisions import Checkpoint
from ingest.sources.selection import Shard, parse_shard
from ingest.verify import verify
from store.layout import Layout
from tests.ingest.conftest import LONG_STEPS, Ingest, LongRun
from tests.ingest.output.test_kill import assert_same
from tests.ingest.support.processes import KILL_SEEDS, finish, pid_of, start

SHARDS = ("1/3", "2/3", "3/3")


def run_all(long_run: LongRun, store: Path) -> list[BaseProcess]:
    return [start(long_run(store, "--shard", shard)) for shard in SHARDS]


def stop(pid: int) -> None:
    """Returns once all its threads stand still."""
    os.kill(pid, signal.SIGSTOP)
    while not all(
        path.read_text().rpartition(")")[2].split()[0] == "T"
        for path in Path(f"/proc/{pid}/task").glob("*/stat")
    ):
        time.sleep(0.001)


@given(n=st.integers(0, 50), of=st.integers(1, 20))
def test_shares_hold_each_checkpoint_once(n: int, of: int) -> None:
    every = [Checkpoint(i, f"step{i}", Path(), i) for i in range(n)]
    shares = [Shard(number, of).share(every) for number in range(1, of + 1)]
    assert sorted(c.checkpoint for share in shares for c in share) == list(range(n))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/5"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        parse_shard(text)
    assert parse_shard("3/16") == Shard(3, 16)


@pytest.mark.parametrize("seed", KILL_SEEDS)
def test_three_at_once_and_killed_equal_a_single_run(
    tmp_path: Path, long_run: LongRun, long_store: tuple[Path, float], seed: int
) -> None:
    expected, duration = long_store
    store, moments = tmp_path / "store", random.Random(seed)
    going = run_all(long_run, store)
    for _ in range(2):
        time.sleep(moments.uniform(0, duration))
        victim = moments.randrange(3)
        going[victim].kill()
        going[victim].join()
        going[victim] = start(long_run(store, "--shard", SHARDS[victim]))
    for process in going:
        process.join()
    assert [p.exitcode for p in going] == [0] * 3
    assert_same(store, expected)
    assert verify(store) == []


def test_shards_one_after_the_other_make_the_same_and_each_its_share(
    tmp_path: Path, long_run: LongRun, long_store: tuple[Path, float]
) -> None:
    store = tmp_path / "store"
    for number, shard in enumerate(SHARDS, 1):
        finish(long_run(store, "--shard", shard))
        scored = [s for s in LONG_STEPS if (s // 10) % 3 < number]
        assert list(Layout(store).scored()) == scored
    assert_same(store, long_store[0])


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        (["--shard", "1/3"], ["--shard", "1/3"], "another ingest of shard 1/3 is writing"),
        (["--shard", "1/3"], ["--shard", "2/4"], "as 1/3 to 3/3, this is 2/4: give all of them"),
        (["--shard", "1/3"], [], "another ingest is writing .* wait for it or stop it"),
        ([], ["--shard", "1/3"], "another ingest, without --shard, is writing"),
    ],
)
def test_who_would_write_the_same_is_refused(
    tmp_path: Path,
    ingest: Ingest,
    long_run: LongRun,
    first: list[str],
    second: list[str],
    sentence: str,
) -> None:
    store = tmp_path / "store"
    process = start(long_run(store, *first))
    while not Layout(store).scored():
        time.sleep(0.001)
    stop(pid_of(process))
    while (store / ".files.lock").exists() or (
        store / ".admission.lock"
    ).exists():  # which all wait for, though for moments only
        os.kill(pid_of(process), signal.SIGCONT)
        time.sleep(0.001)
        stop(pid_of(process))
    try:
        ended = ingest(*long_run(store, *second))
    finally:
        os.kill(pid_of(process), signal.SIGCONT)
    assert ended.status == 2
    assert re.search(f"error: .*{sentence}", ended.error)
    process.kill()
    process.join()
    finish(long_run(store))
    assert not list(store.glob(".*"))


def test_probes_of_shards_at_once_are_those_of_a_single_run(
    long_run: LongRun, tmp_path: Path
) -> None:
    alone, store = tmp_path / "alone", tmp_path / "store"
    finish(long_run(alone, "--probes"))
    going = [start(long_run(store, "--shard", shard, "--probes")) for shard in SHARDS]
    for process in going:
        process.join()
    assert [p.exitcode for p in going] == [0] * 3
    assert_same(store, alone)
    assert verify(store) == []


def test_probes_of_shards_at_a_url_are_left_to_a_run_of_all(
    ingest: Ingest, long_run: LongRun
) -> None:
    ended = ingest(*long_run("memory://s", "--shard", "1/3", "--probes"))
    assert ended.status == 2
    assert "error: --probes and --shard cannot be combined at memory://s, where" in ended.error


def test_downloads_of_shards_are_apart(tmp_path: Path) -> None:
    sources = [
        open_source_for("owner/run", tmp_path / "s", RunOptions(shard=shard))
        for shard in (None, Shard(1, 3), Shard(2, 3))
    ]
    assert len({cast(Repository, source).cache for source in sources}) == 3

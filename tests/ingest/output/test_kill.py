"""A run that is killed at any moment, started again, ends in the store of an undisturbed one."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from store.files import leftovers
from store.layout import Layout
from tests.ingest.conftest import LONG_STEPS, LongRun
from tests.ingest.support.processes import ENVIRONMENT, KILL_SEEDS, ROOT, finish, pid_of, start

Arguments = Callable[[Path], list[str]]


def assert_same(store: Path, expected: Path) -> None:
    files = [{p.relative_to(s) for p in s.rglob("*")} for s in (store, expected)]
    assert files[0] == files[1]
    for name in files[0]:
        if (store / name).is_file() and name.name != "checkpoints.parquet":
            assert (store / name).read_bytes() == (expected / name).read_bytes(), name
    tables = [pq.read_table(s / "checkpoints.parquet").drop("seconds") for s in (store, expected)]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("seed", KILL_SEEDS)
def test_killed_twice_at_random_moments(
    tmp_path: Path, long_run: LongRun, long_store: tuple[Path, float], seed: int
) -> None:
    expected, duration = long_store
    moments = random.Random(seed)
    for _ in range(2):
        process = start(long_run(tmp_path / "store"))
        process.join(moments.uniform(0, duration))
        process.kill()
        process.join()
    finish(long_run(tmp_path / "store"))
    assert_same(tmp_path / "store", expected)


@pytest.mark.parametrize("folder", ["", "losses"])
def test_killed_while_a_file_is_half_written(
    tmp_path: Path, long_run: LongRun, long_store: tuple[Path, float], folder: str
) -> None:
    store = tmp_path / "store"
    process = start(long_run(store))
    while process.is_alive():
        if not leftovers(store / folder):
            continue
        os.kill(pid_of(process), signal.SIGSTOP)
        if leftovers(store / folder):
            break
        os.kill(pid_of(process), signal.SIGCONT)
    process.kill()
    process.join()
    assert leftovers(store / folder), "no moment was caught in which a file was half written"
    finish(long_run(store))
    assert_same(store, long_store[0])


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_itself_interrupted(
    tmp_path: Path, long_run: LongRun, long_store: tuple[Path, float], signal_number: signal.Signals
) -> None:
    store = tmp_path / "store"
    process = subprocess.Popen(
        [sys.executable, "-m", "ingest", *long_run(store)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        # Under nohup or `&` a test would hand on that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not Layout(store).scored():
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(signal_number)
    _, error = process.communicate()
    assert 1 <= len(Layout(store).scored()) < len(LONG_STEPS)
    assert "Traceback" not in error
    assert process.returncode == 130
    assert error.splitlines()[-1] == "interrupted: rerun the same command to resume"
    assert not leftovers(store)
    assert not leftovers(Layout(store).losses)
    finish(long_run(store))
    assert_same(store, long_store[0])

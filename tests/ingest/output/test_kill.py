"""A run that is killed at any moment, started again, ends in the store of an undisturbed one."""

import os
import random
import re
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
from tests.ingest.processes import ENVIRONMENT, ROOT, finish, start
from tests.models import PROSE, save_run

STEPS = range(0, 80, 10)
Arguments = Callable[[Path], list[str]]


@pytest.fixture(scope="module")
def arguments(bpe, tmp_path_factory: pytest.TempPathFactory) -> Arguments:
    """The arguments of a run over eight checkpoints, into the store that is named."""
    folder = tmp_path_factory.mktemp("long")
    save_run(folder / "run", bpe, STEPS)
    (folder / "t.txt").write_text(PROSE * 15)
    fixed = ["run", str(folder / "run"), "--text", str(folder / "t.txt"), "--store"]
    return lambda store: [*fixed, str(store)]


@pytest.fixture(scope="module")
def undisturbed(arguments: Arguments, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("undisturbed") / "store"
    finish(arguments(store))
    assert list(Layout(store).scored()) == list(STEPS)
    return store


@pytest.fixture(scope="module")
def duration(arguments: Arguments, undisturbed: Path, tmp_path_factory) -> float:
    """Seconds that a run takes, now that the server is warm."""
    began = time.monotonic()
    finish(arguments(tmp_path_factory.mktemp("timed")))
    return time.monotonic() - began


def assert_same(store: Path, expected: Path) -> None:
    files = [{p.relative_to(s) for p in s.rglob("*")} for s in (store, expected)]
    assert files[0] == files[1]
    for name in files[0]:
        if (store / name).is_file() and name.name != "checkpoints.parquet":
            assert (store / name).read_bytes() == (expected / name).read_bytes(), name
    tables = [pq.read_table(s / "checkpoints.parquet").drop("seconds") for s in (store, expected)]
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("seed", range(5))
def test_killed_twice_at_random_moments(tmp_path, arguments, undisturbed, duration, seed):
    moments = random.Random(seed)
    for _ in range(2):
        process = start(arguments(tmp_path / "store"))
        process.join(moments.uniform(0, duration))
        process.kill()
        process.join()
    finish(arguments(tmp_path / "store"))
    assert_same(tmp_path / "store", undisturbed)


@pytest.mark.parametrize("folder", ["", "losses"])
def test_killed_while_a_file_is_half_written(tmp_path, arguments, undisturbed, folder):
    store = tmp_path / "store"
    process = start(arguments(store))
    while process.is_alive():
        if not leftovers(store / folder):
            continue
        os.kill(process.pid, signal.SIGSTOP)
        if leftovers(store / folder):
            break
        os.kill(process.pid, signal.SIGCONT)
    process.kill()
    process.join()
    assert leftovers(store / folder), "no moment was caught in which a file was half written"
    finish(arguments(store))
    assert_same(store, undisturbed)


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_itself_interrupted_or_killed(tmp_path, arguments, undisturbed, signal_number):
    store = tmp_path / "store"
    process = subprocess.Popen(
        [sys.executable, "-m", "ingest", *arguments(store)],
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
    assert 1 <= len(Layout(store).scored()) < len(STEPS)
    assert "Traceback" not in error
    if signal_number != signal.SIGKILL:
        assert process.returncode == 130
        last = error.splitlines()[-1]
        assert re.fullmatch("interrupted: rerun the same command to resume", last)
        assert not leftovers(store)
        assert not leftovers(Layout(store).losses)
    finish(arguments(store))
    assert_same(store, undisturbed)

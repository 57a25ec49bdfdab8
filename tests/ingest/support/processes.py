"""Ingest in processes of its own, to be stopped and killed; quick, since torch is loaded once."""

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from ingest.__main__ import main

ROOT = Path(__file__).parents[3]
# As many threads as the tests' own process: another number gives other last digits.
SETTINGS = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
ENVIRONMENT = {**os.environ, **SETTINGS}
# How many runs from a Hub are killed, three for each seed. `make test-kill` sets it to 30.
KILLS = int(os.environ.get("KILLS", "9"))
KILL_SEEDS = range(KILLS // 3)


def start(arguments: list[str], target: Callable[[list[str]], int] = main) -> BaseProcess:
    """A process that runs ingest, forked from a server that has loaded all and computed nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["ingest.run", "tests.ingest.support.hub"])
    process = context.Process(target=target, args=(arguments,))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        process.start()
    return process


def pid_of(process: BaseProcess) -> int:
    """The id of a process that has started."""
    assert process.pid is not None
    return process.pid


def finish(arguments: list[str]) -> None:
    """Run ingest to its end, which must be a good one."""
    process = start(arguments)
    process.join()
    assert process.exitcode == 0

"""A run from a Hub that is killed while it fetches and scores ends in the undisturbed store."""

import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from store.layout import Layout
from tests.ingest.output.test_kill import assert_same
from tests.ingest.support.hub import STALL, Hub, commit_of, main_with, serving
from tests.ingest.support.processes import ENVIRONMENT, KILL_SEEDS, ROOT, start
from tests.models import PROSE, save_run

REPO = "owner/long-run"
STEPS = range(0, 80, 10)
Run = Callable[[Path], tuple[list[str], Callable[[list[str]], int]]]


@pytest.fixture(scope="module")
def hub(bpe: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    folder = save_run(tmp_path_factory.mktemp("long"), bpe, STEPS)
    refs = {p.name: p for p in folder.iterdir()}
    with serving(Hub(REPO, {**refs, "main": refs["checkpoint-70"]})) as found:
        yield found


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "t.txt"
    path.write_text(PROSE * 8)
    return path


@pytest.fixture(scope="module")
def run(hub: Hub, text: Path) -> Run:
    """Arguments and target of a process that scores into `folder`/store."""
    return lambda folder: (
        ["run", REPO, "--text", str(text), "--store", str(folder / "store")],
        partial(main_with, hub.url, folder / "home"),
    )


@pytest.fixture(scope="module")
def undisturbed(run: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The store, and the seconds that it takes once all is warm."""
    for folder in (tmp_path_factory.mktemp("cold"), tmp_path_factory.mktemp("warm")):
        began = time.monotonic()
        finish(run, folder)
    return folder / "store", time.monotonic() - began


def finish(run: Run, folder: Path) -> None:
    process = start(*run(folder))
    process.join()
    assert process.exitcode == 0
    assert list(Layout(folder / "store").scored()) == list(STEPS)
    assert list((folder / "home" / "token-trails").iterdir()) == []  # no download is left


@pytest.mark.parametrize("seed", KILL_SEEDS)
def test_killed_at_random_moments(
    tmp_path: Path, run: Run, undisturbed: tuple[Path, float], seed: int
) -> None:
    expected, duration = undisturbed
    moments, killed = random.Random(seed), 0
    while killed < 3:
        process = start(*run(tmp_path))
        process.join(moments.uniform(0, duration))
        process.kill()
        process.join()
        if process.exitcode == 0:  # it came to its end before: no kill, and the next begins anew
            assert_same(tmp_path / "store", expected)
            shutil.rmtree(tmp_path / "store")
            continue
        assert process.exitcode == -signal.SIGKILL
        killed += 1
    finish(run, tmp_path)
    assert_same(tmp_path / "store", expected)


def test_interrupted_during_a_download_it_ends_at_once_and_goes_on_later(
    tmp_path: Path, hub: Hub, text: Path, run: Run, undisturbed: tuple[Path, float]
) -> None:
    store = tmp_path / "store"
    hub.faults.append((f"/resolve/{commit_of('checkpoint-30')}/model.safetensors", "stall"))
    process = subprocess.Popen(
        [sys.executable, "-m", "ingest", "run", REPO, "--text", str(text), "--store", str(store)],
        cwd=ROOT,
        env={**ENVIRONMENT, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home")},
        stderr=subprocess.PIPE,
        text=True,
        # Under nohup or `&` a test would hand on that SIGINT is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while len(Layout(store).scored()) < 3:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=STALL / 2)
    assert process.returncode == 130
    assert error.splitlines()[-1] == "interrupted: rerun the same command to resume"
    finish(run, tmp_path)
    assert_same(store, undisturbed[0])

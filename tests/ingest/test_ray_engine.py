"""Ray's actors make the store of a plain run, also where one of them is killed."""

import importlib.util
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from ingest import ray_engine
from store.layout import Layout
from tests.ingest.conftest import LONG_STEPS, Ingest, LongRun
from tests.ingest.output.test_kill import assert_same
from tests.ingest.support.processes import SETTINGS
from tests.models import byte_level

MISSING = importlib.util.find_spec("ray") is None


@pytest.fixture(scope="module", autouse=True)
def _session() -> Iterator[None]:
    """One small cluster for all tests."""
    if MISSING and os.environ.get("CI"):
        pytest.fail("CI must have ray: .ci/run installs it")
    if MISSING:
        pytest.skip("--engine ray needs Ray, which is not installed")
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=2**27,
        runtime_env={"env_vars": SETTINGS},
    )
    yield
    ray.shutdown()


def actors() -> set[int]:
    """The processes of this session's actors, which name themselves after their class."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            named = (folder / "cmdline").read_bytes().startswith(b"ray::RayScorer")
        except OSError:
            continue
        if named and os.getpid() in ancestors(int(folder.name)):
            found.add(int(folder.name))
    return found


def ancestors(pid: int) -> list[int]:
    chain = [pid]
    while chain[-1] > 1:
        try:
            status = Path(f"/proc/{chain[-1]}/stat").read_text()
        except OSError:
            break
        chain.append(int(status.rpartition(")")[2].split()[1]))
    return chain


@pytest.fixture(scope="module")
def run_folder(long_run: LongRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the long run's checkpoints, to be damaged."""
    folder = tmp_path_factory.mktemp("ray") / "run"
    return shutil.copytree(long_run("s")[1], folder)


def waits(pid: int) -> bool:
    """Does the process wait for somebody to write into a FIFO?"""
    try:
        threads = Path(f"/proc/{pid}/task").glob("*/wchan")
        return any("wait_for_partner" in path.read_text() for path in threads)
    except OSError:
        return False


def kill_actors(store: Path, killed: dict[str, set[int]], ended: Event) -> None:
    """Kill every actor that has waited for a while, and once one that does not wait."""
    seen: dict[int, float] = {}
    while not ended.wait(0.05):
        now = time.monotonic()
        waiting = {pid for pid in actors() if waits(pid)}
        for pid in waiting:
            if now - seen.setdefault(pid, now) > 0.2:
                killed["waiting"].add(pid)
                os.kill(pid, signal.SIGKILL)
        working = actors() - waiting - killed["waiting"]
        if working and not killed["working"] and Layout(store).scored():
            killed["working"].add(min(working))
            os.kill(min(working), signal.SIGKILL)


def test_what_actors_die_of_is_retried_and_what_fails_is_recorded(
    run_folder: Path,
    long_run: LongRun,
    long_store: tuple[Path, float],
    ingest: Ingest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Checkpoint 70 is damaged. Checkpoint 10 kills each actor that reads it: no file does that, so
    its config lets readers wait until they are killed."""
    monkeypatch.setattr(ray_engine, "_MAX_DEATHS", 2)
    broken = run_folder / "checkpoint-70" / "model.safetensors"
    fifo = run_folder / "checkpoint-10" / "config.json"
    contents = {path: path.read_bytes() for path in (broken, fifo)}
    broken.write_bytes(b"no weights")
    fifo.unlink()
    os.mkfifo(fifo)
    store, ended = tmp_path / "s", Event()
    killed: dict[str, set[int]] = {"waiting": set(), "working": set()}
    killer = Thread(target=kill_actors, args=(store, killed, ended), daemon=True)
    killer.start()
    line = ["run", str(run_folder), *long_run(store)[2:]]
    try:
        found = ingest(*line, "--engine", "ray")
    finally:
        ended.set()
        killer.join()
        fifo.unlink()
        for path, content in contents.items():
            path.write_bytes(content)
    assert (len(killed["waiting"]), len(killed["working"])) == (2, 1)
    assert found.status == 1
    assert "failed: checkpoint-70 cannot be loaded" in found.error
    assert "failed: checkpoint-10 made 2 actors die that scored it" in found.error
    before = {p: p.stat().st_mtime_ns for p in Layout(store).losses.iterdir()}
    assert list(Layout(store).scored()) == [s for s in LONG_STEPS if s not in (10, 70)]
    assert ingest(*line).status == 0  # scores only the two that failed
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())
    assert_same(store, long_store[0])


def test_without_ray_there_is_a_sentence(
    long_run: LongRun,
    ingest: Ingest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = ingest(*long_run(tmp_path / "s"), "--engine", "ray")
    assert ended.status == 2
    assert "--engine ray needs Ray: `pip install -r requirements-cluster.lock`" in ended.error


def test_actors_refuse_another_tokenizer(
    run_folder: Path, long_run: LongRun, ingest: Ingest, tmp_path: Path
) -> None:
    source = shutil.copytree(run_folder, tmp_path / "run")
    byte_level(290).save_pretrained(source / "checkpoint-30")
    line = ["run", str(source), *long_run(tmp_path / "s")[2:]]
    ended = ingest(*line, "--steps", "20:40", "--engine", "ray")
    assert ended.status == 1
    assert "failed: checkpoint-30 comes with another tokenizer than the run's" in ended.error
    assert list(Layout(tmp_path / "s").scored()) == [20, 40]


def test_actors_send_predictions_along(tmp_path: Path, ingest: Ingest, long_run: LongRun) -> None:
    for engine in ("local", "ray"):
        more = ("--predictions", "--max", "2", "--engine", engine)
        assert ingest(*long_run(tmp_path / engine, *more)).status == 0
    assert_same(tmp_path / "ray", tmp_path / "local")
    assert len(Layout(tmp_path / "ray").predicted()) == 2

"""Ray's actors make the store of a plain run, also where one of them is killed."""

import importlib.util
import os
import signal
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from ingest import ray_engine
from store.layout import Layout
from tests.ingest.output.test_kill import assert_same
from tests.ingest.processes import SETTINGS
from tests.models import PROSE, save_run

MISSING = importlib.util.find_spec("ray") is None
STEPS = range(0, 80, 10)


@pytest.fixture(scope="module", autouse=True)
def _session():
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


@pytest.fixture(scope="module")
def line(bpe, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The arguments of a run over eight checkpoints, up to the store."""
    folder = tmp_path_factory.mktemp("long")
    save_run(folder / "run", bpe, STEPS)
    (folder / "t.txt").write_text(PROSE * 8)
    return ["run", str(folder / "run"), "--text", str(folder / "t.txt"), "--store"]


@pytest.fixture
def plain(line: list[str], ingest, tmp_path: Path) -> Path:
    assert ingest(*line, tmp_path / "plain").status == 0
    return tmp_path / "plain"


def actors() -> set[int]:
    """The processes of this session's actors, which name themselves after their class."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            named = (folder / "cmdline").read_bytes().startswith(b"ray::Scorer")
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


def test_a_killed_actors_checkpoint_is_scored_again_and_what_fails_is_recorded(
    line, ingest, plain, tmp_path
):
    store, killed = tmp_path / "s", []
    broken = Path(line[1]) / "checkpoint-70" / "model.safetensors"
    content = broken.read_bytes()

    def kill() -> None:
        while not Layout(store).scored():
            time.sleep(0.001)
        killed.append(min(actors()))
        os.kill(killed[0], signal.SIGKILL)

    killer = Thread(target=kill, daemon=True)
    killer.start()
    try:
        broken.write_bytes(b"no weights")
        ended = ingest(*line, store, "--engine", "ray")
    finally:
        broken.write_bytes(content)
    killer.join(10)
    assert len(killed) == 1
    assert ended.status == 1
    assert "failed: checkpoint-70 cannot be loaded" in ended.error
    before = {p: p.stat().st_mtime_ns for p in Layout(store).losses.iterdir()}
    assert list(Layout(store).scored()) == [s for s in STEPS if s != 70]
    assert ingest(*line, store).status == 0  # by itself: just the one that failed
    assert all(p.stat().st_mtime_ns == at for p, at in before.items())
    assert_same(store, plain)


def test_a_checkpoint_that_ends_every_actor_fails_and_the_others_go_on(
    line, ingest, tmp_path, monkeypatch
):
    """No file ends whoever reads it; so one lets its readers wait, until they are killed."""
    monkeypatch.setattr(ray_engine, "_DEATHS", 2)
    fifo = Path(line[1]) / "checkpoint-10" / "config.json"
    content = fifo.read_bytes()
    fifo.unlink()
    os.mkfifo(fifo)
    store = tmp_path / "s"
    going = True

    def kill() -> None:
        """Each actor that has waited for the file for a while."""
        seen: dict[int, float] = {}
        while going:
            now = time.monotonic()
            for pid in actors():
                opened = Path(f"/proc/{pid}/wchan").read_text()
                if "wait_for_partner" in opened and now - seen.setdefault(pid, now) > 0.2:
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    killer = Thread(target=kill, daemon=True)
    killer.start()
    try:
        ended = ingest(*line, store, "--engine", "ray")
    finally:
        going = False
        killer.join()
        fifo.unlink()
        fifo.write_bytes(content)
    assert ended.status == 1
    assert "failed: checkpoint-10 has ended 2 actors that scored it" in ended.error
    assert list(Layout(store).scored()) == [s for s in STEPS if s != 10]


def test_without_ray_there_is_a_sentence(line, ingest, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    ended = ingest(*line, tmp_path / "s", "--engine", "ray")
    assert ended.status == 2
    assert "--engine ray needs Ray: `pip install -r requirements-cluster.lock`" in ended.error

"""A checkpoint that a running training is writing is waited for, and never half read."""

import shutil
import threading
import time
from pathlib import Path

import pytest

from ingest.errors import CheckpointError
from ingest.sources import settling
from ingest.sources.folder import Folder, find_checkpoints
from ingest.sources.prefetch import read_weights
from ingest.sources.revisions import Checkpoint
from ingest.sources.settling import is_whole, wait_until_whole
from store.layout import Layout
from tests.ingest.conftest import STEPS, Ingest


@pytest.fixture(autouse=True)
def patient(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training on a busy machine may pause between two writes."""
    monkeypatch.setattr(settling, "QUIET", 10.0)


@pytest.fixture
def folder(tmp_path: Path, run_folder: Path) -> Path:
    return shutil.copytree(run_folder, tmp_path / "run")


def write_slowly(path: Path, content: bytes, delays: int = 4) -> threading.Thread:
    """Write in another thread, in parts, as a training does."""
    path.write_bytes(b"")
    size = len(content) // delays + 1

    def write() -> None:
        for start in range(0, len(content), size):
            time.sleep(0.2)
            with path.open("ab") as handle:
                handle.write(content[start : start + size])

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_a_file_that_grows_is_waited_for(
    tmp_path: Path, folder: Path, ingest: Ingest, text: Path, whole_store: Path
) -> None:
    path = folder / "checkpoint-400" / "model.safetensors"
    writing = write_slowly(path, path.read_bytes())
    ended = ingest("run", folder, "--text", text, "--store", tmp_path / "s")
    writing.join()
    assert (ended.status, ended.error) == (0, "")
    for step in STEPS:
        one, two = (Layout(s).loss_file(step).read_bytes() for s in (tmp_path / "s", whole_store))
        assert one == two


def test_weights_that_are_not_there_yet_are_waited_for(folder: Path) -> None:
    path = folder / "checkpoint-400" / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    timer = threading.Timer(0.5, path.write_bytes, [content])
    timer.start()
    fetched = Folder(folder).fetch(Checkpoint(400, "checkpoint-400", path.parent, 400))
    timer.join()
    assert is_whole(fetched.path)


def test_what_nobody_writes_any_more_is_not_waited_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "QUIET", 0.0)
    path = folder / "checkpoint-400" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    wait_until_whole(Checkpoint(400, "checkpoint-400", path.parent, 400))
    assert not is_whole(path.parent)


def test_what_never_becomes_whole_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "LONGEST", 0.1)
    path = folder / "checkpoint-400" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="checkpoint-400 is still being written"):
        wait_until_whole(Checkpoint(400, "checkpoint-400", path.parent, 400))


def test_a_folder_that_a_trainer_will_rename_is_no_checkpoint(folder: Path) -> None:
    shutil.copytree(folder / "checkpoint-400", folder / "tmp-checkpoint-500")
    assert [c.step for c in find_checkpoints(folder)] == list(STEPS)


def test_a_file_that_changes_while_it_is_read_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.sources import prefetch

    path, read = folder / "checkpoint-400" / "model.safetensors", prefetch.read_tensors

    def overwritten_meanwhile(of: Path) -> object:
        path.write_bytes(path.read_bytes() + b" ")
        return read(of)

    monkeypatch.setattr(prefetch, "read_tensors", overwritten_meanwhile)
    fetched = read_weights(Checkpoint(400, "checkpoint-400", path.parent, 400))
    assert "changed while it was read" in str(fetched.problem)

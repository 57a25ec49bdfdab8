"""A store at a URL is that of a run into a folder, whatever ends a run on the way there."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest
from fsspec import AbstractFileSystem
from safetensors.torch import load_file, save_file

from ingest.output import mirrors
from ingest.probes.probe_file import ProbeFile
from store.layout import Layout
from tests.ingest.conftest import STEPS, Ingest, Score
from tests.ingest.output.test_kill import assert_same

URL = "memory://bucket/run"


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The file system, empty before and after; and a folder for temporary files of our own."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    system = fsspec.filesystem("memory")
    yield system
    if system.exists("/bucket"):
        system.rm("/bucket", recursive=True)
    assert list(temporary.iterdir()) == []


@pytest.fixture
def score(ingest: Ingest, run_folder: Path, text: Path) -> Any:
    """`run` into the URL."""
    return lambda *more: ingest("run", run_folder, "--text", text, "--store", URL, *more)


def download(system: AbstractFileSystem, folder: Path) -> Path:
    for path in system.find("/bucket/run"):
        target = folder / path.removeprefix("/bucket/run/")
        target.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(path, str(target))
    return folder


def written(system: AbstractFileSystem) -> list[str]:
    return sorted(p.removeprefix("/bucket/run/") for p in system.find("/bucket/run"))


@pytest.fixture
def sent(memory: AbstractFileSystem, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are sent, as they are."""
    names: list[str] = []
    put = memory.put_file

    def counted(source: Any, target: Any, **how: Any) -> Any:
        names.append(target.removeprefix("/bucket/run/"))
        return put(source, target, **how)

    monkeypatch.setattr(memory, "put_file", counted)
    return names


def test_it_is_the_store_of_a_folder_and_resumes_by_its_listing(
    score: Score, memory: AbstractFileSystem, sent: list[str], tmp_path: Path, whole_store: Path
) -> None:
    ended = score("--steps", "0:10")
    assert (ended.status, ended.error) == (0, "")
    names = [f"losses/checkpoint-{s:09d}.parquet" for s in STEPS]
    assert sent[:4] == ["docs.parquet", "tokens.parquet", "checkpoints.parquet", "manifest.json"]
    assert sent[4:] == [names[0], "checkpoints.parquet", names[1], "checkpoints.parquet"]
    sent.clear()
    assert score().status == 0
    # The manifest lists the planned checkpoints, of which there is one more now.
    assert sent == ["checkpoints.parquet", "manifest.json", names[2], "checkpoints.parquet"]
    sent.clear()
    assert score().status == 0
    assert sent == ["checkpoints.parquet"]
    assert_same(download(memory, tmp_path / "s"), whole_store)


def test_a_run_that_cannot_write_goes_on_where_it_was(
    score: Score,
    memory: AbstractFileSystem,
    tmp_path: Path,
    whole_store: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = memory.put_file

    def full(source: Any, target: Any, **how: Any) -> Any:
        if "000000010" in target:
            raise PermissionError("AccessDenied: your key has expired")
        return put(source, target, **how)

    with monkeypatch.context() as patch:
        patch.setattr(memory, "put_file", full)
        ended = score()
    assert ended.status == 2
    assert "run cannot be written (PermissionError: AccessDenied: your key" in ended.error
    assert [n for n in written(memory) if "losses" in n] == ["losses/checkpoint-000000000.parquet"]
    assert score().status == 0
    assert_same(download(memory, tmp_path / "s"), whole_store)


def test_what_was_not_recorded_is_read_from_its_losses(
    score: Score, memory: AbstractFileSystem, tmp_path: Path, whole_store: Path
) -> None:
    assert score().status == 0
    before = download(memory, tmp_path / "before")
    rows = pq.read_table(before / "checkpoints.parquet")
    pq.write_table(rows.slice(0, 1), tmp_path / "one.parquet")
    memory.put_file(str(tmp_path / "one.parquet"), "/bucket/run/checkpoints.parquet")
    assert score().status == 0
    assert_same(download(memory, tmp_path / "s"), whole_store)


def test_a_store_that_was_not_made_to_its_end_is_made_anew(
    score: Score, memory: AbstractFileSystem, tmp_path: Path, whole_store: Path
) -> None:
    memory.pipe_file("/bucket/run/tokens.parquet", b"of another text")
    assert score().status == 0
    assert_same(download(memory, tmp_path / "s"), whole_store)


def test_equal_losses_are_seen_across_runs(
    ingest: Ingest, memory: AbstractFileSystem, run_folder: Path, text: Path, tmp_path: Path
) -> None:
    source = tmp_path / "run"
    shutil.copytree(run_folder / "checkpoint-0", source / "checkpoint-0")
    line = ("run", source, "--text", text, "--store", URL)
    assert ingest(*line).status == 0
    shutil.copytree(run_folder / "checkpoint-0", source / "checkpoint-5")
    weights = source / "checkpoint-5" / "model.safetensors"
    save_file(load_file(weights), weights, {"format": "pt", "saved": "again"})
    ended = ingest(*line)
    assert "warning: checkpoint 5 gives the same losses as 0" in ended.error
    rows = pq.read_table(download(memory, tmp_path / "s") / "checkpoints.parquet").to_pylist()
    assert [r["duplicate_of"] for r in rows] == [None, 0]


def test_shards_put_right_what_others_have_overwritten(
    score: Score, memory: AbstractFileSystem, tmp_path: Path, whole_store: Path
) -> None:
    assert score("--shard", "1/2").status == 0
    stale = memory.cat_file("/bucket/run/checkpoints.parquet")
    assert score("--shard", "2/2").status == 0
    memory.pipe_file("/bucket/run/checkpoints.parquet", stale)  # as a slow one might
    assert score("--shard", "1/2").status == 0
    assert_same(download(memory, tmp_path / "s"), whole_store)


def test_probes_are_there_too_and_are_not_made_again(
    score: Score, memory: AbstractFileSystem, sent: list[str], tmp_path: Path
) -> None:
    assert score("--max", "1", "--probes").status == 0
    found = pq.read_table(download(memory, tmp_path / "s") / "probes.parquet")
    assert set(found["checkpoint"].to_pylist()) == {STEPS[-1]}
    probed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProbeFile, "take", lambda *a: probed.append(a[1]))
        assert score("--probes").status == 0
    assert set(probed) == set(STEPS[:-1])


def test_several_runs_stand_below_a_url(
    ingest: Ingest, run_folder: Path, text: Path, memory: AbstractFileSystem, tmp_path: Path
) -> None:
    shutil.copytree(run_folder, tmp_path / "b")
    line = ("run", run_folder, tmp_path / "b", "--text", text, "--store", "memory://bucket")
    assert ingest(*line, "--max", 1).status == 0
    assert {p.split("/")[2] for p in memory.find("/bucket")} == {run_folder.name, "b"}


def damaged(system: AbstractFileSystem) -> None:
    system.rm("/bucket/run/manifest.json")


@pytest.mark.parametrize(
    ("change", "arguments", "sentence"),
    [
        (None, ["--no-bos"], "was made with another BOS convention"),
        (damaged, [], "run has loss files but no manifest.json: it is damaged"),
        (None, ["--store", "nonsense://a/b"], "cannot be read .*Protocol not known: nonsense"),
        (None, ["--store", "gs://a/b"], "cannot be read .*gcsfs"),
    ],
)
def test_a_url_that_cannot_be_used_gets_a_sentence(
    score: Score,
    memory: AbstractFileSystem,
    change: Callable[..., Any] | None,
    arguments: list[str],
    sentence: str,
) -> None:
    assert score("--max", "1").status == 0
    if change:
        change(memory)
    before = {n: memory.cat_file(f"/bucket/run/{n}") for n in written(memory)}
    ended = score(*arguments)
    assert ended.status == 2
    assert re.match(f"error: .*{sentence}", ended.error)
    assert {n: memory.cat_file(f"/bucket/run/{n}") for n in written(memory)} == before


def test_what_a_killed_run_left_here_is_removed(score: Score, tmp_path: Path) -> None:
    with mirrors.local_store(URL, None) as (layout, _):
        left = Layout(layout.root)
    left.losses.mkdir(parents=True)
    (left.losses / "checkpoint-000000000.parquet").write_bytes(b"PAR1 half")
    assert score("--max", "1").status == 0
    assert not left.root.exists()

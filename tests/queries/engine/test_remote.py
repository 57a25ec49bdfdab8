"""A store at a URL answers as the one in a folder; only changed files are downloaded."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from queries import Store, StoreError
from queries.engine import remote
from store.layout import Layout
from tests.queries.support.stores import add_checkpoint, random_losses

URL = "memory://bucket/run"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TOKEN_TRAILS_CACHE", str(tmp_path / "cache"))
    yield tmp_path / "cache"
    memory = fsspec.filesystem("memory")
    if memory.exists("/bucket"):
        memory.rm("/bucket", recursive=True)


def upload(root: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in root.rglob("*"):
        if path.is_file():
            memory.put_file(str(path), f"/bucket/run/{path.relative_to(root)}")


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are downloaded, in order."""
    names: list[str] = []
    memory = fsspec.filesystem("memory")
    get = memory.get_file

    def counted(path: str, target: str, **how: Any) -> object:
        names.append(path.rpartition("/")[2])
        return get(path, target, **how)

    monkeypatch.setattr(memory, "get_file", counted)
    return names


def test_a_store_at_a_url_answers_as_its_folder_does(own: Path) -> None:
    upload(own)
    here, there = Store(own), Store(URL)
    clause = {"g": "position > 3"}
    assert there.trajectories(clause).equals(here.trajectories(clause))
    assert there.url == URL


def test_only_changed_files_are_downloaded(own: Path, fetched: list[str]) -> None:
    upload(own)
    (own / "secret.txt").write_text("not of the store")
    Store(URL)
    assert "secret.txt" not in fetched
    assert len(fetched) == 4 + len(Layout(own).scored())
    fetched.clear()
    Store(URL)
    assert fetched == []
    path = add_checkpoint(own, 5000, random_losses(own, 1))
    memory = fsspec.filesystem("memory")
    memory.put_file(str(path), f"/bucket/run/losses/{path.name}")
    memory.put_file(str(own / "checkpoints.parquet"), "/bucket/run/checkpoints.parquet")
    assert 5000 in Store(URL).steps
    assert sorted(fetched) == ["checkpoint-000005000.parquet", "checkpoints.parquet"]


def test_a_file_deleted_at_the_url_is_deleted_in_the_copy(own: Path) -> None:
    upload(own)
    assert 400 in Store(URL).steps
    fsspec.filesystem("memory").rm("/bucket/run/losses/checkpoint-000000400.parquet")
    assert 400 not in Store(URL).steps


def test_a_file_missing_in_the_copy_is_downloaded_again(own: Path, cache: Path) -> None:
    upload(own)
    Store(URL)
    shutil.rmtree(next(cache.rglob("losses")))
    assert Store(URL).steps == Store(own).steps


def test_an_interrupted_download_leaves_no_file_and_resumes(
    own: Path, cache: Path, fetched: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(own)
    memory = fsspec.filesystem("memory")
    get = memory.get_file

    def breaks(path: str, target: str, **how: Any) -> object:
        if path.endswith("000000400.parquet"):
            with open(target, "wb") as half:  # noqa: PTH123
                half.write(b"PAR1")
            raise ConnectionResetError("connection reset by peer")
        return get(path, target, **how)

    with monkeypatch.context() as patch:
        patch.setattr(memory, "get_file", breaks)
        with pytest.raises(StoreError, match="connection reset"):
            Store(URL)
    assert not list(cache.rglob("*000000400*"))
    assert Store(URL).steps == Store(own).steps


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("memory://bucket/nothing", "memory://bucket/nothing"),
        ("nonsense://bucket/run", "Protocol not known: nonsense"),
        ("gs://bucket/run", "gcsfs"),
    ],
)
def test_a_url_without_a_store_gets_a_sentence(url: str, sentence: str) -> None:
    with pytest.raises(StoreError, match=sentence):
        Store(url)


def test_progress_reaches_the_number_of_bytes(own: Path) -> None:
    upload(own)
    calls: list[tuple[int, int]] = []
    remote.local_copy(URL, lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1] > 0

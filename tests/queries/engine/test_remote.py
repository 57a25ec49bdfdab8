"""A store at a URL answers as the one in a folder; only changed files are downloaded."""

import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
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


def opened() -> Store:
    """The store with all its losses."""
    store = Store(URL)
    store.wait_for_losses()
    return store


def test_only_changed_files_are_downloaded(own: Path, fetched: list[str]) -> None:
    upload(own)
    (own / "secret.txt").write_text("not of the store")
    opened()
    assert "secret.txt" not in fetched
    assert len(fetched) == 4 + len(Layout(own).scored())
    fetched.clear()
    opened()
    assert fetched == []
    path = add_checkpoint(own, 5000, random_losses(own, 1))
    memory = fsspec.filesystem("memory")
    memory.put_file(str(path), f"/bucket/run/losses/{path.name}")
    memory.put_file(str(own / "checkpoints.parquet"), "/bucket/run/checkpoints.parquet")
    assert 5000 in opened().steps
    assert sorted(fetched) == ["checkpoint-000005000.parquet", "checkpoints.parquet"]


def test_a_file_deleted_at_the_url_is_deleted_in_the_copy(own: Path) -> None:
    upload(own)
    assert 400 in Store(URL).steps
    fsspec.filesystem("memory").rm("/bucket/run/losses/checkpoint-000000400.parquet")
    assert 400 not in Store(URL).steps


def test_a_file_missing_in_the_copy_is_downloaded_again(own: Path, cache: Path) -> None:
    upload(own)
    opened()
    shutil.rmtree(next(cache.rglob("losses")))
    there = Store(URL)
    assert there.steps == Store(own).steps
    assert (there.matrix.rows(np.arange(9)) == Store(own).matrix.rows(np.arange(9))).all()


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
            raise OSError(5, "connection reset by peer")
        return get(path, target, **how)

    with monkeypatch.context() as patch:
        patch.setattr(memory, "get_file", breaks)
        broken = Store(URL)
        with pytest.raises(StoreError, match="connection reset"):
            broken.trajectories({"x": "true"})
    assert len(fetched) >= 4
    found = broken.trajectories({"x": "true"})  # tries again
    assert found.equals(Store(own).trajectories({"x": "true"}))
    names = [name for name in fetched if name.endswith("000000000.parquet")]
    assert len(names) <= 2


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
    copy = remote.RemoteCopy(URL, lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1] > 0
    calls.clear()
    copy.wait(lambda done, total: calls.append((done, total)))
    assert not calls or calls[-1][0] == calls[-1][1] > 0


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Downloads of losses wait until this is set."""
    release = threading.Event()
    memory = fsspec.filesystem("memory")
    get = memory.get_file

    def waits(path: str, target: str, **how: Any) -> object:
        if "/losses/" in path:
            release.wait(60)
        return get(path, target, **how)

    monkeypatch.setattr(memory, "get_file", waits)
    yield release
    release.set()


def test_questions_about_the_text_need_no_losses(own: Path, held: threading.Event) -> None:
    upload(own)
    store, here = Store(URL), Store(own)
    assert store.steps == here.steps
    assert store.members("position > 3").tolist() == here.members("position > 3").tolist()
    assert len(store.sql("from tokens join docs using (doc)")) == here.manifest.n_tokens
    assert store.files.state() == "same"
    stamp = store.files.stamp
    threading.Timer(0.3, held.set).start()
    query = "select avg(loss) as x from losses"
    assert store.sql(query)["x"][0] == here.sql(query)["x"][0]
    clause = {"x": "loss_at(row, 400) > 3"}
    assert store.trajectories(clause).equals(here.trajectories(clause))
    assert (store.files.state(), store.files.stamp) == ("same", stamp)


def test_what_fails_for_a_passing_reason_is_tried_again(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "DELAYS", (0.01, 0.01))
    upload(own)
    memory = fsspec.filesystem("memory")
    get, failed = memory.get_file, set[str]()

    def flaky(path: str, target: str, **how: Any) -> object:
        if path not in failed:
            failed.add(path)
            raise ConnectionResetError("connection reset by peer")
        return get(path, target, **how)

    monkeypatch.setattr(memory, "get_file", flaky)
    assert opened().trajectories({"x": "true"}).equals(Store(own).trajectories({"x": "true"}))


def test_a_store_on_a_web_server_that_lists_nothing(own: Path, tmp_path: Path) -> None:
    class Silent(SimpleHTTPRequestHandler):
        def list_directory(self, path: Any) -> None:
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            pass

    handler = partial(Silent, directory=str(own.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/{own.name}"
        clause = {"x": "position > 3"}
        assert Store(url).trajectories(clause).equals(Store(own).trajectories(clause))
        with pytest.raises(StoreError, match="cannot be read"):
            Store(f"{url}/nothing")
        server.shutdown()

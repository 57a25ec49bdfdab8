"""Stores on S3, by s3fs and a server on the loopback: killed runs, shards at once, and queries."""

import importlib.util
import os
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from fsspec import AbstractFileSystem

from ingest.__main__ import main
from queries import Store
from tests.ingest.conftest import LONG_STEPS, Ingest, LongRun
from tests.ingest.output.test_kill import assert_same
from tests.ingest.support.processes import start

MISSING = [name for name in ("s3fs", "moto") if importlib.util.find_spec(name) is None]


@pytest.fixture(scope="module", autouse=True)
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The settings by which the real client takes a server of ours for Amazon's."""
    if MISSING and os.environ.get("CI"):
        pytest.fail(f"CI must have {MISSING}: .ci/run installs them")
    if MISSING:
        pytest.skip(f"stores on S3 need {' and '.join(MISSING)} here, which are not installed")
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    port = server.get_host_and_port()[1]
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing",
        "TMPDIR": str(tmp_path_factory.mktemp("temporary")),
        "TOKEN_TRAILS_CACHE": str(tmp_path_factory.mktemp("cache")),
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield settings
    server.stop()


def main_with(settings: dict[str, str], arguments: list[str]) -> int:
    """`python -m ingest …` in a process that was forked before the settings were known."""
    os.environ |= settings
    tempfile.tempdir = None  # as TMPDIR says, not as it was found before
    return main(arguments)


@pytest.fixture(scope="module")
def begin(_server: dict[str, str]) -> Callable[[list[str]], BaseProcess]:
    return lambda arguments: start(arguments, partial(main_with, _server))


@pytest.fixture(scope="module")
def bucket(_server: dict[str, str]) -> AbstractFileSystem:
    import s3fs

    system = s3fs.S3FileSystem()
    system.mkdir("bucket")
    return system


def download(bucket: AbstractFileSystem, name: str, folder: Path) -> Path:
    bucket.invalidate_cache()
    bucket.get(f"bucket/{name}", str(folder), recursive=True)
    return folder


def scored(bucket: AbstractFileSystem, name: str) -> int:
    bucket.invalidate_cache()
    return len(bucket.glob(f"bucket/{name}/losses/*.parquet"))


def test_a_killed_run_goes_on_and_equals_one_in_a_folder(
    bucket: AbstractFileSystem,
    begin: Callable[[list[str]], BaseProcess],
    long_run: LongRun,
    long_store: tuple[Path, float],
    tmp_path: Path,
) -> None:
    for wanted in (1, 4):
        process = begin(long_run("s3://bucket/killed"))
        while scored(bucket, "killed") < wanted:
            assert process.is_alive()
            time.sleep(0.02)  # the server is in this process
        process.kill()
        process.join()
    assert scored(bucket, "killed") < len(LONG_STEPS)
    begin(long_run("s3://bucket/killed")).join()
    assert_same(download(bucket, "killed", tmp_path / "s"), long_store[0])
    assert list(Path(os.environ["TMPDIR"]).glob("token-trails-*")) == []


def test_shards_at_once_and_killed_equal_a_single_run(
    bucket: AbstractFileSystem,
    begin: Callable[[list[str]], BaseProcess],
    long_run: LongRun,
    long_store: tuple[Path, float],
    tmp_path: Path,
) -> None:
    shards = ("1/3", "2/3", "3/3")
    going = [begin(long_run("s3://bucket/shards", "--shard", shard)) for shard in shards]
    time.sleep(random.Random(0).uniform(1, 2))
    going[1].kill()
    going[1].join()
    going[1] = begin(long_run("s3://bucket/shards", "--shard", shards[1]))
    for process in going:
        process.join()
    assert_same(download(bucket, "shards", tmp_path / "s"), long_store[0])


def test_a_store_on_s3_answers_as_the_same_one_in_a_folder(
    bucket: AbstractFileSystem, whole_store: Path, tmp_path: Path
) -> None:
    store = shutil.copytree(whole_store, tmp_path / "store")
    bucket.put(str(store), "bucket/asked", recursive=True)
    group = {"words": "is_word_start", "late": "position > 20"}
    there, here = Store("s3://bucket/asked"), Store(store)
    assert there.trajectories(group).equals(here.trajectories(group))
    assert there.url == "s3://bucket/asked"


def test_a_bucket_that_is_not_there_gets_a_sentence(long_run: LongRun, ingest: Ingest) -> None:
    ended = ingest(*long_run("s3://nobodys-bucket/run"))
    assert ended.status == 2
    assert "error: s3://nobodys-bucket/run cannot be written (FileNotFoundError" in ended.error

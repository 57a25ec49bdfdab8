"""Stores on S3, by s3fs and a server on the loopback: killed runs, shards at once, and queries."""

import importlib.util
import os
import random
import tempfile
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from ingest.__main__ import main
from queries import Store
from tests.ingest.output.test_kill import assert_same
from tests.ingest.processes import finish, start
from tests.models import PROSE, save_run

MISSING = [name for name in ("s3fs", "moto") if importlib.util.find_spec(name) is None]
STEPS = range(0, 80, 10)


@pytest.fixture(scope="module", autouse=True)
def _server(tmp_path_factory: pytest.TempPathFactory):
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
def bucket(_server):
    import s3fs

    system = s3fs.S3FileSystem()
    system.mkdir("bucket")
    return system


@pytest.fixture(scope="module")
def line(bpe, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """The arguments of a run over eight checkpoints, into the store that is named."""
    folder = tmp_path_factory.mktemp("long")
    save_run(folder / "run", bpe, STEPS)
    (folder / "t.txt").write_text(PROSE * 8)
    fixed = ["run", str(folder / "run"), "--text", str(folder / "t.txt"), "--store"]
    return lambda store, *more: [*fixed, str(store), *more]


@pytest.fixture(scope="module")
def plain(line, tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = tmp_path_factory.mktemp("plain") / "store"
    finish(line(store))
    return store


def download(bucket, name: str, folder: Path) -> Path:
    bucket.invalidate_cache()
    bucket.get(f"bucket/{name}", str(folder), recursive=True)
    return folder


def scored(bucket, name: str) -> int:
    bucket.invalidate_cache()
    return len(bucket.glob(f"bucket/{name}/losses/*.parquet"))


def test_a_killed_run_goes_on_and_equals_one_in_a_folder(bucket, begin, line, plain, tmp_path):
    for wanted in (1, 4):
        process = begin(line("s3://bucket/killed"))
        while scored(bucket, "killed") < wanted:
            assert process.is_alive()
        process.kill()
        process.join()
    assert scored(bucket, "killed") < len(STEPS)
    begin(line("s3://bucket/killed")).join()
    assert_same(download(bucket, "killed", tmp_path / "s"), plain)
    assert list(Path(os.environ["TMPDIR"]).glob("token-trails-*")) == []


def test_shards_at_once_and_killed_equal_a_single_run(bucket, begin, line, plain, tmp_path):
    shards = ("1/3", "2/3", "3/3")
    going = [begin(line("s3://bucket/shards", "--shard", shard)) for shard in shards]
    time.sleep(random.Random(0).uniform(1, 2))
    going[1].kill()
    going[1].join()
    going[1] = begin(line("s3://bucket/shards", "--shard", shards[1]))
    for process in going:
        process.join()
    assert_same(download(bucket, "shards", tmp_path / "s"), plain)


def test_a_store_on_s3_answers_as_the_same_one_in_a_folder(bucket, plain):
    bucket.put(str(plain), "bucket/asked", recursive=True)
    group = {"words": "is_word_start", "late": "position > 20"}
    there, here = Store("s3://bucket/asked"), Store(plain)
    assert there.trajectories(group).equals(here.trajectories(group))
    assert there.url == "s3://bucket/asked"


def test_a_bucket_that_is_not_there_gets_a_sentence(line, ingest):
    ended = ingest(*line("s3://nobodys-bucket/run"))
    assert ended.status == 2
    assert "error: s3://nobodys-bucket/run cannot be written (FileNotFoundError" in ended.error

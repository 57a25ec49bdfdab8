"""Spark, in local mode, gives the answers of the loss matrix."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from queries import QueryError, Store
from queries.__main__ import main
from queries.engine import spark
from tests.queries.support.catalogs import same

MISSING = [
    name
    for name, there in (
        ("pyspark", importlib.util.find_spec("pyspark")),
        ("Java", shutil.which("java") or os.environ.get("JAVA_HOME")),
    )
    if not there
]
QUICK = (
    "--master local[2] --conf spark.ui.enabled=false --conf spark.sql.shuffle.partitions=2 "
    "--driver-java-options -XX:TieredStopAtLevel=1 pyspark-shell"
)
"""Without a web server, with few partitions and quick compilation: less work for a small store."""
GROUPS = {
    "some": "position > 3",
    "most": "row % 5 > 0",
    "one doc": "source = 'source 1'",
    "one token": "row = 7",
}


@pytest.fixture(scope="module", autouse=True)
def _session() -> Iterator[None]:
    if MISSING and os.environ.get("CI"):
        pytest.fail(f"CI must have {MISSING}: .ci/run installs them")
    if MISSING:
        pytest.skip(f"the engine spark needs {' and '.join(MISSING)}, which this machine lacks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_SUBMIT_ARGS", QUICK)
        yield
        spark.session().stop()


def test_trajectories_and_difference_are_those_of_the_matrix(folder: Path, store: Store) -> None:
    by_spark = Store(folder, engine="spark")
    same(by_spark.trajectories(GROUPS), store.trajectories(GROUPS), rtol=0)
    same(
        by_spark.difference("position > 3", "true"),
        store.difference("position > 3", "true"),
        rtol=0,
    )
    same(by_spark.ratio("is_word_start", "true"), store.ratio("is_word_start", "true"), rtol=0)


def test_the_command_line_uses_spark(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = ["word_start", "is_palindrome(token_str)"]
    frames = []
    for engine in ("matrix", "spark"):
        output = tmp_path / f"{engine}.csv"
        line = ["trajectories", str(folder), *groups, "--engine", engine, "--output", str(output)]
        assert main(line) == 0
        frames.append(pd.read_csv(output))
    same(frames[1], frames[0], rtol=0)


def test_spark_builds_no_index(own: Path) -> None:
    Store(own, engine="spark").trajectories({"g": "true"})
    assert not list(own.rglob("*.f32"))


def test_a_file_that_spark_cannot_read_gets_a_sentence(own: Path) -> None:
    asked = Store(own, engine="spark")
    next(own.glob("losses/*400.parquet")).write_bytes(b"no parquet at all")
    with pytest.raises(QueryError, match="every worker must reach the store's files"):
        asked.trajectories({"g": "true"})


def test_a_missing_pyspark_gets_a_sentence(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(QueryError, match=r"requirements-cluster\.lock"):
        Store(own, engine="spark").trajectories({"g": "true"})

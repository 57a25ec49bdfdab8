"""`--predictions`: a file next to each loss file, whole, resumed, and never mixed."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

from ingest.output import writer
from ingest.recorder import Recorder
from ingest.verify import compare, verify
from store import schema
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.conftest import STEPS, Ingest, LongRun
from tests.ingest.model.test_softmax import by_hand
from tests.ingest.output.test_kill import assert_same
from tests.ingest.support.by_hand import windows_by_hand
from tests.ingest.support.processes import finish, start
from tests.models import CONTEXT


@pytest.fixture(scope="module")
def arguments(run_folder: Path, text: Path) -> list[object]:
    return ["run", run_folder, "--text", text, "--predictions", "--store"]


@pytest.fixture(scope="module")
def predicted(arguments: list[object], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of `run_folder` with predictions. Read only."""
    store = tmp_path_factory.mktemp("predicted") / "s"
    finish([*map(str, arguments), str(store)])
    return store


def tables(store: Path) -> dict[int, pa.Table]:
    return {step: pq.read_table(path) for step, path in Layout(store).predicted().items()}


def test_every_prediction_equals_one_computed_by_hand(
    predicted: Path, whole_store: Path, run_folder: Path, text: Path, bpe: PreTrainedTokenizerFast
) -> None:
    texts = [json.loads(line)["text"] for line in text.read_text("utf-8").splitlines()]
    windows = [np.array(w) for w in windows_by_hand(bpe, texts, CONTEXT, 0)]
    tokens = pq.read_table(Layout(predicted).tokens)
    known = dict(zip(tokens["token_id"].to_pylist(), tokens["token_str"].to_pylist(), strict=True))
    assert list(tables(predicted)) == list(STEPS)
    for step, table in tables(predicted).items():
        model = AutoModelForCausalLM.from_pretrained(run_folder / f"checkpoint-{step}")
        expected = np.concatenate([by_hand(model, w) for w in windows], axis=1)
        assert table.schema.equals(schema.PREDICTIONS)
        assert table.select(["doc", "position"]).equals(tokens.select(["doc", "position"]))
        assert set(table["checkpoint"].to_pylist()) == {step}
        for name, values in zip(
            ("rank", "entropy", "top_id", "top_loss"), expected[1:], strict=True
        ):
            np.testing.assert_allclose(table[name].to_numpy(), values, rtol=0, atol=1e-4)
        named = zip(table["top_id"].to_pylist(), table["top_str"].to_pylist(), strict=True)
        assert all(shown == known[i] for i, shown in named if i in known)
        one, other = (Layout(s).loss_file(step).read_bytes() for s in (predicted, whole_store))
        assert one == other  # losses do not depend on predictions
    assert verify(predicted) == []
    assert read_manifest(Layout(predicted).manifest).options["predictions"] is True


def test_a_loss_file_that_exists_has_its_predictions_and_lost_ones_are_scored_again(
    predicted: Path,
    arguments: list[object],
    ingest: Ingest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, layout = tmp_path / "s", Layout(tmp_path / "s")

    def full(*_: object) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_losses", full)
        assert ingest(*arguments, store).status != 0
    assert list(layout.predicted()) == [0] and not layout.scored()
    assert ingest(*arguments, store).status == 0
    assert_same(store, predicted)
    layout.prediction_file(10).unlink()
    assert verify(store) == ["checkpoint 10 has losses but no predictions: run ingest again"]
    before = layout.loss_file(400).stat().st_mtime_ns
    assert ingest(*arguments, store).status == 0
    assert_same(store, predicted)
    assert layout.loss_file(400).stat().st_mtime_ns == before
    layout.loss_file(0).unlink()
    assert "checkpoint 0 has predictions but no losses: run ingest again" in verify(store)


def test_killed_at_a_random_moment(tmp_path: Path, long_run: LongRun, long_store: object) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    finish(long_run(whole, "--predictions"))
    process = start(long_run(cut, "--predictions"))
    while not Layout(cut).predicted():
        process.join(0.002)
    process.join(random.Random(1).uniform(0, 0.2))
    process.kill()
    process.join()
    finish(long_run(cut, "--predictions"))
    assert_same(cut, whole)


@pytest.mark.parametrize("first", [(), ("--predictions",)])
def test_stores_with_and_without_are_not_mixed(
    ingest: Ingest, arguments: list[object], tmp_path: Path, first: tuple[str, ...]
) -> None:
    plain = [a for a in arguments if a != "--predictions"]
    store = tmp_path / "s"
    other = () if first else ("--predictions",)
    assert ingest(*plain, store, "--max", 1, *first).status == 0
    ended = ingest(*plain, store, *other)
    assert ended.status == 2
    assert f"was made {'with' if first else 'without'} --predictions" in ended.error


def _with(column: str, change: Callable[[pa.ChunkedArray], pa.Array]) -> Callable[..., pa.Table]:
    def damaged(table: pa.Table) -> pa.Table:
        at = table.schema.get_field_index(column)
        values = pa.chunked_array([change(table[column])]).cast(table.schema.field(at).type)
        return table.set_column(at, table.schema.field(at), values)

    return damaged


DAMAGE = {
    "other columns": lambda table: table.drop("entropy"),
    "the rows of tokens": lambda table: table.slice(1),
    "another checkpoint": _with("checkpoint", lambda c: pa.array([7] * len(c))),
    "negative or not a number": _with("entropy", lambda c: pa.array([np.nan] * len(c))),
    "rank of 0": _with("rank", lambda c: pa.array([0] * len(c))),
    "less likely": _with("top_loss", lambda c: pa.array([99.0] * len(c))),
    "no vocabulary": _with("entropy", lambda c: pa.array([99.0] * len(c))),
    "other weights": lambda table: table.replace_schema_metadata({"weights_sha256": "0"}),
}


@pytest.mark.parametrize("problem", DAMAGE)
def test_verify_names_what_is_wrong(predicted: Path, tmp_path: Path, problem: str) -> None:
    layout = Layout(tmp_path / "s")
    shutil.copytree(predicted, layout.root)
    assert verify(layout.root) == []
    path = layout.prediction_file(10)
    pq.write_table(DAMAGE[problem](pq.read_table(path)), path)
    found = verify(layout.root)
    assert len(found) == 1 and problem in found[0] and path.name in found[0]


def test_a_recorder_writes_what_a_run_writes(
    predicted: Path, run_folder: Path, text: Path, bpe: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    recorder = Recorder(tmp_path / "s", text, bpe, CONTEXT, predictions=True)
    layout = Layout(tmp_path / "s")
    for step in STEPS:
        model = AutoModelForCausalLM.from_pretrained(run_folder / f"checkpoint-{step}")
        recorder.record(model, step)
    for step, table in tables(predicted).items():
        found = pq.read_table(layout.prediction_file(step))
        assert found.schema.equals(table.schema)
        for name in ("doc", "position", "rank", "top_id", "top_str"):
            assert found[name].equals(table[name]), name
        for name in ("entropy", "top_loss"):
            np.testing.assert_allclose(found[name], table[name], rtol=0, atol=1e-5)
    assert verify(layout.root) == []
    layout.prediction_file(400).unlink()
    assert not recorder.has(400)
    recorder.record(model, 400)
    assert verify(layout.root) == []


def test_compare_compares_them(predicted: Path, whole_store: Path, tmp_path: Path) -> None:
    (alone, *_) = compare(predicted, whole_store)
    assert (alone.entropy, alone.same_guess) == (None, None)
    layout = Layout(shutil.copytree(predicted, tmp_path / "s"))
    (same, *_) = compare(predicted, layout.root)
    assert same.within(0) and (same.entropy, same.same_guess) == (0, 1)
    path = layout.prediction_file(0)
    further = _with("entropy", lambda c: pa.array(c.to_numpy() + 0.5))
    pq.write_table(further(pq.read_table(path)), path)
    (other, *_) = compare(predicted, layout.root)
    assert other.within(0.6) and not other.within(0.4)


def test_a_store_at_a_url_carries_them(
    predicted: Path, arguments: list[object], ingest: Ingest, tmp_path: Path
) -> None:
    import fsspec

    url, system = "memory://predicted/run", fsspec.filesystem("memory")
    for steps in ("0:9", "0:400", "0:400"):  # it resumes by the listing
        assert ingest(*arguments, url, "--steps", steps).status == 0
    for path in system.find("/predicted/run"):
        name = path.removeprefix("/predicted/run/")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        system.get_file(path, str(tmp_path / name))
    system.rm("/predicted", recursive=True)
    assert_same(tmp_path, predicted)

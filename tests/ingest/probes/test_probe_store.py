"""A store's probes belong to its losses, whatever happened on the way, and come when asked for."""

import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import MambaConfig, MambaForCausalLM, PreTrainedTokenizerFast

from ingest.output import writer
from ingest.verify import verify
from store import schema
from store.layout import Layout
from tests.ingest.conftest import STEPS, Ingest, LongRun
from tests.ingest.output.test_kill import assert_same
from tests.ingest.support.processes import KILL_SEEDS, finish, start
from tests.models import PROSE, save_run, tiny


@pytest.fixture(scope="module")
def probed(run_folder: Path, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of `run_folder` with probes. Read only."""
    store = tmp_path_factory.mktemp("probed") / "store"
    finish(["run", str(run_folder), "--text", str(text), "--store", str(store), "--probes"])
    return store


@pytest.fixture(scope="module")
def long_probed(long_run: LongRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of `long_run` with probes, undisturbed. Read only."""
    store = tmp_path_factory.mktemp("long-probed") / "store"
    finish(long_run(store, "--probes"))
    return store


@pytest.fixture
def own(probed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(probed, tmp_path / "own")


def probes_of(store: Path) -> Any:
    return pq.read_table(Layout(store).probes).to_pylist()


def test_each_checkpoint_has_two_losses_and_a_score_a_head_bound_to_its_weights(
    probed: Path,
) -> None:
    table = pq.read_table(Layout(probed).probes)
    assert table.schema.equals(schema.PROBES, check_metadata=False)
    assert [(r["checkpoint"], r["probe"], r["layer"], r["head"]) for r in table.to_pylist()] == [
        (step, *place)
        for step in STEPS
        for place in [("loss_first", None, None), ("loss_second", None, None)]
        + [("prefix_matching", layer, head) for layer in (0, 1) for head in (0, 1)]
    ]
    listed = pq.read_table(Layout(probed).checkpoints).to_pylist()
    weights = {r["checkpoint"]: r["weights_sha256"] for r in listed}
    assert all(r["weights_sha256"] == weights[r["checkpoint"]] for r in table.to_pylist())
    assert len({r["value"] for r in table.to_pylist()}) > 15  # each checkpoint has its own
    assert verify(probed) == []


def test_without_probes_the_losses_are_the_same_and_probes_can_be_had_later(
    tmp_path: Path, ingest: Ingest, whole_store: Path, probed: Path, run_folder: Path, text: Path
) -> None:
    store = shutil.copytree(whole_store, tmp_path / "s")
    assert not Layout(store).probes.exists()
    before = {p: p.stat().st_mtime_ns for p in Layout(store).losses.iterdir()}
    arguments = ("run", run_folder, "--text", text, "--store", store)
    assert ingest(*arguments, "--probes").status == 0
    assert {p: p.stat().st_mtime_ns for p in Layout(store).losses.iterdir()} == before
    assert_same(store, probed)
    made = Layout(store).probes.stat().st_mtime_ns
    assert ingest(*arguments, "--probes").status == 0
    assert ingest(*arguments).status == 0
    assert Layout(store).probes.stat().st_mtime_ns == made


def test_later_checkpoints_that_were_not_probed_are_told_and_made_up_for(
    tmp_path: Path,
    ingest: Ingest,
    bpe: PreTrainedTokenizerFast,
    text: Path,
    own: Path,
    run_folder: Path,
) -> None:
    source = shutil.copytree(run_folder, tmp_path / run_folder.name)
    save_run(source, bpe, [500])
    arguments = ("run", source, "--text", text, "--store", own)
    assert ingest(*arguments).status == 0
    (problem,) = verify(own)
    assert problem.endswith("checkpoint 500 has losses but no probes: run again with --probes")
    assert ingest(*arguments, "--probes").status == 0
    assert verify(own) == []
    assert {r["checkpoint"] for r in probes_of(own)} == {*STEPS, 500}


def test_probes_of_other_weights_than_the_losses_are_found_and_made_again(
    tmp_path: Path, ingest: Ingest, text: Path, own: Path, run_folder: Path
) -> None:
    source = shutil.copytree(run_folder, tmp_path / run_folder.name)
    tiny("gpt2", seed=77).save_pretrained(source / "checkpoint-10")
    arguments = ("run", source, "--text", text, "--store", own)
    ended = ingest(*arguments, "--probes")  # the losses, too, are of the weights before
    assert ended.status == 0
    Layout(own).loss_file(10).unlink()
    assert ingest(*arguments).status == 0
    assert [re.sub(".*checkpoint", "checkpoint", p) for p in verify(own)] == [
        "checkpoint 10 was probed with other weights than it was scored with: "
        "run again with --probes"
    ]
    before = probes_of(own)
    assert ingest(*arguments, "--probes").status == 0
    assert verify(own) == []
    changed = {a["checkpoint"] for a, b in zip(before, probes_of(own), strict=True) if a != b}
    assert changed == {10}


def test_what_was_scored_is_not_probed_with_other_weights(
    tmp_path: Path, ingest: Ingest, text: Path, whole_store: Path, run_folder: Path
) -> None:
    store = shutil.copytree(whole_store, tmp_path / "s")
    source = shutil.copytree(run_folder, tmp_path / run_folder.name)
    tiny("gpt2", seed=77).save_pretrained(source / "checkpoint-10")
    ended = ingest("run", source, "--text", text, "--store", store, "--probes")
    assert ended.status == 1
    assert "not probed: checkpoint 10: checkpoint-10 has other weights now" in ended.error
    assert {r["checkpoint"] for r in probes_of(store)} == {0, 400}


def test_interrupted_between_a_checkpoints_probes_and_its_losses(
    tmp_path: Path,
    ingest: Ingest,
    run_folder: Path,
    text: Path,
    probed: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = tmp_path / "s"
    arguments = ("run", run_folder, "--text", text, "--store", store, "--probes")

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(writer, "write_losses", stop)
        assert ingest(*arguments).status == 130
    assert Layout(store).probes.exists()
    assert not Layout(store).scored()
    assert ingest(*arguments).status == 0
    assert verify(store) == []
    assert_same(store, probed)


@pytest.mark.parametrize("seed", KILL_SEEDS)
def test_killed_twice_at_random_moments(
    tmp_path: Path, long_run: LongRun, long_probed: Path, long_store: tuple[Path, float], seed: int
) -> None:
    moments = random.Random(seed)
    for _ in range(2):
        process = start(long_run(tmp_path / "s", "--probes"))
        process.join(moments.uniform(0.1, 1.3 * long_store[1]))
        process.kill()
        process.join()
    finish(long_run(tmp_path / "s", "--probes"))
    assert_same(tmp_path / "s", long_probed)


def test_a_model_without_attention_weights_is_told_of_once(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast
) -> None:
    config = MambaConfig(vocab_size=len(bpe), hidden_size=16, num_hidden_layers=1, state_size=4)
    for step in (1, 2):
        MambaForCausalLM(config).save_pretrained(tmp_path / "run" / f"checkpoint-{step}")
    bpe.save_pretrained(tmp_path / "run")
    (tmp_path / "t.txt").write_text(PROSE)
    line = ("run", tmp_path / "run", "--text", tmp_path / "t.txt", "--store", tmp_path / "s")
    ended = ingest(*line, "--context-length", 32, "--probes")
    assert ended.status == 0, ended.error
    assert ended.error.count("gives no attention weights") == 1
    assert [r["value"] is None for r in probes_of(tmp_path / "s")] == [False, False, True] * 2
    assert verify(tmp_path / "s") == []


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda rows: rows[1:], "has a probe twice or not at all"),
        (lambda rows: [rows[0], *rows], "has a probe twice or not at all"),
        (lambda rows: [{**rows[0], "value": -1.0}, *rows[1:]], "has a loss_first of -1.0"),
        (lambda rows: [*rows[:-1], {**rows[-1], "value": 1.5}], "has a prefix_matching of 1.5"),
        (
            lambda rows: [{**r, "checkpoint": r["checkpoint"] + 1} for r in rows],
            "has probes but no losses",
        ),
    ],
)
def test_verify_finds_what_is_wrong_with_probes(
    own: Path, change: Callable[..., Any], problem: str
) -> None:
    rows = change(probes_of(own))
    pq.write_table(pa.Table.from_pylist(rows, schema.PROBES), Layout(own).probes)
    assert any(problem in p for p in verify(own))


def test_a_damaged_file_of_probes_is_refused_until_deleted(
    ingest: Ingest, own: Path, run_folder: Path, text: Path
) -> None:
    Layout(own).probes.write_bytes(b"no parquet")
    assert any("cannot be read" in p for p in verify(own))
    arguments = ("run", run_folder, "--text", text, "--store", own, "--probes")
    ended = ingest(*arguments)
    assert ended.status == 2
    assert "delete it and run ingest again" in ended.error
    Layout(own).probes.unlink()
    assert ingest(*arguments).status == 0
    assert verify(own) == []

"""The loop: writing while scoring, failures that stop it, and a warning about equal losses."""

import errno
import shutil
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from ingest import scoring
from ingest.errors import IngestError
from ingest.model import resident_model
from ingest.output import writer
from ingest.sources.prefetch import FetchedCheckpoint
from ingest.sources.revisions import Checkpoint
from ingest.verify import compare, verify
from store.files import leftovers
from store.layout import Layout
from store.manifest import read_manifest
from tests.ingest.conftest import STEPS, Ingest
from tests.models import planted, save_run

NORM = "transformer.ln_f.weight"


def same_losses_other_bytes(folder: Path, step: int, of: int) -> None:
    """The weights of another step in a file that also holds a note: it has another sha256."""
    weights = load_file(folder / f"checkpoint-{of}" / "model.safetensors")
    path = folder / f"checkpoint-{step}" / "model.safetensors"
    save_file(weights, path, metadata={"format": "pt", "note": f"step {step}"})


def column(store: Path, name: str) -> list[object]:
    return list(pq.read_table(Layout(store).checkpoints)[name].to_pylist())


def test_equal_losses_raise_the_alarm_also_after_a_resume(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast, text: Path
) -> None:
    source, store = save_run(tmp_path / "run", bpe, [1, 2, 3, 4]), tmp_path / "s"
    same_losses_other_bytes(source, 3, 1)
    shutil.copy(source / "checkpoint-2" / "model.safetensors", source / "checkpoint-4")
    warnings = [
        "warning: checkpoint 3 gives the same losses as 1, though its weight files differ",
        "warning: checkpoint 4 has the same weights as 2",
    ]
    assert ingest("run", source, "--text", text, "--store", store).error.splitlines() == warnings
    assert column(store, "duplicate_of") == [None, None, 1, 2]
    assert len(set(column(store, "weights_sha256"))) == 3
    for lost in ("checkpoint-000000001", "checkpoint-000000003", "checkpoint-000000004"):
        Layout(store).losses.joinpath(f"{lost}.parquet").unlink()
        Layout(store).checkpoints.unlink(missing_ok=True)
        assert (
            ingest("run", source, "--text", text, "--store", store).error.splitlines() == warnings
        )
        assert column(store, "duplicate_of") == [None, None, 1, 2]
    assert verify(store) == []


def test_one_file_is_written_while_the_next_checkpoint_is_scored(
    tmp_path: Path, ingest: Ingest, run_folder: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = {step: threading.Event() for step in STEPS}
    score, write = scoring.Scorer.score, writer.write_losses

    def watched(self: Any, fetched: FetchedCheckpoint) -> Any:
        begun[fetched.checkpoint.step].set()
        return score(self, fetched)

    def slow(layout: Any, outcome: Any, *rest: Any) -> None:
        following = STEPS[STEPS.index(outcome.checkpoint.step) + 1 :][:1]
        assert all(begun[step].wait(20) for step in following), "scoring waits for the file"
        write(layout, outcome, *rest)

    monkeypatch.setattr(scoring.Scorer, "score", watched)
    monkeypatch.setattr(writer, "write_losses", slow)
    assert ingest("run", run_folder, "--text", text, "--store", tmp_path / "s").status == 0
    assert list(Layout(tmp_path / "s").scored()) == list(STEPS)


@pytest.mark.parametrize("at", STEPS)
def test_a_disk_that_is_full_stops_the_run_and_what_is_written_stays(
    tmp_path: Path,
    ingest: Ingest,
    run_folder: Path,
    text: Path,
    monkeypatch: pytest.MonkeyPatch,
    whole_store: Path,
    at: int,
) -> None:
    write = pq.write_table

    def full(table: Any, path: Any, **options: Any) -> None:
        if f"checkpoint-{at:09d}" in Path(path).name:
            Path(path).write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")
        write(table, path, **options)

    arguments = ("run", run_folder, "--text", text, "--store", tmp_path / "s")
    with monkeypatch.context() as patch:
        patch.setattr(pq, "write_table", full)
        ended = ingest(*arguments)
    assert ended.status == 2
    assert "No space left on device: fix this and rerun the same command" in ended.error
    layout = Layout(tmp_path / "s")
    assert list(layout.scored()) == [step for step in STEPS if step < at]
    assert not leftovers(layout.losses)
    assert ingest(*arguments).status == 0
    for step in STEPS:
        assert layout.loss_file(step).read_bytes() == (
            Layout(whole_store).loss_file(step).read_bytes()
        )


def test_the_model_is_built_once_in_a_run(
    tmp_path: Path, ingest: Ingest, run_folder: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    load = resident_model.load_model

    def counted(checkpoint: Checkpoint, *rest: Any) -> PreTrainedModel:
        built.append(checkpoint)
        return load(checkpoint, *rest)

    monkeypatch.setattr(resident_model, "load_model", counted)
    assert ingest("run", run_folder, "--text", text, "--store", tmp_path / "s").status == 0
    assert [c.step for c in built] == list(STEPS[:1])


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_attention_is_the_one_asked_for_and_recorded(
    tmp_path: Path,
    ingest: Ingest,
    run_folder: Path,
    text: Path,
    attention: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used = []
    load = resident_model.ResidentModel.load

    def watched(self: Any, fetched: FetchedCheckpoint) -> Any:
        model = load(self, fetched)
        used.append(model.config._attn_implementation)
        return model

    monkeypatch.setattr(resident_model.ResidentModel, "load", watched)
    store = tmp_path / "s"
    arguments = ("run", run_folder, "--text", text, "--store", store)
    assert ingest(*arguments, "--attention", attention).status == 0
    assert used == [attention] * len(STEPS)
    assert read_manifest(Layout(store).manifest).attention == attention
    other = {"eager": "sdpa", "sdpa": "eager"}[attention]
    ended = ingest(*arguments, "--attention", other)
    assert ended.status == 2
    assert "was made with another attention backend" in ended.error


@pytest.mark.parametrize("attention", ["flash_attention_2", "nonsense"])
def test_attention_that_is_not_there_is_refused(
    tmp_path: Path, ingest: Ingest, run_folder: Path, text: Path, attention: str
) -> None:
    arguments = ("run", run_folder, "--text", text, "--store", tmp_path / "s")
    ended = ingest(*arguments, "--attention", attention)
    assert ended.status == 2
    assert ended.error.startswith(f"error: --attention {attention} cannot be used")
    assert not (tmp_path / "s").exists()


def test_compiled_the_losses_are_the_same(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast, text: Path
) -> None:
    try:
        resident_model.refuse_compile()
    except IngestError as error:
        pytest.skip(str(error))
    for step in (1, 2):
        planted(len(bpe), step, step + 1).save_pretrained(tmp_path / "run" / f"step{step}")
    bpe.save_pretrained(tmp_path / "run")
    arguments = ("run", tmp_path / "run", "--text", text, "--store")
    assert ingest(*arguments, tmp_path / "plain").status == 0
    assert ingest(*arguments, tmp_path / "s", "--compile").status == 0
    assert all(d.largest < 1e-4 for d in compare(tmp_path / "s", tmp_path / "plain"))


def test_compiling_that_does_not_work_is_refused_at_once(
    tmp_path: Path, ingest: Ingest, run_folder: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_function: object) -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(torch, "compile", broken)
    arguments = ("run", run_folder, "--text", text, "--store", tmp_path / "s", "--compile")
    assert ingest(*arguments).error.startswith("error: --compile cannot be used here (no compiler)")


@pytest.mark.parametrize("what", ["activations", "weights"])
def test_an_overflow_in_half_precision_is_named(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast, text: Path, what: str
) -> None:
    source = save_run(tmp_path / "run", bpe, [1, 2])
    path = source / "checkpoint-2" / "model.safetensors"
    weights = load_file(path)
    weights[NORM] *= 60_000 if what == "activations" else 100_000
    save_file(weights, path, metadata={"format": "pt"})
    arguments = ("run", source, "--text", text, "--store")
    ended = ingest(*arguments, tmp_path / "half", "--dtype", "float16")
    assert ended.status == 1
    assert ended.error.startswith("failed: checkpoint-2 gives no finite loss on")
    assert "the largest number of float16 (overflow): give --dtype float32" in ended.error
    assert ingest(*arguments, tmp_path / "whole").status == 0

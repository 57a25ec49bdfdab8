"""A run writes the store that the contract describes, byte for byte, and resumes."""

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from ingest.sources.checkpoint_files import weights_sha256
from ingest.verify import verify
from store import schema
from store.layout import Layout
from store.manifest import read_manifest
from tests.architectures import tiny_model
from tests.ingest.conftest import STEPS, Ingest
from tests.ingest.support.by_hand import losses_by_hand, windows_by_hand
from tests.models import CONTEXT, END, FAMILIES, PROSE, planted, save_run


def texts_of(text: Path) -> list[str]:
    return [json.loads(line)["text"] for line in text.read_text("utf-8").splitlines()]


def losses_of(store: Path, step: int) -> np.ndarray:
    return np.asarray(pq.read_table(Layout(store).loss_file(step))["loss"])


def written(store: Path) -> dict[int, tuple[int, bytes]]:
    """When each loss file was written, and its bytes."""
    found = Layout(store).scored().items()
    return {step: (path.stat().st_mtime_ns, path.read_bytes()) for step, path in found}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("bos", [0, None])
def test_every_loss_of_a_store_equals_one_computed_by_hand(
    tmp_path: Path,
    ingest: Ingest,
    bpe: PreTrainedTokenizerFast,
    text: Path,
    family: str,
    bos: int | None,
) -> None:
    source = save_run(tmp_path / "run", bpe, [1, 2], family)
    extra = [] if bos == 0 else ["--no-bos"]
    assert ingest("run", source, "--text", text, "--store", tmp_path / "s", *extra).status == 0
    for step in (1, 2):
        folder = source / f"checkpoint-{step}"
        model = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
        tokenizer = AutoTokenizer.from_pretrained(folder)
        windows = windows_by_hand(tokenizer, texts_of(text), CONTEXT, bos)
        expected = np.concatenate([losses_by_hand(model, w) for w in windows])
        np.testing.assert_allclose(losses_of(tmp_path / "s", step), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("first", [False, True], ids=["inside", "after the BOS"])
def test_the_row_of_a_planted_token_and_only_that_row_has_loss_zero(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast, first: bool
) -> None:
    (tmp_path / "t.txt").write_text("The President said that the Congress met")
    ids = bpe.encode("The President said that the Congress met")
    at = 0 if first else ids.index(bpe.convert_tokens_to_ids("ĠCongress"))
    before = 0 if first else ids[at - 1]
    folder = tmp_path / "run" / "step1"
    planted(len(bpe), before, ids[at]).save_pretrained(folder)
    bpe.save_pretrained(folder)
    arguments = ("run", tmp_path / "run", "--text", tmp_path / "t.txt", "--store", tmp_path / "s")
    assert ingest(*arguments).status == 0
    rows = pq.read_table(Layout(tmp_path / "s").loss_file(1)).to_pylist()
    assert [r["position"] for r in rows if r["loss"] == 0] == [at + 1]
    assert rows[at]["token_str"] == ("The" if first else " Congress")
    others = [r["loss"] for r in rows if r["position"] != at + 1]
    assert others == pytest.approx([math.log(len(bpe) - 1)] * len(others), abs=1e-6)


def test_loss_files_have_the_seven_columns_and_the_rows_of_the_tokens(whole_store: Path) -> None:
    layout = Layout(whole_store)
    assert [p.name for p in sorted(layout.losses.iterdir())] == [
        f"checkpoint-{step:09d}.parquet" for step in STEPS
    ]
    tokens = pq.read_table(layout.tokens)
    for step, path in layout.scored().items():
        table = pq.read_table(path)
        assert [(f.name, str(f.type)) for f in table.schema] == [
            ("checkpoint", "int64"),
            ("doc", "int32"),
            ("position", "int32"),
            ("token_id", "int32"),
            ("token_str", "string"),
            ("is_word_start", "bool"),
            ("loss", "float"),
        ]
        assert table.select(schema.REPEATED).equals(tokens.select(schema.REPEATED))
        assert set(table["checkpoint"].to_pylist()) == {step}
        assert table.column("loss").null_count == 0


def test_the_other_files_say_what_was_scored(
    whole_store: Path, run_folder: Path, text: Path, bpe: PreTrainedTokenizerFast
) -> None:
    layout = Layout(whole_store)
    manifest = read_manifest(layout.manifest)
    assert (manifest.text, manifest.bos, manifest.context_length) == ("text.jsonl", END, CONTEXT)
    tokens = pq.read_table(layout.tokens)
    assert manifest.token_fingerprint == schema.fingerprint(tokens)
    rows = pq.read_table(layout.checkpoints).to_pylist()
    assert [r["checkpoint"] for r in rows] == list(STEPS)
    for row in rows:
        folder = run_folder / row["revision"]
        assert row["weights_sha256"] == weights_sha256(folder)
        assert row["n_tokens"] == tokens.num_rows == manifest.n_tokens
        losses = losses_of(whole_store, row["checkpoint"]).astype(np.float64)
        assert row["mean_loss"] == pytest.approx(math.fsum(losses) / len(losses), abs=1e-12)
        assert row["error"] is None
        assert row["seconds"] > 0
    docs = pq.read_table(layout.docs)
    assert {d["source"]: d["year"] for d in docs.to_pylist()} == {
        "prose": 1861,
        "short": 1862,
        "odd": None,
        "one": 1864,
    }
    assert verify(whole_store) == []


def test_made_twice_a_store_has_the_same_bytes(
    tmp_path: Path, ingest: Ingest, whole_store: Path, run_folder: Path, text: Path
) -> None:
    store = tmp_path / "again"
    assert ingest("run", run_folder, "--text", text, "--store", store).status == 0
    for path in whole_store.rglob("*"):
        if path.is_file() and path.name != "checkpoints.parquet":
            assert (store / path.relative_to(whole_store)).read_bytes() == path.read_bytes()
    tables = [pq.read_table(s / "checkpoints.parquet") for s in (whole_store, store)]
    assert tables[0].drop("seconds").equals(tables[1].drop("seconds"))


def test_the_batch_size_changes_no_loss(
    tmp_path: Path, ingest: Ingest, whole_store: Path, run_folder: Path, text: Path
) -> None:
    store = tmp_path / "s"
    arguments = ("run", run_folder, "--text", text, "--store", store, "--batch-tokens", 1)
    assert ingest(*arguments).status == 0
    for step in STEPS:
        np.testing.assert_allclose(
            losses_of(store, step), losses_of(whole_store, step), rtol=0, atol=1e-5
        )


def test_what_is_scored_is_skipped_and_only_the_rest_is_made(
    tmp_path: Path, ingest: Ingest, whole_store: Path, run_folder: Path, text: Path
) -> None:
    store = shutil.copytree(whole_store, tmp_path / "s")
    arguments = ("run", run_folder, "--text", text, "--store", store)
    before = written(store)
    assert ingest(*arguments).status == 0
    assert written(store) == before
    Layout(store).loss_file(10).unlink()
    assert ingest(*arguments).status == 0
    after = written(store)
    assert (after[0], after[400]) == (before[0], before[400])
    assert after[10][0] > before[10][0]
    assert after[10][1] == before[10][1]


def test_later_checkpoints_are_added_to_the_store(
    tmp_path: Path, ingest: Ingest, whole_store: Path, bpe: PreTrainedTokenizerFast, text: Path
) -> None:
    store = shutil.copytree(whole_store, tmp_path / "s")
    source = save_run(tmp_path / "run", bpe, [5, 500])
    name = read_manifest(Layout(store).manifest).model
    arguments = ("run", source, "--text", text, "--store", store, "--name", name)
    assert ingest(*arguments).status == 0
    assert list(Layout(store).scored()) == [0, 5, 10, 400, 500]
    assert verify(store) == []


def test_a_failed_checkpoint_is_recorded_and_tried_again_alone(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast, text: Path
) -> None:
    source, store = save_run(tmp_path / "run", bpe, STEPS), tmp_path / "s"
    damaged = source / "checkpoint-10" / "model.safetensors"
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-100])
    arguments = ("run", source, "--text", text, "--store", store)
    ended = ingest(*arguments)
    assert ended.status == 1
    assert ended.error.startswith("failed: checkpoint-10 cannot be loaded (SafetensorError")
    assert list(Layout(store).scored()) == [0, 400]
    rows = {r["checkpoint"]: r for r in pq.read_table(Layout(store).checkpoints).to_pylist()}
    assert "copy the checkpoint again" in rows[10]["error"]
    assert rows[10]["mean_loss"] is None
    assert verify(store) == [f"checkpoint 10 failed: {rows[10]['error']}"]
    before = written(store)
    assert ingest(*arguments).status == 1
    damaged.write_bytes(content)
    assert ingest(*arguments).status == 0
    assert {s: written(store)[s] for s in before} == before
    assert verify(store) == []


def nan(weights: dict[str, torch.Tensor]) -> None:
    weights["transformer.h.0.mlp.c_fc.weight"][0, 0] = float("nan")


def missing(weights: dict[str, torch.Tensor]) -> None:
    weights.pop("transformer.h.0.mlp.c_fc.weight")


@pytest.mark.parametrize(
    ("how", "reason"),
    [(nan, "gives no finite loss on .* NaN or infinity"), (missing, "has 1 missing weights")],
)
def test_bad_weights_fail_alone(
    tmp_path: Path,
    ingest: Ingest,
    bpe: PreTrainedTokenizerFast,
    text: Path,
    how: Callable[..., Any],
    reason: str,
) -> None:
    source = save_run(tmp_path / "run", bpe, STEPS)
    path = source / "checkpoint-10" / "model.safetensors"
    weights = load_file(path)
    how(weights)
    save_file(weights, path, metadata={"format": "pt"})
    ended = ingest("run", source, "--text", text, "--store", tmp_path / "s")
    assert ended.status == 1
    assert len(ended.error.splitlines()) == 1
    assert re.search(f"failed: checkpoint-10 {reason}", ended.error)
    assert list(Layout(tmp_path / "s").scored()) == [0, 400]


def test_a_missing_text_is_written_again_to_the_letter(
    tmp_path: Path, ingest: Ingest, whole_store: Path, run_folder: Path, text: Path
) -> None:
    store = shutil.copytree(whole_store, tmp_path / "s")
    for name in ("tokens.parquet", "docs.parquet"):
        (store / name).unlink()
        assert ingest("run", run_folder, "--text", text, "--store", store).status == 0
        assert (store / name).read_bytes() == (whole_store / name).read_bytes()


def test_what_a_kill_left_is_cleared_away_and_nothing_else(
    tmp_path: Path, ingest: Ingest, whole_store: Path, run_folder: Path, text: Path
) -> None:
    store = shutil.copytree(whole_store, tmp_path / "s")
    ours = [
        store / ".manifest.json.123.tmp",
        store / "losses" / ".checkpoint-000000010.parquet.77.tmp",
    ]
    theirs = [store / ".notes.tmp", store / "a.parquet.5.tmp"]
    for path in [*ours, *theirs]:
        path.write_text("half")
    assert ingest("run", run_folder, "--text", text, "--store", store).status == 0
    assert [p.exists() for p in [*ours, *theirs]] == [False, False, True, True]


def test_a_checkpoint_of_other_sizes_fails_alone(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast
) -> None:
    source = save_run(tmp_path / "run", bpe, [1, 3])
    planted(50, 1, 2).save_pretrained(source / "checkpoint-2")
    (tmp_path / "t.txt").write_text(PROSE)
    ended = ingest("run", source, "--text", tmp_path / "t.txt", "--store", tmp_path / "s")
    assert ended.status == 1
    assert ended.error.startswith("failed: checkpoint-2 cannot score this text")
    assert list(Layout(tmp_path / "s").scored()) == [1, 3]


def test_an_exception_of_any_class_in_a_forward_fails_that_checkpoint_alone(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast, text: Path
) -> None:
    source = save_run(tmp_path / "run", bpe, [1, 3])
    without_language = tiny_model("xmod", default_language=None)  # its forward: ValueError
    without_language.save_pretrained(source / "checkpoint-2")
    ended = ingest("run", source, "--text", text, "--store", tmp_path / "s")
    assert ended.status == 1
    assert ended.error.startswith(
        "failed: checkpoint-2 cannot score this text: its model raises ValueError (Input language"
    )
    assert list(Layout(tmp_path / "s").scored()) == [1, 3]


@pytest.mark.parametrize("fault", ["cut", "folder", "another's", "short"])
def test_a_loss_file_that_is_not_what_its_name_says_is_no_score(
    tmp_path: Path, ingest: Ingest, whole_store: Path, run_folder: Path, text: Path, fault: str
) -> None:
    store = shutil.copytree(whole_store, tmp_path / "s")
    path, other = Layout(store).loss_file(10), Layout(store).loss_file(400)
    content = path.read_bytes()
    path.unlink()
    if fault == "cut":
        path.write_bytes(content[:-9])
    elif fault == "folder":
        path.mkdir()
    elif fault == "another's":
        shutil.copy(other, path)
    else:
        pq.write_table(pq.read_table(Layout(whole_store).loss_file(10)).slice(1), path)
    ended = ingest("run", run_folder, "--text", text, "--store", store)
    assert ended.status == 2
    assert re.search("000010.parquet (is damaged|holds other losses).*: delete it", ended.error)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert ingest("run", run_folder, "--text", text, "--store", store).status == 0
    assert path.read_bytes() == content

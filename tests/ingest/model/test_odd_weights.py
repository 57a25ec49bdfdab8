"""Weights that load without an error but are not the model's get the right reason."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from store.layout import Layout
from tests.ingest.conftest import Ingest

Weights = dict[str, torch.Tensor]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda w: {k: (9 * v).to(torch.int8) for k, v in w.items()},
            r"weights of integers or one-byte floats \(.*no quantization_config: give",
        ),
        (
            lambda w: {k: v.to(torch.float8_e4m3fn) for k, v in w.items()},
            r"weights of integers or one-byte floats \(.*no quantization_config: give",
        ),
        (
            lambda w: {f"module.{k}": v for k, v in w.items()},
            "saved from inside DistributedDataParallel.* remove module. from their names",
        ),
        (
            lambda w: {f"_orig_mod.{k}": v for k, v in w.items()},
            "saved from inside torch.compile.* remove _orig_mod. from their names",
        ),
    ],
)
def test_they_are_refused_for_what_they_are(
    run_folder: Path,
    text: Path,
    tmp_path: Path,
    ingest: Ingest,
    change: Callable[[Weights], Weights],
    sentence: str,
) -> None:
    source = shutil.copytree(run_folder, tmp_path / "run")
    path = source / "checkpoint-0" / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})
    ended = ingest("run", source, "--text", text, "--store", tmp_path / "s")
    assert ended.status == 1
    (line,) = ended.error.splitlines()
    assert re.search(sentence, line)
    assert list(Layout(tmp_path / "s").scored()) == [10, 400]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "run `git lfs pull`",
        ),
        (b"<!DOCTYPE html>\n<html><body>Not found</body></html>", "is a web page, not weights"),
        (b"\n<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "is an XML document"),
    ],
)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_what_only_has_the_name_of_a_weight_file_is_named(
    run_folder: Path,
    text: Path,
    tmp_path: Path,
    ingest: Ingest,
    name: str,
    content: bytes,
    sentence: str,
) -> None:
    source = shutil.copytree(run_folder, tmp_path / "run")
    (source / "checkpoint-10" / "model.safetensors").unlink()
    (source / "checkpoint-10" / name).write_bytes(content)
    ended = ingest("run", source, "--text", text, "--store", tmp_path / "s")
    assert ended.status == 1
    (line,) = ended.error.splitlines()
    assert sentence in line and name in line
    assert list(Layout(tmp_path / "s").scored()) == [0, 400]


@pytest.mark.parametrize("command", ["run", "plan"])
def test_a_broken_link_fails_its_checkpoint_alone(
    run_folder: Path, text: Path, tmp_path: Path, ingest: Ingest, command: str
) -> None:
    source = shutil.copytree(run_folder, tmp_path / "run")
    path = source / "checkpoint-10" / "model.safetensors"
    path.unlink()
    path.symlink_to(tmp_path / "gone")
    more = ("--store", tmp_path / "s") if command == "run" else ()
    ended = ingest(command, source, "--text", text, *more)
    assert ended.status == (1 if command == "run" else 0)
    if command == "run":
        assert "failed: checkpoint-10 cannot be read" in ended.error
        assert list(Layout(tmp_path / "s").scored()) == [0, 400]


@pytest.mark.parametrize(
    ("pack", "sentence"),
    [
        (lambda w: {"model": w, "step": 10}, r"\(model: dict, step: int\): save the model"),
        (
            lambda w: {k: v.to_sparse() if v.dim() == 2 else v for k, v in w.items()},
            ": sparse tensor",
        ),
    ],
)
def test_a_pickle_of_something_else_is_named(
    run_folder: Path,
    text: Path,
    tmp_path: Path,
    ingest: Ingest,
    pack: Callable[[Weights], object],
    sentence: str,
) -> None:
    source = shutil.copytree(run_folder, tmp_path / "run")
    path = source / "checkpoint-10" / "model.safetensors"
    torch.save(pack(load_file(path)), path.with_name("pytorch_model.bin"))
    path.unlink()
    ended = ingest("run", source, "--text", text, "--store", tmp_path / "s")
    assert ended.status == 1
    (line,) = ended.error.splitlines()
    assert re.search(sentence, line), line
    assert list(Layout(tmp_path / "s").scored()) == [0, 400]

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
            r"weights of whole numbers \(.*no quantization_config: give the checkpoint before",
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

"""A folder -> its checkpoints by step; or a sentence."""

import hashlib
from pathlib import Path
from typing import cast

import pytest
from huggingface_hub.hf_api import RepoFile

from ingest.errors import CheckpointError, IngestError
from ingest.sources import hub
from ingest.sources.checkpoint_files import weight_files, weight_names, weights_sha256
from ingest.sources.folder import find_checkpoints
from ingest.sources.revisions import Naming


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def test_checkpoints_are_ordered_by_step_not_by_name(tmp_path: Path) -> None:
    names = ["checkpoint-1000", "step20", "global_step3", "step-000400", "checkpoint-0", "7"]
    found = find_checkpoints(folders(tmp_path, *names), Naming(tokens_per_step=512))
    assert [(c.checkpoint, c.revision, c.tokens_seen) for c in found] == [
        (0, "checkpoint-0", 0),
        (3, "global_step3", 1_536),
        (7, "7", 3_584),
        (20, "step20", 10_240),
        (400, "step-000400", 204_800),
        (1_000, "checkpoint-1000", 512_000),
    ]
    assert all(c.step == c.checkpoint and c.path == tmp_path / c.revision for c in found)


def test_other_folders_and_files_are_no_checkpoints(tmp_path: Path) -> None:
    folders(tmp_path, "checkpoint-5", "runs", "main", "refs-pr-x", ".cache", "step9" * 5)
    (tmp_path / "checkpoint-6").write_text("a file")
    assert [c.step for c in find_checkpoints(tmp_path)] == [5]
    assert find_checkpoints(tmp_path)[0].tokens_seen is None


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ((), "has no checkpoint folders .it is empty.: expected folders whose names end in"),
        (("runs", "main"), "it holds main, runs"),
        (("checkpoint-99999999999999999999",), "has no checkpoint folders"),
        (("step5", "checkpoint-05"), "checkpoint-05 and step5 are both step 5: move one"),
    ],
)
def test_a_folder_without_clear_checkpoints_gets_a_sentence(
    tmp_path: Path, names: tuple[str, ...], sentence: str
) -> None:
    with pytest.raises(IngestError, match=sentence):
        find_checkpoints(folders(tmp_path, *names))


def test_a_missing_folder_a_file_and_a_single_checkpoint_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="gone does not exist: expected a folder that holds"):
        find_checkpoints(tmp_path / "gone")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(IngestError, match=r"config\.json is a file"):
        find_checkpoints(tmp_path / "config.json")
    with pytest.raises(IngestError, match=f"single checkpoint .*parent folder, {tmp_path.parent}"):
        find_checkpoints(tmp_path)


def test_safetensors_win_over_pickles_and_the_digest_is_that_of_the_weights(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    assert [p.name for p in weight_files(tmp_path)] == ["pytorch_model.bin"]
    assert weights_sha256(tmp_path) == hashlib.sha256(b"pickle").hexdigest()
    (tmp_path / "model.safetensors").write_bytes(b"tensors")
    (tmp_path / "optimizer.pt").write_bytes(b"no weights")
    assert weights_sha256(tmp_path) == hashlib.sha256(b"tensors").hexdigest()


def test_the_digest_of_several_files_depends_on_each(tmp_path: Path) -> None:
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"a")
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"b")
    before = weights_sha256(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").write_bytes(b"c")
    assert weights_sha256(tmp_path) != before


def test_a_folder_without_weights_has_no_weight_files(tmp_path: Path) -> None:
    assert weight_files(tmp_path) == []


@pytest.mark.parametrize(
    ("names", "weights"),
    [
        (["model.safetensors", "adapter_model.safetensors"], ["model.safetensors"]),
        (["adapter_model.safetensors", "adapter_config.json"], ["adapter_model.safetensors"]),
        (["adapter_model.safetensors"], []),
        (["training_args.bin", "optimizer.bin", "pytorch_model.bin"], ["pytorch_model.bin"]),
        (["model.fp16.safetensors", "consolidated.safetensors"], []),
        (
            ["model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"],
            ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
        ),
        (["pytorch_model_00001-of-00072.bin"], ["pytorch_model_00001-of-00072.bin"]),  # BLOOM
        (["model.safetensors", "model-00001-of-00002.safetensors"], ["model.safetensors"]),
        (["model-00001-of-00001.safetensors", "pytorch_model.bin"], None),
    ],
)
def test_folders_and_the_hub_mean_the_same_files_by_weights(
    tmp_path: Path, names: list[str], weights: list[str] | None
) -> None:
    for name in names:
        (tmp_path / name).write_text(name)
    expected = names[:1] if weights is None else weights
    assert [p.name for p in weight_files(tmp_path)] == weight_names(names) == expected
    listing = {name: cast(RepoFile, name) for name in names}
    if expected:
        assert list(hub._weight_files(listing, "step1")) == expected
    else:
        with pytest.raises(CheckpointError, match="step1 has no weights"):
            hub._weight_files(listing, "step1")


def test_an_adapter_next_to_the_weights_does_not_change_their_digest(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"tensors")
    before = weights_sha256(tmp_path)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"an adapter")
    assert weights_sha256(tmp_path) == before == hashlib.sha256(b"tensors").hexdigest()

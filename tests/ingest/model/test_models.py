"""Models and tokenizers are loaded as they were saved, or refused with a reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, T5Config

from ingest.errors import CheckpointError, IngestError
from ingest.model import configuration
from ingest.model.resident_model import load_model
from ingest.sources.revisions import Checkpoint
from ingest.text.tokenizer import load_tokenizer, tokenizer_sha256
from tests.models import CONTEXT, FAMILIES, byte_level, metaspace, tiny

Weights = dict[str, torch.Tensor]


def saved(folder: Path, family: str = "gpt2") -> Checkpoint:
    tiny(family).save_pretrained(folder / "step5")
    return Checkpoint(5, "step5", folder / "step5", 5)


def change(checkpoint: Checkpoint, how: Callable[[Weights], object]) -> Checkpoint:
    path = checkpoint.path / "model.safetensors"
    weights = load_file(path)
    how(weights)
    save_file(weights, path, metadata={"format": "pt"})
    return checkpoint


@pytest.mark.parametrize("family", FAMILIES)
def test_every_weight_is_the_one_that_was_saved(tmp_path: Path, family: str) -> None:
    loaded = load_model(saved(tmp_path, family), "float32", "cpu")
    expected = tiny(family).state_dict()
    assert loaded.state_dict().keys() == expected.keys()
    assert all(torch.equal(v, expected[k]) for k, v in loaded.state_dict().items())
    assert not loaded.training


def test_the_dtype_is_the_one_asked_for_not_the_one_saved(tmp_path: Path) -> None:
    tiny("gpt2").half().save_pretrained(tmp_path / "step5")
    model = load_model(Checkpoint(5, "step5", tmp_path / "step5", 5), "float32", "cpu")
    assert {p.dtype for p in model.parameters()} == {torch.float32}


BUFFERS = {
    "gpt2": ["transformer.h.0.attn.bias", "transformer.h.0.attn.masked_bias"],
    "neox": [
        "gpt_neox.layers.0.attention.bias",
        "gpt_neox.layers.0.attention.masked_bias",
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq",
    ],
    "llama": ["model.layers.0.self_attn.rotary_emb.inv_freq"],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_computed_buffers_that_old_checkpoints_saved_are_no_fault(
    tmp_path: Path, family: str
) -> None:
    buffers = {name: torch.ones(1) for name in BUFFERS[family]}
    checkpoint = change(saved(tmp_path, family), lambda weights: weights.update(buffers))
    load_model(checkpoint, "float32", "cpu")


NORM = "transformer.h.1.ln_2.weight"


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        (lambda w: w.pop(NORM), f"step5 has 1 missing weights .{NORM}.: .*copy the checkpoint"),
        (lambda w: w.update(value_head=torch.ones(1)), r"1 extra weights \(value_head\)"),
        (lambda w: w.update({NORM: torch.ones(3)}), "cannot be loaded|1 misshapen weights"),
        (lambda w: w.clear(), "missing weights"),
    ],
    ids=["missing", "extra", "misshapen", "none"],
)
def test_weights_that_do_not_fit_are_refused_not_invented(
    tmp_path: Path, how: Callable[..., Any], reason: str
) -> None:
    with pytest.raises(CheckpointError, match=reason):
        load_model(change(saved(tmp_path), how), "float32", "cpu")


@pytest.mark.parametrize("left", [0, 7, 1_000, -1])
def test_a_truncated_file_is_refused(tmp_path: Path, left: int) -> None:
    checkpoint = saved(tmp_path)
    path = checkpoint.path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(CheckpointError, match=r"step5 cannot be loaded .*copy the checkpoint"):
        load_model(checkpoint, "float32", "cpu")


def test_a_missing_shard_is_refused(tmp_path: Path) -> None:
    tiny("gpt2").save_pretrained(tmp_path / "step5", max_shard_size="20KB")
    shards = sorted((tmp_path / "step5").glob("*.safetensors"))
    assert len(shards) > 1
    shards[0].unlink()
    with pytest.raises(CheckpointError, match="step5"):
        load_model(Checkpoint(5, "step5", tmp_path / "step5", 5), "float32", "cpu")


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path)
    (checkpoint.path / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"has no weights: expected model\.safetensors"):
        load_model(checkpoint, "float32", "cpu")


def test_the_first_readable_configuration_counts(tmp_path: Path) -> None:
    (tmp_path / "step1").mkdir()
    broken = Checkpoint(1, "step1", tmp_path / "step1", 1)
    config = configuration.first_config([broken, saved(tmp_path)])
    assert configuration.context_length(config) == CONTEXT
    assert configuration.attention_backend(config) == "sdpa"
    with pytest.raises(IngestError, match=r"first error: step1 has no config\.json"):
        configuration.first_config([broken])


def test_what_is_no_language_model_is_refused() -> None:
    with pytest.raises(IngestError, match="describes a t5, which transformers cannot load"):
        configuration.attention_backend(T5Config())
    assert configuration.context_length(T5Config()) is None
    assert configuration.context_length(LlamaConfig(max_position_embeddings=77)) == 77


def test_the_tokenizer_is_the_named_one_else_the_first_found(tmp_path: Path) -> None:
    checkpoint = saved(tmp_path / "run")
    with pytest.raises(IngestError, match=r"no tokenizer in .*run or .*--tokenizer"):
        load_tokenizer(tmp_path / "run", [checkpoint], None)
    byte_level().save_pretrained(checkpoint.path)
    metaspace().save_pretrained(tmp_path / "other")
    found = load_tokenizer(tmp_path / "run", [checkpoint], None)
    named = load_tokenizer(tmp_path / "run", [checkpoint], str(tmp_path / "other"))
    assert (len(found), len(named)) == (len(byte_level()), len(metaspace()))
    assert tokenizer_sha256(found) == tokenizer_sha256(byte_level())
    assert tokenizer_sha256(found) != tokenizer_sha256(named)


@pytest.mark.parametrize("content", ["", "{", json.dumps({"model": {"type": "Nothing"}})])
def test_a_damaged_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(IngestError, match=r"the tokenizer in .* cannot be loaded"):
        load_tokenizer(tmp_path, [], None)

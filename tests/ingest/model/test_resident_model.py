"""Weights put into the resident model give what a model built from them gives, or it is built."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from ingest.errors import CheckpointError
from ingest.model.resident_model import ResidentModel, load_model
from ingest.model.snapshots import model_digest
from ingest.sources.checkpoint_files import weights_sha256
from ingest.sources.prefetch import read_weights
from ingest.sources.revisions import Checkpoint
from tests.architectures import tiny_model
from tests.ingest.model.test_heads import SIZES, gemma2
from tests.ingest.model.test_kernel import scored, some_windows
from tests.ingest.model.test_models import change
from tests.models import CONTEXT, tiny


def tied_llama() -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(**SIZES, tie_word_embeddings=True)).eval()


def untied_gpt2() -> PreTrainedModel:
    model = tiny("gpt2")
    config = model.config
    config.tie_word_embeddings = False
    return type(model)(config).eval()


MAKERS = {
    "gpt2, tied": lambda: tiny("gpt2"),
    "gpt2, untied": untied_gpt2,
    "neox": lambda: tiny("neox"),
    "llama, untied": lambda: tiny("llama"),
    "llama, tied": tied_llama,
    "gemma 2": gemma2,
}


def in_one_file(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder)


def in_shards(model: PreTrainedModel, folder: Path) -> None:
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 1


def pickled(model: PreTrainedModel, folder: Path) -> None:
    model.config.save_pretrained(folder)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")


def in_half_precision(model: PreTrainedModel, folder: Path) -> None:
    model.bfloat16().save_pretrained(folder)


def without_prefix(model: PreTrainedModel, folder: Path) -> None:
    """As GPT-2's own repository has it: the weights of the base model alone, and old buffers."""
    model.config.save_pretrained(folder)
    prefix = f"{model.base_model_prefix}."
    weights = {k.removeprefix(prefix): v.clone() for k, v in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    weights["h.0.attn.bias"] = torch.ones(1)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


SAVED = [in_one_file, in_shards, pickled, in_half_precision, without_prefix]


def made(maker: Any, save: Any, root: Path) -> list[Checkpoint]:
    """Three checkpoints of random weights."""
    checkpoints = []
    for step in (1, 2, 3):
        model = maker()
        torch.manual_seed(step)
        with torch.no_grad():
            for weight in model.parameters():
                weight.copy_(torch.randn_like(weight) * 0.3)
        (root / f"step{step}").mkdir(parents=True)
        save(model, root / f"step{step}")
        checkpoints.append(Checkpoint(step, f"step{step}", root / f"step{step}", step))
    return checkpoints


@pytest.mark.parametrize("save", SAVED)
@pytest.mark.parametrize("name", MAKERS)
def test_put_in_place_and_built_anew_give_the_very_same_losses(
    tmp_path: Path, name: str, save: Callable[..., Any]
) -> None:
    resident, windows = ResidentModel("float32", "cpu"), some_windows([CONTEXT, 9])
    seen = []
    for checkpoint in made(MAKERS[name], save, tmp_path):
        built = load_model(checkpoint, "float32", "cpu")
        loaded = resident.load(read_weights(checkpoint))
        assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in built.state_dict().items())
        losses = scored(loaded, windows)
        fresh = ResidentModel("float32", "cpu").load(read_weights(checkpoint))
        assert (losses == scored(fresh, windows)).all()
        assert abs(losses - scored(built, windows)).max() < 1e-5
        seen.append(losses)
    assert abs(seen[0] - seen[1]).max() > 0.1
    assert resident.built == 1


NORM = "transformer.h.1.ln_2.weight"
FAULTS = {
    "missing": (lambda w: w.pop(NORM), "1 missing weights"),
    "extra": (lambda w: w.update(value_head=torch.ones(1)), "1 extra weights"),
    "misshapen": (lambda w: w.update({NORM: torch.ones(3)}), "cannot be loaded|1 misshapen"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_refused_as_ever_and_the_next_is_put_in_place(
    tmp_path: Path, fault: str
) -> None:
    how, reason = FAULTS[fault]
    first, second, third = made(MAKERS["gpt2, tied"], in_one_file, tmp_path)
    resident = ResidentModel("float32", "cpu")
    resident.load(read_weights(first))
    with pytest.raises(CheckpointError, match=reason):
        resident.load(read_weights(change(second, how)))
    expected = load_model(third, "float32", "cpu").state_dict()
    loaded = resident.load(read_weights(third)).state_dict()
    assert resident.built == 1
    assert all(torch.equal(v, loaded[k]) for k, v in expected.items())


def untie(checkpoint: Checkpoint) -> None:
    """Both names of a tied weight with two values: transformers then does not tie them."""
    change(checkpoint, lambda w: w.update({"lm_head.weight": w["transformer.wte.weight"] * 2}))


def rescale(checkpoint: Checkpoint) -> None:
    path = checkpoint.path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "scale_attn_weights": False}))


def drop_prefix(checkpoint: Checkpoint) -> None:
    path = checkpoint.path / "model.safetensors"
    weights = {k.removeprefix("transformer."): v for k, v in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize("unusual", [untie, rescale, drop_prefix])
def test_what_is_unusual_is_built_anew(tmp_path: Path, unusual: Callable[..., Any]) -> None:
    first, second, third = made(MAKERS["gpt2, tied"], in_one_file, tmp_path)
    resident, windows = ResidentModel("float32", "cpu"), some_windows([CONTEXT])
    plain = scored(resident.load(read_weights(second)), windows)
    unusual(second)
    for checkpoint in (first, second, third):
        built = load_model(checkpoint, "float32", "cpu")
        losses = scored(resident.load(read_weights(checkpoint)), windows)
        assert abs(losses - scored(built, windows)).max() < 1e-5
        if checkpoint is second and unusual is not drop_prefix:
            assert abs(losses - plain).max() > 1e-3
    assert resident.built == 3


def test_a_model_that_stands_needs_no_file_any_more(tmp_path: Path) -> None:
    first, second, _ = made(MAKERS["gpt2, tied"], in_one_file, tmp_path)
    resident = ResidentModel("float32", "cpu")
    for checkpoint in (first, second):
        resident.load(read_weights(checkpoint))
        assert str(checkpoint.path) not in Path("/proc/self/maps").read_text()


def test_reading_says_the_digest_and_leaves_damage_to_loading(tmp_path: Path) -> None:
    (checkpoint, *_) = made(MAKERS["gpt2, tied"], in_shards, tmp_path)
    assert read_weights(checkpoint).weights_sha256 == weights_sha256(checkpoint.path)
    shard = min(checkpoint.path.glob("*.safetensors"))
    shutil.copy(shard, checkpoint.path / "model-99998-of-99999.safetensors")
    assert read_weights(checkpoint).tensors is None
    shard.write_bytes(b"no weights")
    assert read_weights(checkpoint).tensors is None
    for path in checkpoint.path.glob("*.safetensors"):
        path.unlink()
    assert read_weights(checkpoint).weights_sha256 is None


OLD_BUFFERS = {
    "gpt_neo": [
        "transformer.h.0.attn.attention.masked_bias",
        "transformer.h.0.attn.attention.bias",
    ],
    "gptj": ["transformer.h.0.attn.masked_bias", "transformer.h.0.attn.embed_positions"],
    "codegen": ["transformer.h.0.attn.causal_mask"],
    "xglm": ["model.embed_positions.weights", "model.embed_positions._float_tensor"],
    "llama": ["model.layers.0.self_attn.rotary_emb.inv_freq"],
    "stablelm": ["model.layers.0.self_attn.rotary_emb.cos_cached"],
}


@pytest.mark.parametrize("architecture", OLD_BUFFERS)
def test_computed_buffers_in_old_pickles_are_left_out_and_the_rest_is_put_in_place(
    tmp_path: Path, architecture: str
) -> None:
    checkpoints = made(lambda: tiny_model(architecture), pickled, tmp_path)
    plain = [load_model(c, "float32", "cpu").state_dict() for c in checkpoints]
    expected = [{k: v.clone() for k, v in each.items()} for each in plain]  # not the file's memory
    resident = ResidentModel("float32", "cpu")
    for checkpoint, wanted in zip(checkpoints, expected, strict=True):
        path = checkpoint.path / "pytorch_model.bin"
        weights = torch.load(path) | {n: torch.ones(1) for n in OLD_BUFFERS[architecture]}
        torch.save(weights, path)
        loaded = resident.load(read_weights(checkpoint)).state_dict()
        assert all(torch.equal(v, loaded[k]) for k, v in wanted.items())
    assert resident.built == 1


@pytest.mark.parametrize(("architecture", "built"), [("rwkv", 3), ("gpt_neo", 1)])
def test_a_model_that_changes_itself_is_built_for_each_checkpoint(
    tmp_path: Path, architecture: str, built: int
) -> None:
    checkpoints = made(lambda: tiny_model(architecture), in_one_file, tmp_path)
    resident = ResidentModel("float32", "cpu")
    for checkpoint in checkpoints:
        scored(resident.load(read_weights(checkpoint)), some_windows([CONTEXT]))
    assert resident.built == built


def test_after_an_exception_in_a_forward_the_model_is_built_again(tmp_path: Path) -> None:
    first, second, _ = made(MAKERS["gpt2, tied"], in_one_file, tmp_path)
    resident = ResidentModel("float32", "cpu")
    resident.load(read_weights(first))
    resident.distrust()
    resident.load(read_weights(second))
    assert resident.built == 2


@pytest.mark.parametrize("what", ["parameter", "buffer", "flag", "tensor in an attribute"])
def test_the_digest_covers_all_that_a_forward_may_change(what: str) -> None:
    model = tiny("neox")
    layer = model.base_model.layers[0]
    layer.counter, layer.table = 0, torch.zeros(3)
    before = model_digest(model)
    assert model_digest(model) == before
    if what == "parameter":
        next(layer.parameters()).data[0] /= 2
    elif what == "buffer":
        next(model.buffers())[0] += 1
    elif what == "flag":
        layer.counter = 1
    else:
        layer.table[1] = 1
    assert model_digest(model) != before

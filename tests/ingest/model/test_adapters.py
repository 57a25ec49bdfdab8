"""Adapters are merged into their base where peft is installed; other layouts are named."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from ingest.plan import make_plan, warnings
from ingest.sources.revisions import Naming
from ingest.sources.selection import Selection
from store.layout import Layout
from tests.ingest.conftest import Ingest
from tests.models import save_run, tiny

without_peft = pytest.mark.skipif(find_spec("peft") is not None, reason="peft is installed")
RANK, WIDTH = 2, 16


def adapter_config(base: Path) -> dict[str, object]:
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": str(base),
        "r": RANK,
        "lora_alpha": 4,
        "target_modules": ["q_proj"],
    }


def adapter_weights(seed: int) -> dict[str, torch.Tensor]:
    """Of the queries in both layers of a tiny Llama."""
    torch.manual_seed(seed)
    weights = {}
    for layer in (0, 1):
        name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
        weights[f"{name}.lora_A.weight"] = torch.randn(RANK, WIDTH)
        weights[f"{name}.lora_B.weight"] = torch.randn(WIDTH, RANK)
    return weights


def save_adapters(root: Path, tokenizer: PreTrainedTokenizerFast, with_config: bool) -> Path:
    """Three adapters of one base, as peft's Trainer saves them, and the base."""
    base = root / "base"
    model = tiny("llama", len(tokenizer))
    model.save_pretrained(base)
    for step in (1, 2, 3):
        folder = root / "run" / f"checkpoint-{step}"
        tokenizer.save_pretrained(folder)
        (folder / "adapter_config.json").write_text(json.dumps(adapter_config(base)))
        save_file(adapter_weights(step), folder / "adapter_model.safetensors")
        if with_config:
            model.config.save_pretrained(folder)
    return root / "run"


def save_merged(root: Path, tokenizer: PreTrainedTokenizerFast) -> Path:
    """The same, merged by hand: W + alpha / r B A."""
    for step in (1, 2, 3):
        model = tiny("llama", len(tokenizer))
        model.load_state_dict(load_file(root / "base" / "model.safetensors"), strict=False)
        weights = adapter_weights(step)
        for layer in (0, 1):
            name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
            added = weights[f"{name}.lora_B.weight"] @ weights[f"{name}.lora_A.weight"]
            model.model.layers[layer].self_attn.q_proj.weight.data += 4 / RANK * added
        model.save_pretrained(root / "merged" / f"checkpoint-{step}")
        tokenizer.save_pretrained(root / "merged" / f"checkpoint-{step}")
    return root / "merged"


@pytest.mark.parametrize("with_config", [True, False])
def test_an_adapter_is_scored_as_the_merged_model(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast, text: Path, with_config: bool
) -> None:
    pytest.importorskip("peft")
    adapters = save_adapters(tmp_path, bpe, with_config)
    merged = save_merged(tmp_path, bpe)
    assert ingest("run", adapters, "--text", text, "--store", tmp_path / "a").status == 0
    assert ingest("run", merged, "--text", text, "--store", tmp_path / "m").status == 0
    for step in (1, 2, 3):
        one, two = (
            pq.read_table(Layout(tmp_path / s).loss_file(step))["loss"].to_numpy() for s in "am"
        )
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-4)


@without_peft
@pytest.mark.parametrize("with_config", [True, False])
def test_without_peft_an_adapter_is_named_and_what_to_do_is_said(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast, text: Path, with_config: bool
) -> None:
    adapters = save_adapters(tmp_path, bpe, with_config)
    ended = ingest("run", adapters, "--text", text, "--store", tmp_path / "s")
    assert ended.status == (1 if with_config else 2)
    assert f"checkpoint-1 is an adapter (LORA) of {tmp_path / 'base'}: merge it" in ended.error
    assert "or install peft" in ended.error


def test_whole_weights_beside_an_adapter_are_not_chosen_silently(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast, text: Path
) -> None:
    source = save_run(tmp_path / "run", bpe, [1, 2])
    (source / "checkpoint-2" / "adapter_config.json").write_text(json.dumps(adapter_config(source)))
    ended = ingest("run", source, "--text", text, "--store", tmp_path / "s")
    assert ended.error.startswith("failed: checkpoint-2 holds whole weights and an adapter")


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq"])
def test_a_quantised_checkpoint_without_its_package_is_named(
    tmp_path: Path, ingest: Ingest, bpe: PreTrainedTokenizerFast, text: Path, method: str
) -> None:
    source = save_run(tmp_path / "run", bpe, [1, 2])
    path = source / "checkpoint-2" / "config.json"
    quantised = {"quant_method": method, "bits": 4, "load_in_4bit": True}
    path.write_text(json.dumps({**json.loads(path.read_text()), "quantization_config": quantised}))
    ended = ingest("run", source, "--text", text, "--store", tmp_path / "s")
    assert ended.status == 1
    assert ended.error.startswith(f"failed: checkpoint-2 is quantised ({method}) and cannot be")
    assert "copy the checkpoint again" not in ended.error


LAYOUTS = {
    "pytorch_model_fsdp_0/__0_0.distcp": "FSDP or DCP",
    "__0_0.distcp": "FSDP or DCP",
    "global_step10/mp_rank_00_model_states.pt": "DeepSpeed",
    "mp_rank_00/model_optim_rng.pt": "Megatron-LM",
    "model-q4.gguf": "GGUF",
    "consolidated.00.pth": "Meta's own layout",
    "model.pt": "OLMo's own trainer",
    "adapter_model.safetensors": "an adapter without its adapter_config.json",
}


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("with_config", [True, False])
def test_another_layout_is_named_in_plan_and_run(
    tmp_path: Path,
    ingest: Ingest,
    bpe: PreTrainedTokenizerFast,
    text: Path,
    name: str,
    with_config: bool,
) -> None:
    source = save_run(tmp_path / "run", bpe, [1])
    model = source / "checkpoint-1" / "model.safetensors"
    other = source / "checkpoint-1" / name
    other.parent.mkdir(exist_ok=True)
    model.rename(other)
    if not with_config:
        (source / "checkpoint-1" / "config.json").unlink()
    ended = ingest("run", source, "--text", text, "--store", tmp_path / "s")
    assert ended.status == (1 if with_config else 2)
    assert "checkpoint-1 has no weights that transformers loads, it is" in ended.error
    assert LAYOUTS[name] in ended.error
    assert LAYOUTS[name] in "\n".join(warnings(make_plan(source, Naming(), Selection())))

"""Heads that do more than a product are recognised, and their losses are the model's."""

import numpy as np
import pytest
import torch
from transformers import (
    CohereConfig,
    CohereForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
)

from ingest.model import softmax
from ingest.model.kernel import plain_head
from tests.ingest.model.test_kernel import LENGTHS, VOCABULARY, scored, some_windows
from tests.ingest.support.by_hand import losses_by_hand
from tests.models import CONTEXT, FAMILIES, tiny

SIZES = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 32,
    "vocab_size": VOCABULARY,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.3,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


def gemma2(**more: object) -> PreTrainedModel:
    """Its logits are capped at 30."""
    torch.manual_seed(0)
    return Gemma2ForCausalLM(Gemma2Config(**SIZES, head_dim=8, **more)).eval()


def more_than_a_product() -> dict[str, PreTrainedModel]:
    torch.manual_seed(0)
    small = gemma2(final_logit_softcapping=30.0)
    for weight in small.parameters():  # its logits are far below the cap, as at the first step
        weight.data *= 0.03
    return {
        "gemma 2": gemma2(),
        "gemma 2, hardly trained": small,
        "cohere": CohereForCausalLM(CohereConfig(**SIZES)).eval(),
        "granite": GraniteForCausalLM(GraniteConfig(**SIZES, logits_scaling=4.0)).eval(),
    }


SPECIAL = more_than_a_product()


def plain() -> dict[str, PreTrainedModel]:
    torch.manual_seed(0)
    phi = PhiForCausalLM(PhiConfig(**SIZES)).eval()
    torch.nn.init.normal_(phi.lm_head.bias)
    uncapped = gemma2(final_logit_softcapping=None)
    return {
        "phi, with a bias": phi,
        "gemma 2, uncapped": uncapped,
        **{f: tiny(f, VOCABULARY) for f in FAMILIES},
    }


PLAIN = plain()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_caps_and_scales_are_seen_whatever_the_weights(dtype: torch.dtype) -> None:
    for window in some_windows([2, CONTEXT]):
        for name, model in SPECIAL.items():
            assert plain_head(model.to(dtype), window) is None, name
        for name, model in PLAIN.items():
            assert plain_head(model.to(dtype), window) is model.get_output_embeddings(), name
    for model in (*SPECIAL.values(), *PLAIN.values()):
        model.to(torch.float32)


@pytest.mark.parametrize("block", [(1, 1), (7, VOCABULARY - 1), (softmax.ROWS, softmax.TYPES)])
@pytest.mark.parametrize("name", [*SPECIAL, *PLAIN])
def test_losses_are_those_of_the_full_forward_whatever_the_blocks(
    monkeypatch: pytest.MonkeyPatch, name: str, block: tuple[int, ...]
) -> None:
    monkeypatch.setattr(softmax, "ROWS", block[0])
    monkeypatch.setattr(softmax, "TYPES", block[1])
    model = {**SPECIAL, **PLAIN}[name]
    windows = some_windows([9, 2, 5] if block == (1, 1) else LENGTHS)  # such blocks are slow
    expected = np.concatenate([losses_by_hand(model, w.tolist()) for w in windows])
    np.testing.assert_allclose(scored(model, windows), expected, rtol=0, atol=1e-4)


def test_a_plain_head_is_left_as_it_was() -> None:
    model = tiny("gpt2", VOCABULARY)
    plain_head(model, some_windows([9])[0])
    assert not model.get_output_embeddings()._forward_hooks


def test_a_token_that_the_head_does_not_have_is_an_error_and_no_loss() -> None:
    model = tiny("gpt2", VOCABULARY)
    window = np.append(some_windows([9])[0], VOCABULARY)  # the last of a window is never embedded
    with pytest.raises(IndexError, match="is not among"):
        scored(model, [window])

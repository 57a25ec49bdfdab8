"""Losses equal what was computed by hand, whatever the batches."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel, PreTrainedModel

from ingest.model.kernel import looks_ahead, token_losses
from ingest.model.memory import Budget
from tests.ingest.support.by_hand import losses_by_hand
from tests.models import CONTEXT, FAMILIES, tiny

VOCABULARY = 320
MODELS = {family: tiny(family, VOCABULARY) for family in FAMILIES}


def some_windows(lengths: list[int], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(VOCABULARY, size=n) for n in lengths]


def scored(model: PreTrainedModel, windows: list[np.ndarray], budget: int = 4_096) -> np.ndarray:
    return token_losses(model, windows, Budget(budget))


LENGTHS = [CONTEXT, 2, 7, CONTEXT, 31, 3, 2, 16, CONTEXT, 9]


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_equal_those_computed_one_doc_at_a_time(family: str) -> None:
    windows = some_windows(LENGTHS)
    expected = np.concatenate([losses_by_hand(MODELS[family], w.tolist()) for w in windows])
    assert expected.std() > 0.5
    np.testing.assert_allclose(scored(MODELS[family], windows), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_their_mean_is_the_loss_that_the_model_gives_for_labels(family: str) -> None:
    window = some_windows([CONTEXT])[0]
    ids = torch.tensor(window[None])
    theirs = MODELS[family](input_ids=ids, labels=ids).loss.item()
    assert scored(MODELS[family], [window]).mean() == pytest.approx(theirs, abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_head_of_zeros_gives_the_logarithm_of_the_vocabulary(family: str) -> None:
    model = tiny(family, VOCABULARY)
    torch.nn.init.zeros_(model.get_output_embeddings().weight)
    losses = scored(model, some_windows(LENGTHS))
    np.testing.assert_allclose(losses, math.log(VOCABULARY), rtol=0, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(2, CONTEXT), min_size=1, max_size=12),
    budget=st.integers(1, 200),
    seed=st.integers(0, 99),
)
def test_batch_size_order_and_padding_change_no_loss(
    family: str, lengths: Any, budget: Any, seed: Any
) -> None:
    model, windows = MODELS[family], some_windows(lengths, seed)
    alone = [scored(model, [w]) for w in windows]
    np.testing.assert_allclose(
        scored(model, windows, budget), np.concatenate(alone), rtol=0, atol=1e-5
    )
    order = np.random.default_rng(seed).permutation(len(windows))
    np.testing.assert_allclose(
        scored(model, [windows[i] for i in order], budget),
        np.concatenate([alone[i] for i in order]),
        rtol=0,
        atol=1e-5,
    )


def test_a_batch_holds_no_more_tokens_than_allowed_unless_one_window_does() -> None:
    seen = []
    model = tiny("gpt2", VOCABULARY)
    model.base_model.register_forward_pre_hook(
        lambda _, given, kwargs: seen.append((*given, kwargs.get("input_ids"))[0].shape),
        with_kwargs=True,
    )
    scored(model, some_windows([20, 20, 20, 5, 5, 5, 5]), budget=40)
    assert [(lines, length + 1) for lines, length in seen[2:]] == [(2, 20), (2, 20), (3, 5)]
    seen.clear()
    scored(model, some_windows([20, 20]), budget=1)
    assert len(seen[2:]) == 2


def test_in_half_precision_head_and_softmax_are_widened() -> None:
    windows = some_windows([CONTEXT] * 4)
    half = tiny("gpt2", VOCABULARY).bfloat16()
    with torch.no_grad():
        hidden = half.transformer(torch.tensor(np.stack(windows))[:, :-1])[0].double()
        logits = hidden @ half.lm_head.weight.double().T
    log_p = torch.log_softmax(logits, dim=-1)
    expected = [-log_p[i, j, w[j + 1]] for i, w in enumerate(windows) for j in range(len(w) - 1)]
    np.testing.assert_allclose(scored(half, windows), np.array(expected), rtol=0, atol=1e-4)


def test_attention_scaled_by_layer_is_computed_as_the_plain_way_computes_it() -> None:
    """Mistral's GPT-2s ask for it; transformers before 5.4 forgot it in its default attention."""
    torch.manual_seed(0)
    config = GPT2Config(
        n_embd=16,
        n_layer=3,
        n_head=2,
        n_positions=CONTEXT,
        vocab_size=VOCABULARY,
        initializer_range=0.3,
        scale_attn_by_inverse_layer_idx=True,
        reorder_and_upcast_attn=True,
    )
    model = GPT2LMHeadModel(config).eval()
    windows = some_windows([CONTEXT] * 2)
    ours = scored(model, windows)
    model.set_attn_implementation("eager")
    np.testing.assert_allclose(ours, scored(model, windows), rtol=0, atol=1e-4)
    for block in model.transformer.h:
        block.attn.scaling = block.attn.head_dim**-0.5
    assert np.abs(ours - scored(model, windows)).max() > 1e-2


def test_an_encoder_is_told_from_a_model_that_reads_from_left_to_right() -> None:
    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": VOCABULARY,
    }
    encoder = BertLMHeadModel(BertConfig(**sizes)).eval()
    decoder = BertLMHeadModel(BertConfig(**sizes, is_decoder=True)).eval()
    for window in some_windows([2, 5, CONTEXT]):
        assert looks_ahead(encoder, window)
        assert not looks_ahead(decoder, window)
        assert not any(looks_ahead(model, window) for model in MODELS.values())
        assert not any(looks_ahead(tiny(f, VOCABULARY).bfloat16(), window) for f in FAMILIES)

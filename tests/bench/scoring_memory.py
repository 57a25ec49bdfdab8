"""Peak memory of scoring, in addition to the model's, without a limit on the batch's memory."""

import multiprocessing
import multiprocessing.connection
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
)

from ingest.model.kernel import token_losses
from ingest.model.memory import Budget

LIMIT = 1.0  # GB, for GPT-2's shape


@dataclass(frozen=True)
class Shape:
    """What the memory depends on."""

    vocabulary: int
    context: int
    layers: int
    width: int


GPT2 = Shape(50_257, 1_024, 12, 768)
SMALL = Shape(2_000, 128, 2, 128)


def show(shape: Shape) -> None:
    """Print gigabytes for a plain head and for one with capped logits, a process for each."""
    context = multiprocessing.get_context("spawn")
    limit = f" (at most {LIMIT} expected)" if shape == GPT2 else ""
    for name, measured in (("GPT-2", _gpt2), ("Gemma 2, capped logits", _gemma)):
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_measure, args=(measured, shape, sending))
        process.start()
        beyond = receiving.recv()
        process.join()
        print(f"peak memory of scoring, {name}: model + {beyond:.2f} GB{limit}")


def _measure(
    make: Callable[[Shape], PreTrainedModel],
    shape: Shape,
    sending: "multiprocessing.connection.Connection[float, float]",
) -> None:
    torch.manual_seed(0)
    model = make(shape).eval()
    rng = np.random.default_rng(0)
    windows = [rng.integers(shape.vocabulary, size=shape.context) for _ in range(8)]
    token_losses(model, [windows[0][:4]])  # what the libraries allocate once is not counted
    before = _status("VmRSS")
    token_losses(model, windows, Budget(10**12))
    sending.send((_status("VmHWM") - before) / 1e9)


def _gpt2(shape: Shape) -> PreTrainedModel:
    heads = shape.width // 64
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=shape.vocabulary, n_layer=shape.layers, n_embd=shape.width, n_head=heads
        )
    )


def _gemma(shape: Shape) -> PreTrainedModel:
    return Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=shape.vocabulary,
            hidden_size=256,
            intermediate_size=1_024,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=64,
            pad_token_id=0,
        )
    )


def _status(name: str) -> int:
    """Bytes. Not getrusage's peak, which a process inherits from its parent."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(x.split()[1]) * 1_024 for x in lines if x.startswith(f"{name}:"))

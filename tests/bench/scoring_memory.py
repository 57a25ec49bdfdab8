"""Peak memory of scoring beyond the model, at GPT-2's vocabulary and context, without a budget."""

import multiprocessing
import multiprocessing.connection
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

VOCABULARY, CONTEXT = 50_257, 1_024
LIMIT = 1.0  # GB


def show() -> None:
    """Print gigabytes for a plain head and for one that caps its logits; each in its process."""
    context = multiprocessing.get_context("spawn")
    for name in ("GPT-2 small", "Gemma 2, capped, small"):
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_measure, args=(name, sending))
        process.start()
        beyond = receiving.recv()
        process.join()
        print(f"peak memory of scoring, {name}: model + {beyond:.2f} GB (at most {LIMIT} asked)")


def _measure(name: str, sending: "multiprocessing.connection.Connection") -> None:
    torch.manual_seed(0)
    model = _model(name).eval()
    rng = np.random.default_rng(0)
    windows = [rng.integers(VOCABULARY, size=CONTEXT) for _ in range(8)]
    for _ in token_losses(model, [windows[0][:4]]):
        pass  # so that what libraries need once is not counted
    before = _status("VmRSS")
    for _ in token_losses(model, windows, Budget(10**12)):
        pass
    sending.send((_status("VmHWM") - before) / 1e9)


def _model(name: str) -> PreTrainedModel:
    if name == "GPT-2 small":
        return GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY))
    return Gemma2ForCausalLM(
        Gemma2Config(
            vocab_size=VOCABULARY,
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
    """Bytes; not getrusage's peak, which a process has from the one that started it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(x.split()[1]) * 1_024 for x in lines if x.startswith(f"{name}:"))

"""Train the demo's small GPT-2 from scratch and save its checkpoints in Hugging Face's layout.

Repeats are planted in the training windows, which makes copying worth learning in a small budget.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from ingest.demo.muon import Muon

CONTEXT = 512
PLANTS = 3  # repeats per window
SHORTEST = 16  # tokens


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the run. On one machine, the same recipe gives the same weights."""

    steps: int = 3_000
    batch: int = 16
    seed: int = 0
    muon_rate: float = 0.03
    adam_rate: float = 4e-3
    warm_up: int = 100
    threads: int = 2


def saved_steps(last: int) -> list[int]:
    """Steps to save: dense in log step at first, then densest at the phase changes."""
    early = [0, 1, 2, 4, 8, 16, 32, 64, 100, 150, 200, 300]
    steps = [
        *early,
        *range(400, 700, 20),  # continuation tokens fall by a nat
        *range(700, 1_000, 40),
        *range(1_000, 1_800, 20),  # copying forms, and the loss spikes
        *range(1_800, 2_000, 40),
        *range(2_000, last + 1, 50),
    ]
    return sorted({s for s in steps if s <= last} | {last})


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> GPT2LMHeadModel:
    """Two layers, width 128, four heads, no dropout. An init of 0.02 is too small at this width."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=128,
        n_layer=2,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        initializer_range=0.08,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return GPT2LMHeadModel(config)


def build_optimizers(model: GPT2LMHeadModel, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """Muon for the matrices inside the blocks, AdamW for all other weights."""
    blocks = list(model.transformer.h.parameters())
    matrices = [p for p in blocks if p.ndim == 2]
    inside = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in inside]
    return [
        Muon(matrices, lr=recipe.muon_rate, weight_decay=0.01),
        torch.optim.AdamW(rest, lr=recipe.adam_rate, betas=(0.9, 0.98), weight_decay=0.0),
    ]


def rate_factor(step: int, recipe: Recipe) -> float:
    """Share of the peak learning rate: linear warm-up, then a cosine down to a tenth."""
    if step < recipe.warm_up:
        return (step + 1) / recipe.warm_up
    done = (step - recipe.warm_up) / max(1, recipe.steps - recipe.warm_up)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))


@dataclass(frozen=True)
class Repeat:
    """A span of a window that was copied to a later index in it."""

    first: int
    second: int
    length: int


def sample_windows(
    stream: np.ndarray, batch: int, length: int, bos: int, rng: np.random.Generator
) -> np.ndarray:
    """Windows int64 (batch, length + 1): the BOS, then `length` tokens from a random offset."""
    offsets = rng.integers(0, len(stream) - length, size=batch)
    tokens = stream[offsets[:, None] + np.arange(length)]
    return np.concatenate([np.full((batch, 1), bos), tokens], axis=1)


def plant_repeat(window: np.ndarray, rng: np.random.Generator) -> Repeat:
    """Copy a span of 16 to length/3 tokens to a random later index of `window`, in place."""
    size = len(window)
    length = int(rng.integers(SHORTEST, size // 3 + 1))
    first = int(rng.integers(1, size - 2 * length))
    second = int(rng.integers(first + length, size - length + 1))
    window[second : second + length] = window[first : first + length]
    return Repeat(first, second, length)


def training_batch(
    stream: np.ndarray, batch: int, length: int, bos: int, rng: np.random.Generator
) -> np.ndarray:
    """A batch to train on, int64 (batch, length + 1), with three planted repeats per window."""
    windows = sample_windows(stream, batch, length, bos, rng)
    for window in windows:
        for _ in range(PLANTS):
            plant_repeat(window, rng)
    return windows


def training_loss(model: GPT2LMHeadModel, windows: torch.Tensor) -> torch.Tensor:
    """Mean loss (nats) over a batch int64 (batch, length + 1)."""
    logits = model(windows[:, :-1], use_cache=False).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())


def save_checkpoint(
    model: GPT2LMHeadModel, tokenizer: PreTrainedTokenizerFast, folder: Path, step: int
) -> None:
    """Write `folder/checkpoint-{step}`, weights in float16 so that the bundle stays small."""
    target = folder / f"checkpoint-{step}"
    copy = GPT2LMHeadModel(model.config)
    copy.load_state_dict(model.state_dict())
    copy.half().save_pretrained(target)
    tokenizer.save_pretrained(target)


def train(
    stream: np.ndarray, tokenizer: PreTrainedTokenizerFast, recipe: Recipe, folder: Path
) -> Iterator[tuple[int, float]]:
    """Run the recipe and save checkpoints in `folder`. Yields (step, training loss) per step.

    Checkpoint N is the model after N updates. About 0.8 s a step on two cores.
    """
    torch.set_num_threads(recipe.threads)
    torch.use_deterministic_algorithms(True)
    model = build_model(tokenizer, recipe.seed)
    optimizers = build_optimizers(model, recipe)
    rng = np.random.default_rng(recipe.seed)
    bos = int(tokenizer.bos_token_id)
    save_at = set(saved_steps(recipe.steps))
    save_checkpoint(model, tokenizer, folder, 0)
    progress = tqdm(range(recipe.steps), unit="step", desc="training")
    for step in progress:
        windows = torch.from_numpy(training_batch(stream, recipe.batch, CONTEXT, bos, rng))
        loss = _update(model, optimizers, windows, rate_factor(step, recipe))
        progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
        if step + 1 in save_at:
            save_checkpoint(model, tokenizer, folder, step + 1)
        yield step + 1, loss


def _update(
    model: GPT2LMHeadModel,
    optimizers: list[torch.optim.Optimizer],
    windows: torch.Tensor,
    factor: float,
) -> float:
    loss = training_loss(model, windows)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            peak = group.setdefault("peak", group["lr"])
            group["lr"] = peak * factor
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())

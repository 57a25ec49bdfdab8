"""The loss kernel: a model and windows of tokens -> the loss of every predicted token, in nats."""

from collections.abc import Iterator

import numpy as np
import torch
from transformers import PreTrainedModel

# Logits of one batch stay below half a gigabyte of float32.
_LOGITS_LIMIT = 2**27


def token_losses(
    model: PreTrainedModel, windows: list[np.ndarray], batch_tokens: int = 4_096
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (rows int64 (n,), losses float32 (n,)) batch by batch, until every row is scored.

    Each window is int64 (length,); token i + 1 is predicted from tokens 0 … i, so a window has
    length - 1 rows, and rows count through the windows in order. `batch_tokens` bounds the
    tokens of a batch, padding included. Windows are batched by length, longest first.
    """
    first_row = np.cumsum([0, *(len(w) - 1 for w in windows)])
    budget = min(batch_tokens, _LOGITS_LIMIT // model.config.get_text_config().vocab_size)
    for batch in _batches([len(w) for w in windows], budget):
        losses = _batch_losses(model, [windows[i] for i in batch])
        rows = [np.arange(first_row[i], first_row[i + 1]) for i in batch]
        yield np.concatenate(rows), losses


@torch.inference_mode()
def looks_ahead(model: PreTrainedModel, window: np.ndarray) -> bool:
    """Whether logits depend on later tokens, as in an encoder: such losses would mean nothing.

    Two copies of the beginning of `window`, int64 (length,), differ in their last token only.
    """
    ids = torch.from_numpy(np.stack([window[:8]] * 2)).to(model.device)
    ids[1, -1] = (ids[1, -1] + 1) % model.config.get_text_config().vocab_size
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    # Mixtures of experts round differently in other company: that is no sight.
    rounding = max(1e-4, 4 * torch.finfo(model.dtype).eps)
    return bool((logits[0] - logits[1]).abs().max() > rounding * logits.abs().max())


def _batches(lengths: list[int], budget: int) -> Iterator[list[int]]:
    """Window numbers, longest first, so that each batch's first window says its padded length."""
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * lengths[batch[0]] > budget:
            yield batch
            batch = []
        batch.append(i)
    yield batch


@torch.inference_mode()
def _batch_losses(model: PreTrainedModel, windows: list[np.ndarray]) -> np.ndarray:
    """Losses float32 (rows of these windows,).

    Padding stands on the right, where a causal model never looks back at it, so it needs no
    attention mask. The logits go to float32 before the softmax: in bfloat16 a token's loss
    would be off by up to 0.07 nats.
    """
    longest = max(len(w) for w in windows)
    padded = np.zeros((len(windows), longest), dtype=np.int64)
    for line, window in zip(padded, windows, strict=True):
        line[: len(window)] = window
    ids = torch.from_numpy(padded).to(model.device)
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits.float()
    losses = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
    )
    lengths = torch.tensor([len(w) - 1 for w in windows])
    real = torch.arange(longest - 1) < lengths[:, None]
    return losses.cpu()[real.flatten()].numpy()

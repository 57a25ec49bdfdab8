"""The loss kernel: a model and windows of tokens -> the loss of every predicted token, in nats."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from ingest.heads import head_losses, logit_losses, plain_head
from ingest.memory import Budget, is_out_of_memory


def token_losses(
    model: PreTrainedModel,
    windows: list[np.ndarray],
    budget: Budget | None = None,
    first: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (rows int64 (n,), losses float32 (n,)) batch by batch, until every row is scored.

    Each window is int64 (length,); token i + 1 is predicted from tokens 0 … i, so a window has
    length - 1 rows, or length - first where `first`, int64 (windows,), says from which of its
    tokens on; rows count through the windows in order. Windows are batched by length,
    longest first. A batch that does not fit into memory is tried again in halves; where one window
    alone does not fit, what torch raised is raised.
    """
    budget = budget or Budget()
    firsts = [1] * len(windows) if first is None else first.tolist()
    first_row = np.cumsum([0, *(len(w) - f for w, f in zip(windows, firsts, strict=True))])
    lengths = [len(w) for w in windows]
    head = plain_head(model, max(windows, key=len))
    todo = sorted(range(len(windows)), key=lambda i: -lengths[i])
    refused = 0
    while todo:
        longest = lengths[todo[0]]  # which says the padded length of its batch
        batch = todo[: max(budget.fitting(model, longest, not head) // longest, 1)]
        losses = _losses_that_fit(
            model, head, [windows[i] for i in batch], [firsts[i] for i in batch]
        )
        if losses is None:
            refused = refused or len(batch) * longest
            budget.halve(len(batch) * longest)
            continue
        if refused:
            budget.notice(f"out of memory: batches of {budget.tokens:,} tokens, not {refused:,}")
            refused = 0
        yield np.concatenate([np.arange(first_row[i], first_row[i + 1]) for i in batch]), losses
        del todo[: len(batch)]


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


def _losses_that_fit(
    model: PreTrainedModel,
    head: nn.Linear | None,
    windows: list[np.ndarray],
    firsts: list[int],
) -> np.ndarray | None:
    """Losses float32 (rows of these windows,), or None where memory does not suffice for all."""
    try:
        return _batch_losses(model, head, windows, firsts)
    except Exception as error:
        if len(windows) == 1 or not is_out_of_memory(error):
            raise
    return None  # here, where the error and all that it holds is gone


@torch.inference_mode()
def _batch_losses(
    model: PreTrainedModel,
    head: nn.Linear | None,
    windows: list[np.ndarray],
    firsts: list[int],
) -> np.ndarray:
    """Losses float32 (rows of these windows,).

    Padding stands on the right, where a causal model never looks back at it, so it needs no
    attention mask.
    """
    longest = max(len(w) for w in windows)
    padded = np.zeros((len(windows), longest), dtype=np.int64)
    for line, window in zip(padded, windows, strict=True):
        line[: len(window)] = window
    ids = torch.from_numpy(padded).to(model.device)
    bounds = torch.tensor([(f, len(w)) for f, w in zip(firsts, windows, strict=True)])
    places = torch.arange(1, longest)
    real = ((places >= bounds[:, :1]) & (places < bounds[:, 1:])).flatten().to(model.device)
    targets = ids[:, 1:].flatten()
    if head is None:
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        return logit_losses(logits.flatten(0, 1), targets)[real].cpu().numpy()
    hidden = model.base_model(input_ids=ids[:, :-1], use_cache=False)[0]
    return head_losses(hidden.flatten(0, 1)[real], head, targets[real]).cpu().numpy()

"""The loss kernel: a model and windows of tokens -> the loss of every scored token, in nats.

Windows are batched by length. If the logits are a plain product of hidden states and the head's
weights, losses are computed from the hidden states, block by block, in float32; otherwise from the
full forward's logits. Logits are never held for a whole batch.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from ingest.model.memory import Budget, is_out_of_memory

# A block of logits covers this many tokens and token types: 16 MB in float32.
ROWS, TYPES = 1_024, 4_096
_PROBE_TOKENS = 8
_WIDE = 1_000.0  # logits beyond any cap


def token_losses(
    model: PreTrainedModel,
    windows: list[np.ndarray],
    budget: Budget | None = None,
    first: np.ndarray | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (rows int64 (n,), losses float32 (n,)) batch by batch, until every row is scored.

    Each window is int64 (length,). Token i + 1 is predicted from tokens 0 … i, so a window has
    length - 1 rows; or length - first if `first`, int64 (windows,), gives the index of its first
    scored token. Rows count through the windows in order. Windows are batched by length, longest
    first. A batch that does not fit into memory is retried in halves; if a single window does not
    fit, torch's error is raised.
    """
    budget = budget or Budget()
    firsts = [1] * len(windows) if first is None else first.tolist()
    first_row = np.cumsum([0, *(len(w) - f for w, f in zip(windows, firsts, strict=True))])
    lengths = [len(w) for w in windows]
    head = plain_head(model, max(windows, key=len))
    todo = sorted(range(len(windows)), key=lambda i: -lengths[i])
    refused = 0
    while todo:
        longest = lengths[todo[0]]  # the padded length of the batch
        batch = todo[: max(budget.fitting(model, longest, not head) // longest, 1)]
        losses = _losses_if_they_fit(
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


def _losses_if_they_fit(
    model: PreTrainedModel,
    head: nn.Linear | None,
    windows: list[np.ndarray],
    firsts: list[int],
) -> np.ndarray | None:
    """Losses float32 (rows of these windows,), or None if several windows exceed the memory."""
    try:
        return _batch_losses(model, head, windows, firsts)
    except Exception as error:
        if len(windows) == 1 or not is_out_of_memory(error):
            raise
    return None  # out of the handler: the error, and all memory that it refers to, is released


@torch.inference_mode()
def _batch_losses(
    model: PreTrainedModel,
    head: nn.Linear | None,
    windows: list[np.ndarray],
    firsts: list[int],
) -> np.ndarray:
    """Losses float32 (rows of these windows,).

    Padding is on the right, where a causal model never looks, so it needs no attention mask.
    """
    longest = max(len(w) for w in windows)
    padded = np.zeros((len(windows), longest), dtype=np.int64)
    for line, window in zip(padded, windows, strict=True):
        line[: len(window)] = window
    ids = torch.from_numpy(padded).to(model.device)
    bounds = torch.tensor([(f, len(w)) for f, w in zip(firsts, windows, strict=True)])
    index = torch.arange(1, longest)
    real = ((index >= bounds[:, :1]) & (index < bounds[:, 1:])).flatten().to(model.device)
    targets = ids[:, 1:].flatten()
    if head is None:
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits
        return logit_losses(logits.flatten(0, 1), targets)[real].cpu().numpy()
    hidden = model.base_model(input_ids=ids[:, :-1], use_cache=False)[0]
    return head_losses(hidden.flatten(0, 1)[real], head, targets[real]).cpu().numpy()


def head_losses(hidden: torch.Tensor, head: nn.Linear, targets: torch.Tensor) -> torch.Tensor:
    """Losses float32 (tokens,) of hidden states (tokens, width) and their targets int64 (tokens,).

    Both the product and the softmax are computed in float32; in bfloat16, a token's loss would be
    off by up to 0.07 nats. The vocabulary is processed in blocks that stay in a CPU's cache, with
    the running normaliser of Milakov and Gimelshein (2018, "Online normalizer calculation for
    softmax"), so that logits are never held for all token types. Raises IndexError for a target
    that the head does not have.
    """
    if len(targets) and int(targets.max()) >= len(head.weight):
        raise IndexError(f"token {int(targets.max())} is not among {len(head.weight):,} types")
    buffer = torch.empty(ROWS * TYPES, device=hidden.device)
    parts = zip(hidden.split(ROWS), targets.split(ROWS), strict=True)
    return torch.cat([_losses(states.float(), head, wanted, buffer) for states, wanted in parts])


def _losses(
    states: torch.Tensor, head: nn.Linear, targets: torch.Tensor, buffer: torch.Tensor
) -> torch.Tensor:
    lowest = torch.finfo(torch.float32).min  # not -inf: -inf - -inf is NaN
    highest = states.new_full((len(states),), lowest)
    total, wanted = torch.zeros_like(highest), torch.zeros_like(highest)
    for start in range(0, len(head.weight), TYPES):
        logits = _logits(states, head, slice(start, start + TYPES), buffer)
        index = targets - start
        found = logits.gather(1, index.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
        wanted = torch.where((index >= 0) & (index < logits.shape[1]), found, wanted)
        before, highest = highest, torch.maximum(highest, logits.amax(1))
        total *= (before - highest).exp_()
        total += logits.sub_(highest[:, None]).exp_().sum(1)
    return highest - wanted + total.log_()


def _logits(
    states: torch.Tensor, head: nn.Linear, types: slice, buffer: torch.Tensor
) -> torch.Tensor:
    """Logits float32 (tokens, types), in `buffer`, which the next block overwrites."""
    weight = head.weight[types].float()
    logits = buffer[: len(states) * len(weight)].view(len(states), len(weight))
    torch.mm(states, weight.T, out=logits)
    return logits if head.bias is None else logits.add_(head.bias[types].float())


def logit_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Losses float32 (tokens,) from a full forward's logits (tokens, vocabulary), of any dtype."""
    size = max(4 * ROWS * TYPES // logits.shape[1], 1)
    losses = [
        nn.functional.cross_entropy(part.float(), wanted, reduction="none")
        for part, wanted in zip(logits.split(size), targets.split(size), strict=True)
    ]
    return torch.cat(losses)


@torch.inference_mode()
def plain_head(model: PreTrainedModel, window: np.ndarray) -> nn.Linear | None:
    """The head, if logits are `head(base_model(…))` and nothing else; otherwise None.

    Models may cap or scale logits after the head (Gemma 2, Cohere, Granite), or hidden states
    before it. One full forward of the beginning of `window`, int64 (length,), detects both: the
    head must receive what the base model returns by itself, and the model must return the head's
    output unchanged. The head is made to return wide logits, which reveal a cap for any weights.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or model.base_model is model:
        return None
    # Two rows, since torch.compile would compile once more for a batch of one.
    ids = torch.from_numpy(np.stack([window[:_PROBE_TOKENS]] * 2)).to(model.device)
    received: list[torch.Tensor] = []
    returned: list[torch.Tensor] = []

    def replace(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> object:
        wide = torch.linspace(-_WIDE, _WIDE, output.numel(), device=output.device)
        received.append(inputs[0])
        returned.append(wide.view_as(output).to(output.dtype))
        return returned[-1]

    hook = head.register_forward_hook(replace)
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        hook.remove()
    if len(received) != 1 or logits.shape != returned[0].shape:
        return None
    hidden = model.base_model(input_ids=ids, use_cache=False)[0]
    unchanged = torch.equal(logits.float(), returned[0].float())
    return head if unchanged and _equal_up_to_rounding(received[0], hidden) else None


def _equal_up_to_rounding(received: torch.Tensor, hidden: torch.Tensor) -> bool:
    """Mixtures of experts may round differently in each forward."""
    if received.shape != hidden.shape:
        return False
    rounding = max(1e-4, 4 * torch.finfo(hidden.dtype).eps)
    difference = (received.float() - hidden.float()).abs().max()
    return bool(difference <= rounding * hidden.float().abs().max())


@torch.inference_mode()
def looks_ahead(model: PreTrainedModel, window: np.ndarray) -> bool:
    """Do logits depend on later tokens, as in an encoder? Such losses would mean nothing.

    Compares two copies of the beginning of `window`, int64 (length,), that differ in their last
    token only.
    """
    ids = torch.from_numpy(np.stack([window[:_PROBE_TOKENS]] * 2)).to(model.device)
    ids[1, -1] = (ids[1, -1] + 1) % model.config.get_text_config().vocab_size
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1].float()
    # Mixtures of experts round differently in another batch, which is not looking ahead.
    rounding = max(1e-4, 4 * torch.finfo(model.dtype).eps)
    return bool((logits[0] - logits[1]).abs().max() > rounding * logits.abs().max())

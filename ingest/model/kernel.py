"""The loss kernel: a model and windows of tokens -> the loss of every predicted token, in nats."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from ingest.model.memory import Budget, is_out_of_memory

# From hidden states to losses, in float32 over blocks: logits never stand for a whole batch.

# Logits that stand at once, of so many tokens and token types: 16 MB in float32.
ROWS, TYPES = 1_024, 4_096
_PROBED = 8  # tokens
_WIDE = 1_000.0  # logits beyond any cap


@torch.inference_mode()
def plain_head(model: PreTrainedModel, window: np.ndarray) -> nn.Linear | None:
    """The head, where logits are `head(base_model(…))` and nothing else; otherwise None.

    Models may cap or scale logits after the head (Gemma 2, Cohere, Granite), or hidden states
    before it. One full forward of the beginning of `window`, int64 (length,), shows both: the head
    must be given what the base model gives alone, and what it returns must leave the model as it
    is. It is made to return wide logits, on which caps show whatever the weights are.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or model.base_model is model:
        return None
    ids = torch.from_numpy(window[None, :_PROBED]).to(model.device)
    given: list[torch.Tensor] = []
    returned: list[torch.Tensor] = []

    def replace(_: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> object:
        wide = torch.linspace(-_WIDE, _WIDE, output.numel(), device=output.device)
        given.append(inputs[0])
        returned.append(wide.view_as(output).to(output.dtype))
        return returned[-1]

    hook = head.register_forward_hook(replace)
    try:
        logits = model(input_ids=ids, use_cache=False).logits
    finally:
        hook.remove()
    if len(given) != 1 or logits.shape != returned[0].shape:
        return None
    alone = model.base_model(input_ids=ids, use_cache=False)[0]
    unchanged = torch.equal(logits.float(), returned[0].float())
    return head if unchanged and _equal(given[0], alone) else None


def head_losses(hidden: torch.Tensor, head: nn.Linear, targets: torch.Tensor) -> torch.Tensor:
    """Losses float32 (tokens,) of hidden states (tokens, width) and their targets int64 (tokens,).

    Both the product and the softmax are in float32: in bfloat16 a token's loss would be off by up
    to 0.07 nats. The vocabulary is gone through in blocks that stay in a CPU's cache, with the
    running normaliser of Milakov and Gimelshein (2018, "Online normalizer calculation for
    softmax"), so that logits never stand for all token types either. Raises IndexError for a target
    that the head does not have.
    """
    if len(targets) and int(targets.max()) >= len(head.weight):
        raise IndexError(f"token {int(targets.max())} is not among {len(head.weight):,} types")
    room = torch.empty(ROWS * TYPES, device=hidden.device)
    parts = zip(hidden.split(ROWS), targets.split(ROWS), strict=True)
    return torch.cat([_losses(states.float(), head, wanted, room) for states, wanted in parts])


def _losses(
    states: torch.Tensor, head: nn.Linear, targets: torch.Tensor, room: torch.Tensor
) -> torch.Tensor:
    lowest = torch.finfo(torch.float32).min  # not infinity, which less itself is not a number
    highest = states.new_full((len(states),), lowest)
    total, wanted = torch.zeros_like(highest), torch.zeros_like(highest)
    for start in range(0, len(head.weight), TYPES):
        logits = _logits(states, head, slice(start, start + TYPES), room)
        place = targets - start
        found = logits.gather(1, place.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
        wanted = torch.where((place >= 0) & (place < logits.shape[1]), found, wanted)
        before, highest = highest, torch.maximum(highest, logits.amax(1))
        total *= (before - highest).exp_()
        total += logits.sub_(highest[:, None]).exp_().sum(1)
    return highest - wanted + total.log_()


def _logits(
    states: torch.Tensor, head: nn.Linear, types: slice, room: torch.Tensor
) -> torch.Tensor:
    """Logits float32 (tokens, types) in `room`, which each block writes over."""
    weight = head.weight[types].float()
    logits = room[: len(states) * len(weight)].view(len(states), len(weight))
    torch.mm(states, weight.T, out=logits)
    return logits if head.bias is None else logits.add_(head.bias[types].float())


def logit_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Losses float32 (tokens,) of a full forward's logits (tokens, vocabulary), of any dtype."""
    size = max(4 * ROWS * TYPES // logits.shape[1], 1)
    losses = [
        nn.functional.cross_entropy(part.float(), wanted, reduction="none")
        for part, wanted in zip(logits.split(size), targets.split(size), strict=True)
    ]
    return torch.cat(losses)


def _equal(given: torch.Tensor, alone: torch.Tensor) -> bool:
    """Up to rounding, which mixtures of experts may do differently each time."""
    if given.shape != alone.shape:
        return False
    rounding = max(1e-4, 4 * torch.finfo(alone.dtype).eps)
    away = (given.float() - alone.float()).abs().max()
    return bool(away <= rounding * alone.float().abs().max())


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

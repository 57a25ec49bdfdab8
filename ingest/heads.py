"""From hidden states to losses, in float32 over blocks: logits never stand for a whole batch."""

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

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

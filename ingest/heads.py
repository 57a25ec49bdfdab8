"""From hidden states to losses, in float32 over chunks: logits never stand for a whole batch."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

# Logits of one chunk: 64 MB in float32, and as much again for their logarithms.
CHUNK = 2**24
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
    to 0.07 nats.
    """
    weight = head.weight.float()
    bias = None if head.bias is None else head.bias.float()
    room = torch.empty(_per_chunk(len(weight)), len(weight), device=hidden.device)
    losses = [torch.empty(0, device=hidden.device)]
    for part in _chunks(len(hidden), len(weight)):
        states = hidden[part].float()
        logits = torch.mm(states, weight.T, out=room[: len(states)])
        logits = logits if bias is None else logits.add_(bias)
        losses.append(nn.functional.cross_entropy(logits, targets[part], reduction="none"))
    return torch.cat(losses)


def logit_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Losses float32 (tokens,) of a full forward's logits (tokens, vocabulary), of any dtype."""
    losses = [
        nn.functional.cross_entropy(logits[part].float(), targets[part], reduction="none")
        for part in _chunks(*logits.shape)
    ]
    return torch.cat(losses)


def _chunks(n_tokens: int, vocabulary: int) -> Iterator[slice]:
    size = _per_chunk(vocabulary)
    return (slice(start, start + size) for start in range(0, n_tokens, size))


def _per_chunk(vocabulary: int) -> int:
    return max(CHUNK // vocabulary, 1)


def _equal(given: torch.Tensor, alone: torch.Tensor) -> bool:
    """Up to rounding, which mixtures of experts may do differently each time."""
    if given.shape != alone.shape:
        return False
    rounding = max(1e-4, 4 * torch.finfo(alone.dtype).eps)
    away = (given.float() - alone.float()).abs().max()
    return bool(away <= rounding * alone.float().abs().max())

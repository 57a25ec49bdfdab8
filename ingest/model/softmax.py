"""From hidden states or logits to scores: each token's loss and, if wanted, the model's prediction.

Scores are float32 (1, tokens) with the losses, or (5, tokens) with one row for each of SCORES.
Token ids and ranks are whole numbers below 2^24, which float32 holds exactly.

- loss: -ln p(token), in nats;
- rank: how many token types have a larger logit, or an equal one and a smaller id;
- entropy: of the predicted distribution, in nats;
- top_id, top_loss: the type of rank 0, and -ln p of it.

All of them come from the same logits, so rank 0 means that top_id is the token, and no top_loss
exceeds its loss. Losses are the same with and without predictions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import torch
from torch import nn

SCORES = ("loss", "rank", "entropy", "top_id", "top_loss")

# A block of logits on a CPU covers this many tokens and token types: 16 MB in float32.
ROWS, TYPES = 1_024, 4_096
# Ranks need all logits of some tokens: at most this many at once, 256 MB in float32.
_KEPT = 2**26
# On an accelerator a block covers all types, and this many logits: 1 GB in float32, of which
# predictions need several copies.
_LOGITS, _LOGITS_OF_PREDICTIONS = 2**28, 2**26
_LOWEST = -200.0  # exp of it is 0 in float32; a logit may be -inf, and 0 * -inf is NaN


def head_scores(
    hidden: torch.Tensor,
    head: nn.Linear,
    targets: torch.Tensor,
    predictions: bool = False,
    compiled: bool = False,
) -> torch.Tensor:
    """Scores of hidden states (tokens, width) and their targets int64 (tokens,).

    The softmax is computed in float32, and the product in float32 or TF32; in bfloat16, a token's
    loss would be off by up to 0.07 nats. Logits are held for a block of tokens at most.
    """
    if hidden.device.type != "cpu":
        return _scores_of_all_types(hidden, head, targets, predictions, compiled)
    n_types = len(head.weight)
    n_rows = min(ROWS, max(_KEPT // n_types, 1)) if predictions else ROWS
    kept = n_types if predictions else min(TYPES, n_types)
    buffer = torch.empty(min(n_rows, len(hidden)) * kept)
    of_rows = _predictions if predictions else _losses
    parts = zip(hidden.split(n_rows), targets.split(n_rows), strict=True)
    found = [of_rows(states.float(), head, wanted, buffer) for states, wanted in parts]
    return torch.cat(found, dim=1)


def logit_scores(
    logits: torch.Tensor, position: torch.Tensor, targets: torch.Tensor, predictions: bool = False
) -> torch.Tensor:
    """Scores (…, rows) from a full forward's logits (tokens, vocabulary), of any dtype.

    Row i is computed from the logits at `position[i]`; both are int64 (rows,).
    """
    elements = (1 if predictions else 4) * ROWS * TYPES
    if logits.device.type != "cpu":
        elements = _LOGITS_OF_PREDICTIONS if predictions else _LOGITS
    size = max(elements // logits.shape[1], 1)
    of_logits = _all_scores if predictions else _losses_of_logits
    found = [
        of_logits(logits[part].float(), wanted)
        for part, wanted in zip(position.split(size), targets.split(size), strict=True)
    ]
    return torch.cat(found, dim=1)


# With all types at once: on an accelerator, in few operations, of which each is large.


def _scores_of_all_types(
    hidden: torch.Tensor, head: nn.Linear, targets: torch.Tensor, predictions: bool, compiled: bool
) -> torch.Tensor:
    weight = head.weight.float()
    bias = None if head.bias is None else head.bias.float()
    of_block = _predictions_of_block if predictions else _losses_of_block
    of_block = _compiled(of_block) if compiled else of_block
    n = max((_LOGITS_OF_PREDICTIONS if predictions else _LOGITS) // len(weight), 1)
    parts = zip(hidden.split(n), targets.split(n), strict=True)
    found = [of_block(states.float(), weight, bias, wanted) for states, wanted in parts]
    return torch.cat(found, dim=1)


def _losses_of_block(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
) -> torch.Tensor:
    return _losses_of_logits(nn.functional.linear(states, weight, bias), targets)


def _predictions_of_block(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, targets: torch.Tensor
) -> torch.Tensor:
    return _all_scores(nn.functional.linear(states, weight, bias), targets)


@cache
def _compiled(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """Passes over the logits, which take most of the head's time, become one or two."""
    return torch.compile(function, dynamic=True)


def _losses_of_logits(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits, targets, reduction="none")[None]


def _all_scores(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """All scores of logits float32 (tokens, types). Never waits for the device."""
    wanted = logits.gather(1, targets[:, None])
    column = torch.arange(logits.shape[1], device=logits.device)
    likelier = (logits > wanted) | ((logits == wanted) & (column < targets[:, None]))
    top = logits.argmax(1)  # the first of several
    log_p = torch.log_softmax(logits, 1)
    loss, top_loss = (-log_p.gather(1, i[:, None])[:, 0] for i in (targets, top))
    entropy = -(log_p.exp() * log_p.clamp(min=_LOWEST)).sum(1)
    return torch.stack([loss, likelier.sum(1).float(), entropy, top.float(), top_loss])


# On a CPU: in blocks of the vocabulary that stay in its cache, with the running normaliser of
# Milakov and Gimelshein (2018, "Online normalizer calculation for softmax").


@dataclass
class _Softmax:
    """Of each token, over the blocks so far. `states` float32 (tokens, width)."""

    states: torch.Tensor
    targets: torch.Tensor
    highest: torch.Tensor = field(init=False)
    total: torch.Tensor = field(init=False)
    """Sum of exp(logit - highest)."""
    wanted: torch.Tensor = field(init=False)
    """The target's logit, once its block was seen."""

    def __post_init__(self) -> None:
        lowest = torch.finfo(torch.float32).min  # not -inf: -inf - -inf is NaN
        self.highest = self.states.new_full((len(self.states),), lowest)
        self.total, self.wanted = torch.zeros_like(self.highest), torch.zeros_like(self.highest)

    def find_wanted(self, logits: torch.Tensor, start: int) -> None:
        index = self.targets - start
        found = logits.gather(1, index.clamp(0, logits.shape[1] - 1)[:, None])[:, 0]
        self.wanted = torch.where((index >= 0) & (index < logits.shape[1]), found, self.wanted)

    def raise_highest(self, of_block: torch.Tensor) -> torch.Tensor:
        """Returns highest before minus after, which rescales what was summed."""
        before, self.highest = self.highest, torch.maximum(self.highest, of_block)
        return before - self.highest

    @property
    def loss(self) -> torch.Tensor:
        return self.highest - self.wanted + self.total.log()


def _losses(
    states: torch.Tensor, head: nn.Linear, targets: torch.Tensor, buffer: torch.Tensor
) -> torch.Tensor:
    """Scores (1, tokens). Each block of logits overwrites the last in `buffer`."""
    softmax = _Softmax(states, targets)
    for start in range(0, len(head.weight), TYPES):
        logits = _logits(states, head, start, buffer)
        softmax.find_wanted(logits, start)
        softmax.total *= softmax.raise_highest(logits.amax(1)).exp_()
        softmax.total += logits.sub_(softmax.highest[:, None]).exp_().sum(1)
    return softmax.loss[None]


def _predictions(
    states: torch.Tensor, head: nn.Linear, targets: torch.Tensor, buffer: torch.Tensor
) -> torch.Tensor:
    """Scores (5, tokens). Keeps all logits in `buffer`, to count those above the target's.

    With d = logit - highest, the entropy is ln(sum of e^d) - (sum of d e^d) / (sum of e^d): no
    difference of large numbers, as no d is above 0.
    """
    softmax, kept = _Softmax(states, targets), []
    weighted, top = torch.zeros_like(softmax.total), torch.zeros_like(targets)
    room = torch.empty(2, len(states) * min(TYPES, len(head.weight)))
    for start in range(0, len(head.weight), TYPES):
        logits = _logits(states, head, start, buffer[len(states) * start :])
        kept.append(logits)
        softmax.find_wanted(logits, start)
        largest, place = logits.max(1)  # the first of several
        top = torch.where(largest > softmax.highest, place + start, top)
        shift = softmax.raise_highest(largest)
        scale = shift.exp()
        d, e = (r[: logits.numel()].view_as(logits) for r in room)
        torch.sub(logits, softmax.highest[:, None], out=d)
        torch.exp(d, out=e)
        weighted = (weighted + shift.clamp_(min=_LOWEST) * softmax.total) * scale
        softmax.total *= scale
        softmax.total += e.sum(1)
        weighted += e.mul_(d.clamp_(min=_LOWEST)).sum(1)
    top_loss = softmax.total.log()
    entropy = top_loss - weighted / softmax.total
    rank = _ranks(kept, softmax.wanted, targets, room[0])
    return torch.stack([softmax.loss, rank, entropy, top.float(), top_loss])


def _ranks(
    blocks: list[torch.Tensor], wanted: torch.Tensor, targets: torch.Tensor, room: torch.Tensor
) -> torch.Tensor:
    """float32 (tokens,): logits above the target's, or equal to it with a smaller id."""
    rank = torch.zeros_like(wanted)
    below = torch.nextafter(wanted, wanted.new_tensor(-torch.inf))  # x > below: x >= wanted
    for number, logits in enumerate(blocks):
        start = number * TYPES
        limit = torch.where(targets >= start + logits.shape[1], below, wanted)
        above = room[: logits.numel()].view_as(logits)
        rank += torch.gt(logits, limit[:, None], out=above).sum(1)
        index = targets - start
        (own,) = torch.nonzero((index >= 0) & (index < logits.shape[1]), as_tuple=True)
        if len(own):
            before = torch.arange(logits.shape[1]) < index[own, None]
            rank[own] += ((logits[own] == wanted[own, None]) & before).sum(1)
    return rank


def _logits(
    states: torch.Tensor, head: nn.Linear, start: int, buffer: torch.Tensor
) -> torch.Tensor:
    """Logits float32 (tokens, TYPES or fewer) of the types from `start`, in `buffer`."""
    types = slice(start, start + TYPES)
    weight = head.weight[types].float()
    logits = buffer[: len(states) * len(weight)].view(len(states), len(weight))
    torch.mm(states, weight.T, out=logits)
    return logits if head.bias is None else logits.add_(head.bias[types].float())

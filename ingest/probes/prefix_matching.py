"""Probes: does a model copy from its context, and which attention heads attend as copying needs?

On random sequences with one repeated segment, only copying helps. The loss on the second copy,
compared with the first, shows whether a model copies; the prefix-matching score, which heads may do
it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from transformers import PreTrainedModel

from ingest.errors import CheckpointError
from ingest.model.kernel import token_losses
from ingest.probes.repeats import Repeats
from store.schema import LOSS_FIRST, LOSS_SECOND, PREFIX_MATCHING


@dataclass(frozen=True)
class Probe:
    """One value of one checkpoint: a loss in nats, or a head's score from 0 to 1.

    `layer` and `head` count from 0 and are None for losses. A model without attention weights has
    one score, without a value and a layer.
    """

    probe: str
    layer: int | None
    head: int | None
    value: float | None


def probe(model: PreTrainedModel, repeats: Repeats) -> list[Probe]:
    """The model's losses on both copies, then a score per head, in order of layer and head.

    loss_first and loss_second are means over the same tokens: all of the segment except its first,
    since the model cannot know yet that the second copy has begun. prefix_matching is the mean
    attention weight from a token of the second copy to the token after its earlier occurrence
    (Olsson et al. 2022, In-context Learning and Induction Heads, arXiv 2209.11895, as corrected in
    their change log of 2022-09-20). They repeat 25 tokens four times, leave out the most and least
    common ones and average over 10 examples, so their scores are not comparable in size. Raises
    CheckpointError for values that are not finite, RuntimeError if memory is insufficient.
    """
    first, second = _losses(model, repeats)
    found = [Probe(LOSS_FIRST, None, None, first), Probe(LOSS_SECOND, None, None, second)]
    scores = _prefix_matching(model, repeats)
    for layer, of_heads in scores.items():
        found += [Probe(PREFIX_MATCHING, layer, h, float(v)) for h, v in enumerate(of_heads)]
    if not scores:
        found.append(Probe(PREFIX_MATCHING, None, None, None))
    if not all(p.value is None or np.isfinite(p.value) for p in found):
        raise CheckpointError(
            "a probe is not a finite number: attention may overflow in this --dtype"
        )
    return found


def gives_attentions(probes: list[Probe]) -> bool:
    """Did the model give attention weights?"""
    return all(p.value is not None for p in probes)


def _losses(model: PreTrainedModel, repeats: Repeats) -> tuple[float, float]:
    """Mean loss in nats on the first copy and on the second."""
    size = len(repeats.windows[0]) - 1
    losses = token_losses(model, repeats.windows)
    # Token i of a window is predicted in row i - 1.
    start, length = repeats.n_bos, repeats.length
    of_window = losses.reshape(-1, size).astype(np.float64)
    first = of_window[:, start : start + length - 1]
    second = of_window[:, start + length : start + 2 * length - 1]
    return float(first.mean()), float(second.mean())


# Compiled code gives no attention weights.
@torch.compiler.set_stance("force_eager")  # type: ignore[untyped-decorator]
@torch.inference_mode()
def _prefix_matching(model: PreTrainedModel, repeats: Repeats) -> dict[int, np.ndarray]:
    """Layer -> scores float64 (heads,); empty if the model gives no attention weights.

    Only the eager implementation gives weights. The model's own is restored afterwards.
    """
    usual = model.config._attn_implementation
    try:
        model.set_attn_implementation("eager")
        sums: dict[int, np.ndarray] = {}
        for window in repeats.windows:
            for layer, of_heads in _scores_of_window(model, window, repeats).items():
                sums[layer] = sums.get(layer, 0) + of_heads
    except (ValueError, TypeError):  # a model without attention, or that does not return it
        return {}
    finally:
        model.set_attn_implementation(usual)
    return {layer: total / len(repeats.windows) for layer, total in sums.items()}


def _scores_of_window(
    model: PreTrainedModel, window: np.ndarray, repeats: Repeats
) -> dict[int, np.ndarray]:
    """Layer -> mean attention (heads,) from token i of the second copy to i + 1 of the first.

    The last token of the segment is left out, since the second copy itself followed it.
    """
    ids = torch.from_numpy(window[None]).to(model.device)
    # The base model, since logits are not needed.
    output = model.base_model(input_ids=ids, use_cache=False, output_attentions=True)
    queries = repeats.n_bos + repeats.length + torch.arange(repeats.length - 1)
    keys = queries - repeats.length + 1
    scores = {}
    for layer, weights in enumerate(getattr(output, "attentions", None) or ()):
        # RWKV returns something else as attentions, (batch, tokens, width); hybrids have gaps.
        if weights is not None and weights.ndim == 4 and weights.shape[2:] == (len(window),) * 2:
            scores[layer] = weights[0, :, queries, keys].double().mean(dim=1).cpu().numpy()
    return scores

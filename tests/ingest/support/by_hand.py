"""Losses computed the slow way, with nothing of ingest: one doc at a time, in float64."""

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase


@torch.no_grad()
def losses_by_hand(model: PreTrainedModel, window: list[int]) -> np.ndarray:
    """-ln p of every token of `window` but its first, float64 (length - 1,)."""
    logits = model(torch.tensor([window])).logits[0].double()
    log_p = torch.log_softmax(logits, dim=-1)
    return np.array([-log_p[i, token].item() for i, token in enumerate(window[1:])])


def windows_by_hand(
    tokenizer: PreTrainedTokenizerBase,
    texts: list[str],
    length: int,
    bos: int | None,
    max_parts: int | None = None,
) -> list[list[int]]:
    """What the model sees, doc by doc: the BOS, then the text's tokens, `length` in all."""
    windows = []
    prefix = [] if bos is None else [bos]
    room = length - len(prefix)
    for text in texts:
        ids = tokenizer.encode(text, add_special_tokens=False)
        parts = [ids[i : i + room] for i in range(0, len(ids), room)][:max_parts]
        windows += [prefix + part for part in parts if len(prefix + part) > 1]
    return windows

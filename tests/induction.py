"""A GPT-2 whose weights are an induction head, written by hand; and one that attends evenly."""

from collections.abc import Sequence

import torch
from transformers import GPT2Config, GPT2LMHeadModel

SHARP = 5.0


def induction_head(vocabulary: int, context: int) -> GPT2LMHeadModel:
    """Two layers of one head, no MLP: layer 0 writes the token before, layer 1 looks for it.

    The residual stream is four one-hot blocks: token, position, token before, and what layer 1
    saw at the place whose token before is the token here: that is what the logits are.
    """
    width = 3 * vocabulary + context
    token, place = range(vocabulary), range(vocabulary, vocabulary + context)
    before = range(vocabulary + context, 2 * vocabulary + context)
    seen = range(2 * vocabulary + context, width)
    model = _empty(vocabulary, context, width)
    with torch.no_grad():
        model.transformer.wte.weight[:, list(token)] = torch.eye(vocabulary)
        model.transformer.wpe.weight[:, list(place)] = torch.eye(context)
        # Position t asks for t - 1 and takes its token; the first one has only itself.
        _attend(model, 0, (list(place)[1:], list(place)[:-1]), (token, before))
        _attend(model, 1, (list(token), list(before)), (token, seen))
        model.lm_head.weight[:, list(seen)] = 10 * torch.eye(vocabulary)
    return model


def even_attention(vocabulary: int, context: int) -> GPT2LMHeadModel:
    """Attends evenly to its context, and predicts every token type with equal probability."""
    return _empty(vocabulary, context, 8)


def _empty(vocabulary: int, context: int, width: int) -> GPT2LMHeadModel:
    config = GPT2Config(
        n_embd=width,
        n_layer=2,
        n_head=1,
        n_positions=context,
        vocab_size=vocabulary,
        bos_token_id=0,
        eos_token_id=0,
        tie_word_embeddings=False,
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "ln_" not in name:
                weight.zero_()
    return model


def _attend(
    model: GPT2LMHeadModel,
    layer: int,
    matched: tuple[Sequence[int], Sequence[int]],
    moved: tuple[Sequence[int], Sequence[int]],
) -> None:
    """Queries at matched[0] look for keys at matched[1]; values go from moved[0] to moved[1]."""
    attention = model.transformer.h[layer].attn
    width = model.config.n_embd
    for channel, (query, key) in enumerate(zip(*matched, strict=True)):
        attention.c_attn.weight[query, channel] = SHARP
        attention.c_attn.weight[key, width + channel] = SHARP
    for source, target in zip(*moved, strict=True):
        attention.c_attn.weight[source, 2 * width + source] = 1
        attention.c_proj.weight[source, target] = 1

"""How exactly products of float32 numbers are computed: in float32, TF32 or bfloat16."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel

Precision = Literal["highest", "high", "medium"]
"""`highest`: float32. `high`: TF32 where the device has it (10 bits of mantissa instead of 23).
`medium`: bfloat16 (7 bits) in the trunk of a float32 model, and `high` in its head, where rounding
shows most in the losses. Sums, residuals, norms and the softmax are in float32 throughout."""


@contextmanager
def trunk_products(precision: Precision, model: PreTrainedModel) -> Iterator[None]:
    """Inside, products of float32 numbers have this precision; `medium` is autocast.

    A bfloat16 or float16 model keeps its own products. The head is never in less than TF32.
    """
    widened = precision == "medium" and model.dtype == torch.float32
    with (
        float32_products(precision),
        torch.autocast(model.device.type, torch.bfloat16, enabled=widened),
        _head_outside_autocast(model if widened else None),
    ):
        yield


@contextmanager
def float32_products(precision: Precision) -> Iterator[None]:
    """Inside, torch computes products of float32 tensors in float32, or else in TF32.

    By default, torch computes convolutions in TF32.
    """
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest" if precision == "highest" else "high")
    torch.backends.cudnn.allow_tf32 = precision != "highest"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


@contextmanager
def _head_outside_autocast(model: PreTrainedModel | None) -> Iterator[None]:
    """Logits of a full forward are not rounded to bfloat16, which would cost up to 0.07 nats."""
    head = model.get_output_embeddings() if model is not None else None
    if model is None or not isinstance(head, nn.Module):
        yield
        return
    kind = model.device.type

    def enter(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[Any, ...]:
        torch.set_autocast_enabled(kind, False)
        return (inputs[0].float(), *inputs[1:])

    def leave(*_: object) -> None:
        torch.set_autocast_enabled(kind, True)

    hooks = [
        head.register_forward_pre_hook(enter),
        head.register_forward_hook(leave, always_call=True),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()

"""A model in training, used for a moment and left exactly as it was found."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from ingest.errors import IngestError

_SHARDED = {"FullyShardedDataParallel", "FSDPModule", "FlatParameter", "DTensor"}


def unwrapped(model: nn.Module) -> PreTrainedModel:
    """The transformers model inside what torch.compile, DDP or DataParallel have made of it.

    Raises IngestError for a model whose weights are spread over processes (FSDP), and for others.
    """
    if not isinstance(model, nn.Module):
        raise IngestError(
            f"the model is a {type(model).__name__}: expected a model of transformers"
        )
    kinds = {c.__name__ for m in model.modules() for c in type(m).__mro__}
    kinds |= {type(p).__name__ for p in model.parameters()}
    if kinds & _SHARDED or any(hasattr(p, "ds_id") for p in model.parameters()):
        raise IngestError(
            "the model's weights are spread over several processes (FSDP, DeepSpeed or tensor "
            "parallelism), which recording does not support yet: train with DDP, or score saved "
            "checkpoints with `python -m ingest run`"
        )
    standing: Any = model
    while not isinstance(standing, PreTrainedModel):
        inner = getattr(standing, "_orig_mod", getattr(standing, "module", None))
        if not isinstance(inner, nn.Module):
            raise IngestError(
                f"the model is a {type(standing).__name__}: expected a causal language model of "
                "transformers, perhaps wrapped by torch.compile or DDP"
            )
        standing = inner
    return standing


@contextmanager
def undisturbed(model: PreTrainedModel) -> Iterator[None]:
    """Inside, the model is in evaluation mode, not compiled, and outside autocast and autograd.

    Afterwards, modes and random states are as before. Flags are set one by one: a module's own
    `train` may do more, such as merging weights.
    """
    modes = [(module, module.training) for module in model.modules()]
    states = _random_states(model.device)
    # accelerate gives a model trained in mixed precision a `forward` that starts autocast.
    mixed = vars(model).pop("forward", None) if "_original_forward" in vars(model) else None
    try:
        for module, _ in modes:
            module.training = False
        with (
            # Without a cache, which training would share: it would find weights without gradients.
            torch.autocast(model.device.type, enabled=False, cache_enabled=False),
            torch.compiler.set_stance("force_eager"),
            torch.inference_mode(),
        ):
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        if mixed is not None:
            vars(model)["forward"] = mixed
        for restore in states:
            restore()


def _random_states(device: torch.device) -> list[Callable[[], object]]:
    """Functions that restore the random states as they are now."""
    restore: list[Callable[[], object]] = [
        partial(random.setstate, random.getstate()),
        partial(np.random.set_state, np.random.get_state()),
        partial(torch.set_rng_state, torch.get_rng_state()),
    ]
    if device.type != "cpu":
        library = getattr(torch, device.type)
        where = () if device.type == "mps" else (device,)  # mps is one device
        restore.append(partial(library.set_rng_state, library.get_rng_state(*where), *where))
    return restore

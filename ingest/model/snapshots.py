"""A digest of everything that a forward pass may change in a model.

Some models change themselves when they are called: RWKV divides weights in place in its first
forward in evaluation mode, and remembers that it has done so. The weights of a later checkpoint
must not be copied into such a model.
"""

import hashlib

import torch
from torch import nn

_PLAIN = (bool, int, float, str, torch.dtype, type(None))
_CHUNK = 2**24  # elements; larger tensors are copied from the device in parts


def model_digest(model: nn.Module) -> str:
    """sha256 over a model's parameters, buffers, and tensors and plain values in attributes."""
    digest = hashlib.sha256()
    for name, module in model.named_modules():
        for key, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None:
                _add_tensor(digest, f"{name}.{key}", tensor)
        for key, value in sorted(vars(module).items()):
            if isinstance(value, torch.Tensor):
                _add_tensor(digest, f"{name}.{key}", value)
            elif isinstance(value, _PLAIN):
                digest.update(f"{name}.{key}={value!r};".encode())
    return digest.hexdigest()


def _add_tensor(digest: "hashlib._Hash", name: str, tensor: torch.Tensor) -> None:
    digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
    if tensor.device.type == "meta":
        return
    for part in tensor.detach().reshape(-1).split(_CHUNK):
        digest.update(part.cpu().contiguous().view(torch.uint8).numpy())

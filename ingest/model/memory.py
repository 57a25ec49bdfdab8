"""How many tokens to score at once: what memory allows, or the requested number if that is less."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

# On a CPU, activations of a batch stay near the size of its cache: GPT-2 small is a third faster
# there than with four times as many. Logits of a full forward count separately.
_ACTIVATIONS_ON_CPU, _LOGITS_ON_CPU = 2**26, 2**26
_TOKENS_ON_CPU = 4_096
# On an accelerator, a batch takes this share of the free memory: the estimate below leaves out what
# some architectures hold at once. More tokens are slower: with twice as many, GPT-2 small took 7%
# more time in float32 on an H100.
_SHARE_OF_FREE, _TOKENS = 0.4, 32_768
_BLOCK_OF_LOGITS = 2**31  # bytes: the kernel's block of logits, and its softmax
_COPIES_OF_LOGITS = 3  # that a cap on logits holds at once
_OUT_OF_MEMORY = (
    "not enough memory",  # torch on Windows
    "can't allocate memory",  # torch on Linux
    "out of memory",  # CUDA, outside of torch's allocator
)


@dataclass
class Budget:
    """Tokens per batch, including padding. Once halved, it stays so for all later checkpoints."""

    tokens: int | None = None
    """None: as many as memory allows."""
    notice: Callable[[str], None] = field(default=lambda _: None)

    def halve(self, n_tokens: int, device: torch.device) -> None:
        """Call this after a batch of `n_tokens` did not fit."""
        self.tokens = max(n_tokens // 2, 1)
        if device.type != "cpu":
            getattr(torch, device.type).empty_cache()

    def room(self, model: PreTrainedModel) -> int:
        """Bytes that a batch's activations may take, as memory is now."""
        free = _free_bytes(model.device)
        if free is None:
            return _ACTIVATIONS_ON_CPU
        return max(int(_SHARE_OF_FREE * (free - _BLOCK_OF_LOGITS)), _ACTIVATIONS_ON_CPU)

    def fitting(self, model: PreTrainedModel, longest: int, full_logits: bool, room: int) -> int:
        """Tokens per batch of windows of `longest` tokens, from what each token needs."""
        on_cpu = model.device.type == "cpu"
        needed = _bytes_per_token(model, longest)
        n_types = int(model.config.get_text_config().vocab_size) if full_logits else 0
        if not on_cpu:
            needed += 4 * _COPIES_OF_LOGITS * n_types
        fits = room // needed
        if on_cpu and full_logits:
            fits = min(fits, _LOGITS_ON_CPU // n_types)
        return min(self.tokens or (_TOKENS_ON_CPU if on_cpu else _TOKENS), fits)


def _free_bytes(device: torch.device) -> int | None:
    """Memory of an accelerator that is free or that torch keeps for reuse; None on a CPU."""
    if device.type in ("cuda", "xpu"):
        library = getattr(torch, device.type)
        kept = library.memory_reserved(device) - library.memory_allocated(device)
        return int(library.mem_get_info(device)[0] + kept)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return None


def is_out_of_memory(error: Exception) -> bool:
    """Torch has an exception for devices, and none for the host."""
    message = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(words in message for words in _OUT_OF_MEMORY)
    )


def _bytes_per_token(model: PreTrainedModel, longest: int) -> int:
    """Simultaneous activations: the widest layer's, and eager attention's matrix."""
    config = model.config.get_text_config()
    width = int(config.hidden_size)
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
    numbers = 8 * width + 4 * (inner if isinstance(inner, int) else 4 * width)
    if model.config._attn_implementation == "eager":
        numbers += 3 * int(getattr(config, "num_attention_heads", 0)) * longest  # 0 for Mamba
    return numbers * torch.finfo(model.dtype).bits // 8

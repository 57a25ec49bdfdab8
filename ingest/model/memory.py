"""How many tokens to score at once: the requested number, or fewer if memory is insufficient."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

# Activations of a batch stay near this many bytes, whatever was requested. On a CPU that is near
# the size of its cache: GPT-2 small is a third faster there than with four times as many.
_ACTIVATIONS, _ACTIVATIONS_ON_CPU = 2**28, 2**26
# Logits of a full forward. A cap on logits holds three copies of them at once.
_LOGITS = 2**26
_OUT_OF_MEMORY = (
    "not enough memory",  # torch on Windows
    "can't allocate memory",  # torch on Linux
    "out of memory",  # CUDA, outside of torch's allocator
)


@dataclass
class Budget:
    """Tokens per batch, including padding. Once halved, it stays so for all later checkpoints."""

    tokens: int = 4_096
    notice: Callable[[str], None] = field(default=lambda _: None)

    def halve(self, n_tokens: int) -> None:
        """Call this after a batch of `n_tokens` did not fit."""
        self.tokens = max(n_tokens // 2, 1)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def fitting(self, model: PreTrainedModel, longest: int, full_logits: bool) -> int:
        """Tokens per batch of windows of `longest` tokens, from what each token needs."""
        most = _ACTIVATIONS_ON_CPU if model.device.type == "cpu" else _ACTIVATIONS
        fits = most // _bytes_per_token(model, longest)
        if full_logits:
            fits = min(fits, _LOGITS // model.config.get_text_config().vocab_size)
        return min(self.tokens, fits)


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

"""How many tokens may be scored at once: what was asked for, less where memory does not suffice."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedModel

# Activations of one batch stay near this many bytes, whatever was asked for; on a CPU near what its
# cache holds, where GPT-2 small is a third faster than with four times as many.
_ACTIVATIONS, _ON_CPU = 2**28, 2**26
# Logits of a full forward, of which a cap holds three copies at once.
_LOGITS = 2**26
_SAID = (
    "not enough memory",  # torch on Windows
    "can't allocate memory",  # torch on Linux
    "out of memory",  # CUDA, where it is not torch that asks for memory
)


@dataclass
class Budget:
    """Tokens of a batch, padding included; what is halved stays so for all later checkpoints."""

    tokens: int = 4_096
    notice: Callable[[str], None] = field(default=lambda _: None)

    def halve(self, n_tokens: int) -> None:
        """After a batch of `n_tokens` did not fit."""
        self.tokens = max(n_tokens // 2, 1)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def fitting(self, model: PreTrainedModel, longest: int, full_logits: bool) -> int:
        """Tokens of a batch of windows of `longest` tokens, by what each is known to need."""
        most = _ON_CPU if model.device.type == "cpu" else _ACTIVATIONS
        known = most // _bytes_per_token(model, longest)
        if full_logits:
            known = min(known, _LOGITS // model.config.get_text_config().vocab_size)
        return min(self.tokens, known)


def is_out_of_memory(error: Exception) -> bool:
    """Torch has one exception for devices and none for the host."""
    told = str(error).lower()
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or (
        isinstance(error, RuntimeError) and any(said in told for said in _SAID)
    )


def _bytes_per_token(model: PreTrainedModel, longest: int) -> int:
    """Activations that stand at once: of the widest layer, and of attention where it is written."""
    config = model.config.get_text_config()
    width = int(config.hidden_size)
    inner = getattr(config, "intermediate_size", None) or getattr(config, "n_inner", None)
    numbers = 8 * width + 4 * (inner if isinstance(inner, int) else 4 * width)
    if model.config._attn_implementation == "eager":
        numbers += 3 * int(getattr(config, "num_attention_heads", 0)) * longest  # Mamba has none
    return numbers * torch.finfo(model.dtype).bits // 8

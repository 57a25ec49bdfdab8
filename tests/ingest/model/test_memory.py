"""Where memory does not suffice, batches are halved for good, and that is said once."""

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from ingest.model.kernel import token_losses
from ingest.model.memory import Budget, is_out_of_memory
from tests.ingest.model.test_heads import gemma2
from tests.ingest.model.test_kernel import LENGTHS, VOCABULARY, scored, some_windows
from tests.models import tiny

OUT = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:128] err == 0. DefaultCPUAllocator: can't "
        "allocate memory: you tried to allocate 80 bytes. Error code 12"
    ),
    RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 80 bytes."),
    MemoryError(),
]


def with_room_for(n_tokens: int, error: Exception) -> PreTrainedModel:
    """A model that runs out of memory beyond so many tokens at once."""
    model = tiny("gpt2", VOCABULARY)

    def refuse(_: object, __: object, output: torch.Tensor) -> None:
        if output.shape[:-1].numel() > n_tokens:
            raise error

    model.transformer.wte.register_forward_hook(refuse)
    return model


@pytest.mark.parametrize("error", OUT)
def test_out_of_memory_halves_the_budget_for_good_and_changes_no_loss(error: Exception) -> None:
    windows = some_windows(LENGTHS)
    told: list[str] = []
    model, budget = with_room_for(40, error), Budget(160, told.append)
    losses = token_losses(model, windows, budget)
    np.testing.assert_allclose(losses, scored(tiny("gpt2", VOCABULARY), windows), rtol=0, atol=1e-5)
    assert told == ["out of memory: batches of 32 tokens, not 160"]
    token_losses(model, windows, budget)
    assert len(told) == 1


def test_what_halving_does_not_mend_is_raised() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        token_losses(with_room_for(10, OUT[0]), some_windows([20, 20]))
    model = with_room_for(10, RuntimeError("size mismatch"))
    with pytest.raises(RuntimeError, match="size mismatch"):
        token_losses(model, some_windows([20, 20]))


def test_the_hosts_allocator_is_understood() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(raised.value)
    assert not is_out_of_memory(ValueError("not enough memory of the past"))


def test_a_batch_is_bounded_whatever_the_budget() -> None:
    endless = Budget(10**12)
    model = tiny("gpt2", 50_257)
    eager = tiny("gpt2", 50_257)
    eager.set_attn_implementation("eager")
    room = endless.room(model)
    fits = endless.fitting(model, 1_024, False, room)
    assert 1_000 < fits < 10**7
    assert endless.fitting(eager, 1_024, False, room) < fits / 5
    assert endless.fitting(gemma2(), 32, True, room) <= 2**26 // VOCABULARY
    assert Budget(77).fitting(model, 1_024, False, room) == 77
    assert Budget().fitting(model, 1_024, False, room) == 4_096

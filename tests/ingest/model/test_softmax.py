"""Predictions equal those of the full logits, in whatever blocks, and agree with the losses."""

import numpy as np
import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from ingest.model import softmax
from ingest.model.kernel import token_losses, token_scores
from ingest.model.softmax import head_scores, logit_scores
from tests.ingest.model.test_heads import PLAIN, SPECIAL
from tests.ingest.model.test_kernel import LENGTHS, VOCABULARY, some_windows

MODELS = {**SPECIAL, **PLAIN}
BLOCKS = [(7, 53), (softmax.ROWS, softmax.TYPES)]


@torch.no_grad()
def by_hand(model: PreTrainedModel, window: np.ndarray) -> np.ndarray:
    """loss, rank, entropy, top_id, top_loss from the full logits in float64: (5, length - 1)."""
    logits = model(torch.from_numpy(window[None])).logits[0, :-1].double()
    return of_logits(logits, window[1:])


def of_logits(logits: torch.Tensor, targets: np.ndarray) -> np.ndarray:
    log_p = torch.log_softmax(logits, 1).numpy()
    rows = []
    for token, values, x in zip(targets, log_p, logits.numpy(), strict=True):
        order = sorted(range(len(x)), key=lambda i: (-x[i], i))
        entropy = -(np.exp(values) * np.where(np.isfinite(values), values, 0)).sum()
        rows.append([-values[token], order.index(token), entropy, order[0], -values[order[0]]])
    return np.array(rows).T


def blocks(monkeypatch: pytest.MonkeyPatch, block: tuple[int, int]) -> None:
    monkeypatch.setattr(softmax, "ROWS", block[0])
    monkeypatch.setattr(softmax, "TYPES", block[1])


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("name", MODELS)
def test_predictions_equal_those_of_the_full_logits(
    monkeypatch: pytest.MonkeyPatch, name: str, block: tuple[int, int]
) -> None:
    blocks(monkeypatch, block)
    windows = some_windows(LENGTHS)
    expected = np.concatenate([by_hand(MODELS[name], w) for w in windows], axis=1)
    found = token_scores(MODELS[name], windows)
    assert found.dtype == np.float32 and not np.isnan(found).any()
    np.testing.assert_allclose(found[[0, 2, 4]], expected[[0, 2, 4]], rtol=0, atol=1e-4)
    # Two logits that differ by less than rounding may change places; here they are few.
    assert (found[[1, 3]] == expected[[1, 3]]).mean() > 0.99
    assert np.abs(found[1] - expected[1]).max() <= 1
    assert_consistent(found, np.concatenate([w[1:] for w in windows]))
    np.testing.assert_array_equal(found[0], token_losses(MODELS[name], windows))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_rank_0_is_the_first_guess_at_every_precision(name: str, dtype: torch.dtype) -> None:
    windows = some_windows(LENGTHS)
    found = token_scores(MODELS[name].to(dtype), windows, precision="medium")
    MODELS[name].to(torch.float32)
    assert_consistent(found, np.concatenate([w[1:] for w in windows]))
    # The first guesses as targets have rank 0.
    for window in windows[:3]:
        guess = token_scores(MODELS[name], [window])[3, -1]
        assert token_scores(MODELS[name], [np.append(window[:-1], int(guess))])[1, -1] == 0


def assert_consistent(scores: np.ndarray, targets: np.ndarray) -> None:
    loss, rank, entropy, top, top_loss = scores
    np.testing.assert_array_equal(rank == 0, top == targets)
    np.testing.assert_array_equal(top_loss[rank == 0], loss[rank == 0])
    assert (top_loss <= loss).all()
    assert (entropy >= 0).all() and (entropy <= np.log(VOCABULARY) + 1e-5).all()


@pytest.mark.parametrize("block", [*BLOCKS, (3, 4), (3, 1)])
def test_of_equal_logits_the_smaller_id_is_more_likely(
    monkeypatch: pytest.MonkeyPatch, block: tuple[int, int]
) -> None:
    """Also among zeros of both signs, and next to types that can never come."""
    blocks(monkeypatch, block)
    table = torch.tensor([0.0, 2, -1, 2, 0, -torch.inf, 2, -0.0, -1, -torch.inf, -5])
    for bias in (table, torch.zeros(11), table.roll(4), -table.abs()):
        targets = torch.tensor([i for i in range(11) if bias[i] > -torch.inf])
        head = nn.Linear(2, 11)
        head.weight.data.zero_()
        head.bias.data = bias
        with torch.inference_mode():
            states, logits = torch.randn(len(targets), 2), bias.expand(len(targets), 11)
            expected = of_logits(logits.double(), targets.numpy())
            position = torch.arange(len(targets))
            for found in (
                head_scores(states, head, targets, True),
                logit_scores(logits, position, targets, True),
                softmax._scores_of_all_types(states, head, targets, True, False),
            ):
                np.testing.assert_array_equal(found[[1, 3]], expected[[1, 3]])
                np.testing.assert_allclose(found, expected, atol=1e-6)


def test_certain_and_uniform_distributions_are_exact() -> None:
    logits = torch.tensor([[60.0, 0, 0, 0], [1e30, 0, 0, 0], [3.0] * 4, [1.0, 1 + 2**-23, 1, 1]])
    targets, position = torch.tensor([0, 0, 2, 1]), torch.arange(4)
    head = nn.Linear(4, 4, bias=False)
    head.weight.data = logits.T.contiguous()
    with torch.inference_mode():
        for found in (
            logit_scores(logits, position, targets, True),
            head_scores(torch.eye(4), head, targets, True),
        ):
            assert found[1].tolist() == [0, 0, 2, 0]
            assert found[3].tolist() == [0, 0, 0, 1]
            uniform = np.log(np.float32(4))
            np.testing.assert_allclose(found[2], [0, 0, uniform, uniform], atol=1e-6)
            np.testing.assert_allclose(found[4], [0, 0, uniform, uniform], atol=1e-6)

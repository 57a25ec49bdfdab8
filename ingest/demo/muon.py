"""Muon in float32: momentum whose updates are orthogonalised.

`torch.optim.Muon` orthogonalises in bfloat16, which takes most of a step's time on a CPU without
bfloat16 arithmetic. Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/
"""

import math
from collections.abc import Iterable
from typing import Any, cast

import torch

# The quintic's coefficients and the number of steps, from the post above.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_STEPS = 5


class Muon(torch.optim.Optimizer):
    """For matrices only, (out, in) or (in, out); Nesterov momentum 0.95, decoupled weight decay."""

    def __init__(
        self,
        matrices: Iterable[torch.Tensor],
        lr: float,
        weight_decay: float,
        momentum: float = 0.95,
    ) -> None:
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            for matrix in (p for p in group["params"] if p.grad is not None):
                self._update(
                    matrix, matrix.grad, group["lr"], group["weight_decay"], group["momentum"]
                )

    def _update(
        self,
        matrix: torch.Tensor,
        gradient: torch.Tensor,
        lr: float,
        weight_decay: float,
        momentum: float,
    ) -> None:
        average = self.state[matrix].setdefault("average", torch.zeros_like(matrix))
        average.lerp_(gradient, 1 - momentum)
        update = orthogonalise(gradient.lerp(average, momentum))
        matrix.mul_(1 - lr * weight_decay)
        rows, columns = matrix.shape
        matrix.add_(update, alpha=-lr * math.sqrt(max(1, rows / columns)))


def orthogonalise(matrix: torch.Tensor) -> torch.Tensor:
    """The matrix with singular values near 1 (0.6 to 1.3), by five Newton-Schulz steps."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(_STEPS):
        gram = x @ x.T
        x = _A * x + (_B * gram + _C * gram @ gram) @ x
    return cast(torch.Tensor, x.T if tall else x)

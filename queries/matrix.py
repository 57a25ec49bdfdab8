"""The loss matrix: float32, tokens x checkpoints, in blocks of 64 checkpoints side by side."""

from dataclasses import dataclass

import numpy as np

from queries.errors import QueryError

BLOCK = 64


@dataclass(frozen=True)
class LossMatrix:
    """Losses in nats. Row r is the token occurrence `row`; columns are checkpoints, increasing."""

    checkpoints: np.ndarray
    """int64 (checkpoints,)"""
    blocks: list[np.ndarray]
    """float32 (tokens, up to 64) each, side by side."""

    @property
    def n_tokens(self) -> int:
        return len(self.blocks[0])

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Losses of some tokens at all checkpoints, float32 (len(rows), checkpoints)."""
        return np.concatenate([block[rows] for block in self.blocks], axis=1)

    def column(self, checkpoint: int) -> np.ndarray:
        """Losses of all tokens at one checkpoint, float32 (tokens,). Raises QueryError."""
        at = self.place(checkpoint)
        return self.blocks[at // BLOCK][:, at % BLOCK]

    def place(self, checkpoint: int) -> int:
        """The number of a checkpoint's column, from 0. Raises QueryError."""
        at = int(np.searchsorted(self.checkpoints, checkpoint))
        if at == len(self.checkpoints) or self.checkpoints[at] != checkpoint:
            raise QueryError(_no_such_checkpoint(checkpoint, self.checkpoints))
        return at


def _no_such_checkpoint(checkpoint: int, there: np.ndarray) -> str:
    near = there[np.argsort(np.abs(there - checkpoint), kind="stable")[:2]]
    names = " and ".join(f"{c:,}" for c in sorted(near.tolist()))
    return f"checkpoint {checkpoint:,} is not in the store: the nearest are {names}"

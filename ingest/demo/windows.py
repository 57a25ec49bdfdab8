"""Training windows with planted repeats: what makes copying worth learning in a small budget."""

from dataclasses import dataclass

import numpy as np

PLANTS = 3
SHORTEST = 16


@dataclass(frozen=True)
class Repeat:
    """A span of a window that was copied to a later place in it."""

    first: int
    second: int
    length: int


def sample_windows(
    stream: np.ndarray, batch: int, length: int, bos: int, rng: np.random.Generator
) -> np.ndarray:
    """Windows int64 (batch, length + 1): the BOS, then `length` tokens from a random offset."""
    offsets = rng.integers(0, len(stream) - length, size=batch)
    tokens = stream[offsets[:, None] + np.arange(length)]
    return np.concatenate([np.full((batch, 1), bos), tokens], axis=1)


def plant_repeat(window: np.ndarray, rng: np.random.Generator) -> Repeat:
    """Copy a span of 16 to length/3 tokens to a random later place of `window`, in place."""
    size = len(window)
    length = int(rng.integers(SHORTEST, size // 3 + 1))
    first = int(rng.integers(1, size - 2 * length))
    second = int(rng.integers(first + length, size - length + 1))
    window[second : second + length] = window[first : first + length]
    return Repeat(first, second, length)


def training_batch(
    stream: np.ndarray, batch: int, length: int, bos: int, rng: np.random.Generator
) -> np.ndarray:
    """A batch to train on, int64 (batch, length + 1), three repeats planted in each window."""
    windows = sample_windows(stream, batch, length, bos, rng)
    for window in windows:
        for _ in range(PLANTS):
            plant_repeat(window, rng)
    return windows

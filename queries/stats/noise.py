"""The noise of a trajectory, estimated from its highest frequencies."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, signal, stats

WINDOW = 61
"""Checkpoints in the window from which the noise at its centre is estimated."""
MOST_MEMORY = 0.8
FAR = 4
"""Distance in checkpoints: a smaller one says less about memory, a larger one is biased by bends.
"""
_NORMAL = stats.norm.ppf(0.75)  # the median of |z|


@dataclass(frozen=True)
class Noise:
    """Noise of one or more trajectories; an AR(1) process from checkpoint to checkpoint."""

    scale: np.ndarray
    """Standard deviation in nats, float64 (…, checkpoints)."""
    memory: np.ndarray
    """Autocorrelation from one checkpoint to the next, 0 to 0.8, float64 (…)."""

    @property
    def lasting(self) -> np.ndarray:
        """`scale` times sqrt((1 + memory) / (1 - memory)), for averages over checkpoints.

        The square root of the long-run variance (Hamilton 1994, Time Series Analysis, 7.2).
        """
        factor = np.sqrt((1 + self.memory) / (1 - self.memory))
        result: np.ndarray = self.scale * factor[..., None]
        return result


def estimate(place: np.ndarray, values: np.ndarray) -> Noise:
    """The noise of `values`, float64 (…, checkpoints) in nats, at `place` (checkpoints,).

    Estimated from each value's distance to the line between its two neighbours, and between those
    four away. Medians ignore spikes; straight trends cancel, bent ones add. An AR(1) process of
    variance 1 and memory a has a mean squared distance of 1.5 - 2 a^d + 0.5 a^2d for neighbours at
    distance d (even steps), so the quotient of the two distances gives the memory.
    """
    near, far = _misses(place, values, 1), _misses(place, values, FAR)
    ratio = np.median(np.abs(far), axis=-1) / np.maximum(np.median(np.abs(near), axis=-1), 1e-300)
    memory = np.interp(ratio, *_memories())
    size = (1,) * (near.ndim - 1) + (min(WINDOW, near.shape[-1]),)
    local = ndimage.median_filter(np.abs(near), size, mode="reflect") / _NORMAL
    scale = local * np.sqrt(1.5 / _square_miss(memory, 1))[..., None]
    return Noise(np.pad(scale, [(0, 0)] * (near.ndim - 1) + [(1, 1)], mode="edge"), memory)


def simulate(noise: Noise, n: int, seed: int = 0) -> np.ndarray:
    """`n` simulated trajectories of pure noise, float64 (n, checkpoints)."""
    memory, width = float(noise.memory), len(noise.scale)
    shocks = np.random.default_rng(seed).normal(0, 1, (n, width))
    shocks[:, 1:] *= np.sqrt(1 - memory**2)
    draws: np.ndarray = signal.lfilter([1.0], [1.0, -memory], shocks, axis=1)
    scaled: np.ndarray = draws * noise.scale
    return scaled


def _misses(place: np.ndarray, values: np.ndarray, distance: int) -> np.ndarray:
    """Values minus the line between neighbours, scaled to the variance of white noise."""
    left, middle, right = place[: -2 * distance], place[distance:-distance], place[2 * distance :]
    share = (right - middle) / (right - left)
    line = share * values[..., : -2 * distance] + (1 - share) * values[..., 2 * distance :]
    miss = values[..., distance:-distance] - line
    result: np.ndarray = miss / np.sqrt(1 + share**2 + (1 - share) ** 2)
    return result


def _square_miss(memory: np.ndarray, distance: int) -> np.ndarray:
    result: np.ndarray = 1.5 - 2 * memory**distance + 0.5 * memory ** (2 * distance)
    return result


def _memories() -> tuple[np.ndarray, np.ndarray]:
    """Quotients of far to near distances, increasing, and the memory that gives each."""
    memory = np.linspace(0, MOST_MEMORY, 96)
    return np.sqrt(_square_miss(memory, FAR) / _square_miss(memory, 1)), memory

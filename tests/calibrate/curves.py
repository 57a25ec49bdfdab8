"""Simulated learning curves: smooth falls, planted events, and noise of known persistence."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import signal

DEMO = Path(__file__).parents[2] / "data" / "demo" / "checkpoints.parquet"
NOISE = 0.008
"""Nats: of the demo's mean loss, as its checkpoints differ from parabolas through nine of them."""
GROUP_NOISE = 0.015
"""Nats: of the mean loss of the demo's copyable tokens, from step 700, measured likewise."""
BURN_IN = 200

Curve = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Noise:
    """An autoregressive process of standard deviation 1, or a random walk (1), or that plus white
    noise."""

    coefficient: float = 0.0
    heavy: bool = False
    white: float = 0.0
    """Of white noise added to the walk, in units of the walk's steps."""
    second: float = 0.0
    """Coefficient at lag 2."""
    volatile: bool = False
    """Does the size of the shocks drift, by a factor of 2 up and down (a standard deviation)?"""

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        shocks = self._shocks(n + BURN_IN, rng)
        if self.coefficient == 1:
            return np.cumsum(shocks[:n]) + self.white * self._shocks(n, rng)
        path = signal.lfilter([1.0], [1.0, -self.coefficient, -self.second], shocks)[BURN_IN:]
        result: np.ndarray = path / self._deviation()
        return result

    def _deviation(self) -> float:
        """Of the process with shocks of deviation 1."""
        one, two = self.coefficient, self.second
        return float(np.sqrt((1 - two) / ((1 + two) * ((1 - two) ** 2 - one**2))))

    def _shocks(self, n: int, rng: np.random.Generator) -> np.ndarray:
        shocks = rng.standard_t(3, n) / np.sqrt(3) if self.heavy else rng.normal(0, 1, n)
        if not self.volatile:
            return shocks
        size = np.exp(np.log(2) * Noise(0.95).draw(n, rng))
        result: np.ndarray = shocks * size / np.sqrt(np.mean(size**2))
        return result


NOISES = {
    "white": Noise(),
    **{f"AR {c}": Noise(c) for c in (0.4, 0.6, 0.8, 0.9, 0.95)},
    "random walk": Noise(1.0),
    "drift + white": Noise(1.0, white=3.0),
    "t3": Noise(heavy=True),
    "t3 + AR 0.6": Noise(0.6, heavy=True),
}


OTHERS = {
    "AR(2) 0.5, 0.3": Noise(0.5, second=0.3),
    "AR(2) 0.3, -0.5": Noise(0.3, second=-0.5),
    "volatile": Noise(volatile=True),
    "volatile + AR 0.6": Noise(0.6, volatile=True),
    "t3 + drift": Noise(1.0, heavy=True, white=3.0),
}
"""Noises that no procedure was made for."""


def demo_steps() -> np.ndarray:
    return pd.read_parquet(DEMO, columns=["checkpoint"])["checkpoint"].to_numpy()


def spacings() -> dict[str, np.ndarray]:
    """Steps of checkpoints, int64."""
    even = np.arange(300) * 100
    logarithmic = np.unique(np.geomspace(1, 100_000, 101).round().astype(np.int64))
    return {"demo": demo_steps(), "linear": even, "log": np.r_[0, logarithmic]}


def sparse_steps() -> np.ndarray:
    """40 checkpoints, evenly in log step."""
    return np.unique(np.geomspace(10, 100_000, 40).round().astype(np.int64))


def flat(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(steps), 3.0)


def power_law(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """a + b (1 + s / s0)^-c with exponents 0.2 to 2."""
    start, exponent = 10 ** rng.uniform(0.5, 3), 10 ** rng.uniform(-0.7, 0.3)
    return 2 + rng.uniform(2, 8) * (1 + steps / start) ** -exponent


def two_power_laws(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    both: np.ndarray = power_law(steps, rng) + power_law(steps, rng)
    return both


def step(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A logistic fall in log step, 0.1 to 0.3 decades wide."""
    return 5 - rng.uniform(0.5, 3) * _logistic(steps, rng)


def staircase(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    both: np.ndarray = step(steps, rng) + step(steps, rng)
    return both


def _logistic(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    place = np.log10(1 + steps)
    centre, width = rng.uniform(0.4, 0.9) * place[-1], 10 ** rng.uniform(-1, -0.5)
    return logistic(place, centre, width)


def logistic(place: np.ndarray, centre: float, width: float) -> np.ndarray:
    result: np.ndarray = 1 / (1 + np.exp(-(place - centre) / width))
    return result


SMOOTH: dict[str, Curve] = {
    "flat": flat,
    "power law": power_law,
    "two power laws": two_power_laws,
    "logistic step": step,
    "staircase": staircase,
}


def spiked(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A power law with a spike of 0.2 nats as in the demo: 1,380 to 1,640, recovered by 2,300."""
    spike = np.interp(steps, [1380, 1640, 1800, 2000, 2300], [0, 0.2, 0.13, 0.09, 0])
    curve: np.ndarray = 2.2 + 4.4 * (1 + steps / 100) ** -0.8 + spike
    return curve


def jumped(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A slow fall with a jump of 0.66 nats, as of the demo's copyable tokens (1,440 to 2,000)."""
    place = np.log10(1 + steps)
    curve: np.ndarray = 1.1 + 0.1 * (place[-1] - place) - 0.66 * logistic(place, 3.2, 0.02)
    return curve


def window_steps() -> np.ndarray:
    """The demo's checkpoints from 700 on, where one looks for the onset of copying."""
    steps = demo_steps()
    return steps[steps >= 700]


def share_error(share: float, n_trials: int) -> float:
    """Monte Carlo error of a share; as if one trial more had gone either way, so never 0."""
    wary = (share * n_trials + 1) / (n_trials + 2)
    return float(np.sqrt(wary * (1 - wary) / n_trials))

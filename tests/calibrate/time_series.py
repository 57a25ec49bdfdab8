"""How often events are found where there are none, and where one is planted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import signal

from queries.stats.events import find_events

DEMO = Path(__file__).parents[2] / "data" / "demo" / "checkpoints.parquet"
NOISE = 0.008
"""Nats: of the demo's mean loss, as its checkpoints differ from parabolas through nine of them."""
BURN_IN = 200

Curve = Callable[[np.ndarray, np.random.Generator], np.ndarray]


@dataclass(frozen=True)
class Noise:
    """An AR(1) process of standard deviation 1, a random walk (1), or that plus white noise."""

    coefficient: float = 0.0
    heavy: bool = False
    white: float = 0.0
    """Of white noise added to the walk, in units of the walk's steps."""

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        shocks = self._shocks(n + BURN_IN, rng)
        if self.coefficient == 1:
            return np.cumsum(shocks[:n]) + self.white * self._shocks(n, rng)
        path = signal.lfilter([1.0], [1.0, -self.coefficient], shocks)[BURN_IN:]
        result: np.ndarray = path * np.sqrt(1 - self.coefficient**2)
        return result

    def _shocks(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.standard_t(3, n) / np.sqrt(3) if self.heavy else rng.normal(0, 1, n)


NOISES = {
    "white": Noise(),
    **{f"AR {c}": Noise(c) for c in (0.4, 0.6, 0.8, 0.9, 0.95)},
    "random walk": Noise(1.0),
    "drift + white": Noise(1.0, white=3.0),
    "t3": Noise(heavy=True),
    "t3 + AR 0.6": Noise(0.6, heavy=True),
}


def demo_steps() -> np.ndarray:
    return pd.read_parquet(DEMO, columns=["checkpoint"])["checkpoint"].to_numpy()


def spacings() -> dict[str, np.ndarray]:
    """Steps of checkpoints, int64."""
    even = np.arange(300) * 100
    logarithmic = np.unique(np.geomspace(1, 100_000, 101).round().astype(np.int64))
    return {"demo": demo_steps(), "linear": even, "log": np.r_[0, logarithmic]}


def flat(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.full(len(steps), 3.0)


def power_law(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """a + b (1 + s / s0)^-c with exponents 0.2 to 2."""
    start, exponent = 10 ** rng.uniform(0.5, 3), 10 ** rng.uniform(-0.7, 0.3)
    return 2 + rng.uniform(2, 8) * (1 + steps / start) ** -exponent


def two_power_laws(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return power_law(steps, rng) + power_law(steps, rng)


def step(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A logistic fall in log step, 0.1 to 0.3 decades wide."""
    return 5 - rng.uniform(0.5, 3) * _logistic(steps, rng)


def staircase(steps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return step(steps, rng) + step(steps, rng)


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
    return 2.2 + 4.4 * (1 + steps / 100) ** -0.8 + spike


@dataclass(frozen=True)
class EventDesign:
    curve: str
    """Of `SMOOTH`, or "spike"."""
    noise: str
    """Of `NOISES`."""
    spacing: str
    """Of `spacings`."""

    def __str__(self) -> str:
        return f"{self.curve}, {self.noise}, {self.spacing} checkpoints"


def event_designs() -> list[EventDesign]:
    free = [EventDesign(c, e, s) for c in SMOOTH for e in NOISES for s in spacings()]
    return [*free, *(EventDesign("spike", e, "demo") for e in NOISES)]


@dataclass(frozen=True)
class EventTrial:
    """What `find_events` makes of one simulated curve."""

    called: bool
    """Some event has p < 0.05."""
    spike: bool
    """A spike is called; where one is planted, there."""
    cannot_tell: bool


def event_trial(design: EventDesign, seed: int) -> EventTrial:
    rng = np.random.default_rng([seed, 13])
    steps = spacings()[design.spacing]
    curve = spiked if design.curve == "spike" else SMOOTH[design.curve]
    values = curve(steps, rng) + NOISE * NOISES[design.noise].draw(len(steps), rng)
    found = find_events(steps, values)
    called = found[found["p_value"] < 0.05]
    spikes = called[called["kind"].isin(["spike", "hump"])]
    if design.curve == "spike":
        spikes = spikes[spikes["peak"].between(1500, 1800)]
    cannot_tell = bool(found["verdict"].str.startswith("cannot tell").any())
    return EventTrial(len(called) > 0, len(spikes) > 0, cannot_tell)


def calibrate(
    designs: Iterable[EventDesign], n_trials: int, seed: int = 0, workers: int = 1
) -> pd.DataFrame:
    """One row a design: procedure, design, n_trials, measure, rate, monte_carlo_error, cannot_tell,
    power, effect.

    The measure is "false claims", of all trials; NaN where a spike is planted, whose power is the
    share of trials in which it is found. The error is that of the rate or the power.
    """
    jobs = [(design, n_trials, seed) for design in designs]
    if workers == 1:
        return pd.DataFrame([_row(*job) for job in jobs])
    with Pool(workers) as pool:
        return pd.DataFrame(pool.starmap(_row, jobs, chunksize=1))


def all_designs() -> list[EventDesign]:
    return event_designs()


def _row(design: EventDesign, n_trials: int, seed: int) -> dict[str, object]:
    trials = [event_trial(design, seed + i) for i in range(n_trials)]
    planted = design.curve == "spike"
    share = float(np.mean([t.spike if planted else t.called for t in trials]))
    return {
        "procedure": "events",
        "design": str(design),
        "n_trials": n_trials,
        "measure": "false claims",
        "rate": np.nan if planted else share,
        "monte_carlo_error": float(np.sqrt(share * (1 - share) / n_trials)),
        "cannot_tell": float(np.mean([t.cannot_tell for t in trials])),
        "power": share if planted else np.nan,
        "effect": "spike of 0.2 nats" if planted else "",
    }

"""How often events are found where there are none, and where one is planted."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from queries.stats.time_series.events import find_events
from tests.calibrate.curves import (
    GROUP_NOISE,
    NOISE,
    NOISES,
    OTHERS,
    SMOOTH,
    Curve,
    jumped,
    share_error,
    spacings,
    sparse_steps,
    spiked,
)


@dataclass(frozen=True)
class Planted:
    """An event that is in a simulated curve."""

    curve: Curve
    kinds: tuple[str, ...]
    """Of `find_events`, any of which finds it."""
    peak: tuple[int, int]
    """Steps between which it is found."""
    effect: str


PLANTED = {
    "spike": Planted(spiked, ("spike", "hump"), (1500, 1800), "spike of 0.2 nats"),
    "jump": Planted(jumped, ("change_point",), (1440, 2000), "jump of 0.66 nats"),
}


@dataclass(frozen=True)
class EventDesign:
    """A curve with noise, at some checkpoints."""

    curve: str
    """Of `SMOOTH` or `PLANTED`."""
    noise: str
    """Of `NOISES` or `OTHERS`."""
    spacing: str = "demo"
    """Of `spacings`, or 40 "sparse" ones."""
    scale: float = NOISE
    """Standard deviation of the noise; of a random walk's steps. Nats."""

    procedure: ClassVar[str] = "events"

    @property
    def easy(self) -> bool:
        """Must there be an answer in most trials?"""
        return self.noise == "white"

    @property
    def asked(self) -> bool:
        """Must a planted effect be found in 80% of trials?"""
        return self.noise in ("white", "AR 0.4", "AR 0.6")

    @property
    def name(self) -> str:
        """What is simulated, in words."""
        return f"{self.curve}, {self.noise}, sd {self.scale:g}, {self.spacing} checkpoints"


def event_designs() -> list[EventDesign]:
    """Curves without events, then those with a planted one."""
    free = [EventDesign(c, e, s) for c in SMOOTH for e in NOISES for s in spacings()]
    spikes = [EventDesign("spike", e) for e in NOISES]
    louder = [EventDesign("spike", e, scale=0.01) for e in ("white", "AR 0.4", "AR 0.6")]
    jumps = [EventDesign("jump", e, scale=GROUP_NOISE) for e in NOISES]
    other = [EventDesign(c, e) for c in ("flat", "two power laws") for e in OTHERS]
    sparse = [EventDesign("power law", e, "sparse") for e in ("white", "AR 0.6", "AR 0.9", "t3")]
    return [*free, *other, *sparse, *spikes, *louder, *jumps]


@dataclass(frozen=True)
class EventTrial:
    """What `find_events` makes of one simulated curve."""

    called: bool
    """Some event has p < 0.05."""
    found: bool
    """The planted event is among them."""
    cannot_tell: bool


def event_trial(design: EventDesign, seed: int) -> EventTrial:
    """Simulate a curve and look for its events."""
    rng = np.random.default_rng([seed, 13])
    steps = sparse_steps() if design.spacing == "sparse" else spacings()[design.spacing]
    planted = PLANTED.get(design.curve)
    curve = planted.curve if planted else SMOOTH[design.curve]
    noise = {**NOISES, **OTHERS}[design.noise].draw(len(steps), rng)
    events = find_events(steps, curve(steps, rng) + design.scale * noise)
    called = events[events["p_value"] < 0.05]
    cannot_tell = bool(events["verdict"].str.startswith("cannot tell").any())
    if planted is None:
        return EventTrial(len(called) > 0, False, cannot_tell)
    there = called["kind"].isin(planted.kinds) & called["peak"].between(*planted.peak)
    return EventTrial(len(called) > 0, bool(there.any()), cannot_tell)


def event_rows(design: EventDesign, n_trials: int, seed: int) -> list[dict[str, object]]:
    """The row of a design; see `time_series.calibrate`."""
    trials = [event_trial(design, seed + i) for i in range(n_trials)]
    planted = PLANTED.get(design.curve)
    share = float(np.mean([t.found if planted else t.called for t in trials]))
    return [
        {
            "procedure": design.procedure,
            "design": design.name,
            "n_trials": n_trials,
            "measure": "power" if planted else "false claims",
            "rate": np.nan if planted else share,
            "monte_carlo_error": share_error(share, n_trials),
            "cannot_tell": float(np.mean([t.cannot_tell for t in trials])),
            "power": share if planted else np.nan,
            "effect": planted.effect if planted else "",
        }
    ]

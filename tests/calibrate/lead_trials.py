"""How often a curve is said to move first where neither does, and where one does."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from queries.stats.time_series.leads import Lead, lead
from tests.calibrate.curves import (
    NOISES,
    OTHERS,
    logistic,
    share_error,
    spacings,
    window_steps,
)

NOISE = 0.02
"""Nats: somewhat more than that of the demo's copyable tokens."""


@dataclass(frozen=True)
class LeadDesign:
    """Two curves that each fall once by about `size` nats, `lead` decades of steps apart."""

    curves: str
    """"steps", "first noise" or "both noise": what is noise does not move."""
    noise: str
    lead: float = 0.0
    size: float = 0.7
    spacing: str = "window"
    """Of `spacings`, or the demo's from step 700."""
    shapes: str = "same"
    """"widths": the second curve moves three times as slowly; "sizes": 0.7 times as far; "noises":
    with twice the noise."""

    procedure: ClassVar[str] = "which moves first"

    @property
    def easy(self) -> bool:
        """Must there be an answer in most trials? With a lead that is large enough."""
        return self.noise == "white" and self.lead >= 0.05

    @property
    def asked(self) -> bool:
        """Must a planted effect be found in 80% of trials?"""
        return self.noise in ("white", "AR 0.4", "AR 0.6") and self.lead >= 0.05

    @property
    def name(self) -> str:
        """What is simulated, in words."""
        what = f"lead {self.lead:g}" if self.lead else self.curves.replace("steps", "no lead")
        shapes = "" if self.shapes == "same" else f", unequal {self.shapes}"
        return f"{what}, {self.noise}, {self.spacing} checkpoints{shapes}"


def lead_designs() -> list[LeadDesign]:
    """Curves that fall together, curves that do not move, and planted leads."""
    level = ("white", "AR 0.4", "AR 0.6", "AR 0.9", "t3")
    same = [
        LeadDesign("steps", e, shapes=s)
        for e in level
        for s in ("same", "widths", "sizes", "noises")
    ]
    still = [LeadDesign(c, e) for e in NOISES for c in ("first noise", "both noise")]
    led = [LeadDesign("steps", e, lead) for e in level for lead in (0.01, 0.02, 0.05, 0.1)]
    other = [LeadDesign("steps", e, 0.1, spacing=s) for e in level[:3] for s in ("linear", "log")]
    others = [LeadDesign("steps", e) for e in OTHERS]
    return [*same, *still, *led, *other, *others]


def lead_trial(design: LeadDesign, seed: int) -> Lead:
    """Simulate two curves and ask which moves first."""
    rng = np.random.default_rng([seed, 29])
    steps = window_steps() if design.spacing == "window" else spacings()[design.spacing]
    one, two = _pair(design, steps, rng)
    return lead(steps, one, two, seed)


def lead_rows(design: LeadDesign, n_trials: int, seed: int) -> list[dict[str, object]]:
    """The rows of a design: claims of a lead, and coverage of the interval if both curves move."""
    trials = [lead_trial(design, seed + i) for i in range(n_trials)]
    right = float(np.mean([t.verdict == "first leads" for t in trials]))
    definite = float(np.mean([not t.verdict.startswith("cannot tell") for t in trials]))
    planted = design.lead > 0
    false = definite - right if planted else definite
    row = {
        "procedure": design.procedure,
        "design": design.name,
        "n_trials": n_trials,
        "measure": "false claims",
        "rate": false,
        "monte_carlo_error": share_error(false, n_trials),
        "cannot_tell": 1 - definite,
        "power": right if planted else np.nan,
        "effect": f"{10**design.lead:.2f} times later" if planted else "",
    }
    held = [t.low <= design.lead <= t.high for t in trials if not np.isnan(t.low)]
    if design.curves != "steps" or not held:
        return [row]
    interval = {
        "measure": "coverage",
        "rate": float(np.mean(held)),
        "monte_carlo_error": share_error(float(np.mean(held)), len(held)),
        "cannot_tell": 1 - len(held) / n_trials,
        "power": np.nan,
        "effect": "",
    }
    return [row, {**row, **interval}]


def _pair(
    design: LeadDesign, steps: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    place, noise = np.log10(1.0 + steps), {**NOISES, **OTHERS}[design.noise]
    middle = {"window": 3.2, "demo": 3.1, "linear": 3.8, "log": 3.0}[design.spacing]
    slower = 3.0 if design.shapes == "widths" else 1.0
    smaller = 0.7 if design.shapes == "sizes" else 1.0
    louder = 2.0 if design.shapes == "noises" else 1.0
    width = 0.02 if design.spacing in ("window", "demo") else 0.08
    centres = middle - design.lead / 2, middle + design.lead / 2
    one = 3 - design.size * logistic(place, centres[0], width)
    two = 2 - smaller * design.size * logistic(place, centres[1], slower * width)
    if design.curves != "steps":
        one = np.full(len(place), 3.0)
    if design.curves == "both noise":
        two = one
    walk = 0.3 if noise.coefficient == 1 else 1.0
    sd = NOISE * walk
    return one + sd * noise.draw(len(place), rng), two + louder * sd * noise.draw(len(place), rng)

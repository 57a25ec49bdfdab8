"""Age of acquisition from a fitted sigmoid, after Chang and Bergen 2022 (TACL 10:1).

Their R script was read (tylerachang/word-acquisition-language-models, `tacl_analyses.rmd`); the
formulas here give their 611 published values for GPT-2. Both asymptotes of the sigmoid are free:
only the threshold lies between chance and the lowest *observed* value.
"""

import warnings
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import expit

CROSSED = "crossed"
BEFORE = "before the first checkpoint"
NEVER = "not acquired"
NO_FIT = "no fit"
FEWEST = 5
"""Checkpoints: one more than the sigmoid has parameters."""
CALLS = 2_000
"""Of the sigmoid, at most, from each start."""


@dataclass(frozen=True)
class Sigmoid:
    """lower + (upper - lower) / (1 + exp((x - midpoint) / scale)), which falls as x grows."""

    upper: float
    """Nats."""
    lower: float
    midpoint: float
    """log10 of the step."""
    scale: float
    """Above 0."""

    @property
    def falls(self) -> bool:
        """Does the curve fall, or rise (its upper asymptote is then the lower one)?"""
        return self.upper > self.lower

    def at(self, x: np.ndarray) -> np.ndarray:
        """The curve in nats at log10 steps, float64 (n,)."""
        return _sigmoid(x, self.upper, self.lower, self.midpoint, self.scale)


@dataclass(frozen=True)
class Age:
    """When a fitted curve crosses the threshold."""

    status: str
    """"crossed", "not acquired", "before the first checkpoint" or "no fit"."""
    threshold: float
    """Nats."""
    log10_step: float
    """NaN unless crossed."""
    curve: Sigmoid | None


def fit(x: np.ndarray, y: np.ndarray) -> Sigmoid | None:
    """The sigmoid that fits `y` (nats) at `x` (log10 steps) best, both float64 (n,).

    Least squares with four free parameters and no bounds. The first start is that of Chang, Tu and
    Bergen 2024 (midpoint at the mean of x, scale 1), then come the 20 of Chang and Bergen 2022; the
    first that converges is kept. None if none does.
    """
    high, low, span = float(y.max()), float(y.min()), float(np.ptp(x))
    midpoints = x.min() + (0.2 + 0.03 * np.arange(1, 21)) * span
    starts = [(float(x.mean()), 1.0), *product(midpoints.tolist(), [span / 50])]
    for start in starts:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", OptimizeWarning)
                found, errors = curve_fit(_sigmoid, x, y, (high, low, *start), maxfev=CALLS)
        except RuntimeError:  # it did not converge
            continue
        if not np.isfinite(errors).all():  # it ended where a parameter has no effect
            continue
        upper, lower, midpoint, scale = (float(value) for value in found)
        # The same curve has two descriptions; this is the one with a scale above 0.
        if scale < 0:
            upper, lower, scale = lower, upper, -scale
        return Sigmoid(upper, lower, midpoint, scale)
    return None


def age(x: np.ndarray, y: np.ndarray, chance: float, share: float = 0.5) -> Age:
    """The log10 step at which the fitted curve is at (1 - share) chance + share min(y).

    `x` float64 (n,) are log10 steps, without step 0; `y` and `chance` are in nats. They count a
    curve that crosses outside of the checkpoints as acquired at the nearest; here it has a status
    and NaN.
    """
    threshold = (1 - share) * chance + share * float(y.min())
    curve = fit(x, y)
    if chance <= y.min():
        return Age(NEVER, threshold, np.nan, curve)
    if curve is None:
        return Age(NO_FIT, threshold, np.nan, None)
    if not curve.falls or threshold <= curve.lower:
        return Age(NEVER, threshold, np.nan, curve)
    if threshold >= curve.upper:
        return Age(BEFORE, threshold, np.nan, curve)
    ratio = (curve.upper - threshold) / (threshold - curve.lower)
    place = curve.midpoint + curve.scale * float(np.log(ratio))
    if place < x[0]:
        return Age(BEFORE, threshold, np.nan, curve)
    if place > x[-1]:
        return Age(NEVER, threshold, np.nan, curve)
    return Age(CROSSED, threshold, place, curve)


def _sigmoid(
    x: np.ndarray, upper: float, lower: float, midpoint: float, scale: float
) -> np.ndarray:
    result: np.ndarray = lower + (upper - lower) * expit(-(x - midpoint) / scale)
    return result

"""Which of two curves moves first, in log step: an answer only where all ways to measure agree.

The answer is about one run: an interval says how far noise moves it, not whether another run would
give the same.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import ndimage, signal, stats

from queries.errors import QueryError
from queries.stats.time_series import noise as noises
from queries.stats.time_series.autoregression import ORDER, autoregression, with_error
from queries.stats.time_series.events import RARE
from queries.stats.time_series.logistic_steps import EDGE, LogisticStep, LogisticSteps, fit_step

FEWEST = 30
"""Checkpoints needed to separate noise from learning."""
DRAWS = 399
LEVEL = 0.95
MOVED = 0.05
"""Largest p-value at which a curve has moved."""
PERSISTENT = 0.98
"""Sum of the autoregressive coefficients beyond which noise cannot be simulated.

A lower limit would not help: among persistent noises, it would keep the runs whose persistence is
estimated as much too low, and so the intervals that are much too narrow.
"""
WIDER = 1.03
"""Times that intervals widen, since the bootstrap's fall short by that in simulations."""
ZONE = 3.0
"""Widths of the logistic function around its centre within which a curve is moving."""
OUTSIDE = 6
"""Checkpoints needed before and after the zone in which the curves move."""
NAMES = ("first", "second")


@dataclass(frozen=True)
class Lead:
    """How far curve two is behind curve one.

    The half-way step of a curve is where its mean, without noise, is half-way from its level before
    it moves to its level after. `lead` is log10 of the half-way step of two over that of one
    (1 + step), above 0 if one is first. NaN where it cannot be measured.
    """

    half_way_one: float
    """Steps."""
    half_way_two: float
    lead: float
    low: float
    """95% interval of `lead`, for crossing in the whole window."""
    high: float
    verdict: str
    """"first leads", "second leads" (with the curves' names), or "cannot tell: " and the reason."""
    variants: pd.DataFrame
    """window, baseline, lead, low, high: one row per way to measure. Empty if none was possible."""

    @classmethod
    def unknown(cls, reason: str) -> "Lead":
        """No lead was measured."""
        empty = pd.DataFrame(columns=["window", "baseline", "lead", "low", "high"])
        nan = float("nan")
        return cls(nan, nan, nan, nan, nan, f"cannot tell: {reason}", empty)


@dataclass(frozen=True)
class _Variant:
    """One way to measure a lead."""

    window: str
    baseline: str
    lead: float
    low: float
    high: float


def lead(
    steps: np.ndarray,
    one: np.ndarray,
    two: np.ndarray,
    seed: int = 0,
    names: tuple[str, str] = NAMES,
) -> Lead:
    """Which curve moves first: `one` or `two`, float64 (checkpoints,) at int64 `steps`?

    First each curve must have moved beyond its noise, with a p-value of at most 0.05 in the
    maximized Monte Carlo test of `queries.stats.time_series.noise`. Then the half-way steps are
    compared in five ways: where the curve crosses the middle of its levels before and after; and as
    the centre of a logistic step on a level or on a line, in the whole window and in one cut to
    half on both sides. Intervals come from 399 curves simulated as a logistic step on a line plus
    autoregressive noise (order by AIC, at most 4; a sieve bootstrap, after Buehlmann 1997,
    Bernoulli 3:123, not checked), whose innovations are drawn from the residuals for both curves at
    once, since both were measured on the same weights. The verdict names a curve only if all five
    intervals agree; under 30 checkpoints it is "cannot tell". Raises QueryError for values that are
    not finite.
    """
    steps, curves = np.asarray(steps), np.stack([one, two]).astype(np.float64)
    if not np.isfinite(curves).all():
        raise QueryError("a curve has values that are not finite: expected a number at each step")
    if len(steps) < FEWEST:
        return Lead.unknown(f"fewer than {FEWEST} checkpoints ({len(steps)})")
    for name, curve in zip(names, curves, strict=True):
        if moved(steps, curve) > MOVED:
            return Lead.unknown(f"drifting noise could move the {name} curve as far")
    place = np.log10(1.0 + steps)
    fits = [fit_step(place, curve) for curve in curves]
    zone = _zone(fits)
    before, after = int((place < zone[0]).sum()), int((place > zone[1]).sum())
    if min(before, after) < OUTSIDE:
        return Lead.unknown(
            f"too few checkpoints before or after the curves move ({before} and {after}); choose a "
            f"window with at least {OUTSIDE} of each"
        )
    coefficients = [
        autoregression(curve - fit.fitted) for curve, fit in zip(curves, fits, strict=True)
    ]
    if max(float(c.sum()) for c in coefficients) > PERSISTENT:
        return Lead.unknown("the noise is as persistent as a random walk")
    coefficients = [with_error(c, len(steps)) for c in coefficients]
    draws = _draws(curves, fits, coefficients, seed)
    spread = _allowance(len(steps), coefficients)
    return _compared(place, curves, draws, fits, zone, spread, names)


def moved(steps: np.ndarray, values: np.ndarray) -> float:
    """p-value of the null hypothesis that only noise, of any persistence, moves a curve (n,).

    The statistic is the size of the logistic step that fits best over the noise at lags 1 to 4 that
    it leaves; p is the largest over the family of noise models, without those whose residuals have
    a higher autocorrelation (as of `events.Reference`).
    """
    place = tuple(np.log10(1.0 + np.asarray(steps)).tolist())
    size, memory = _step_over_noise(place, values[None])
    shares = []
    for sizes, memories in _step_null(place):
        if memory[0] >= memories.mean() - RARE * memories.std():
            shares.append((1 + (sizes >= size[0]).sum()) / (1 + len(sizes)))
    return float(max(shares, default=noises.FINEST)) + noises.FINEST


@lru_cache(maxsize=16)
def _step_null(place: tuple[float, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(20240301)
    paths = (noises.simulate(m, len(place), noises.DRAWS, rng) for m in noises.FAMILY)
    return [_step_over_noise(place, path) for path in paths]


def _step_over_noise(place: tuple[float, ...], curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Size of the best logistic step over the noise, and that noise's memory, float64 (curves,).

    The size is also divided by the square root of the checkpoints that the step takes, since a
    random walk moves in proportion to it.
    """
    steps = _all_steps(place)
    size = np.sqrt(steps.gain(curves)) * _per_root_checkpoint(place)[:, None]
    at = size.argmax(axis=0)
    basis = steps.bases[at]
    residuals = curves - np.einsum("cnk,ck->cn", basis, np.einsum("cnk,cn->ck", basis, curves))
    noise = noises.spread(residuals)
    # Noise at the longest lag that is measured, per checkpoint of a random walk.
    return size.max(axis=0) / noise.scales[:, noises.LONGEST - 1], noise.memory


@lru_cache(maxsize=16)
def _per_root_checkpoint(place: tuple[float, ...]) -> np.ndarray:
    """What turns a step's part in a curve into its size per root of checkpoints, (steps,)."""
    steps, x = _all_steps(place), np.array(place)
    inside = np.abs(x - steps.centres[:, None]) < 2 * steps.widths[:, None]
    height = np.ptp(steps.bases[:, :, -1], axis=1)
    result: np.ndarray = height / np.sqrt(1 + inside.sum(axis=1))
    return result


@lru_cache(maxsize=16)
def _all_steps(place: tuple[float, ...]) -> LogisticSteps:
    x = np.array(place)
    centres = np.linspace(x[EDGE], x[-EDGE - 1], 60)
    span = float(x[-1] - x[0])
    widths = np.geomspace(min(float(np.median(np.diff(x))) / 2, span / 50), span / 6, 6)
    return LogisticSteps.of(x, centres, widths, line=False)


def _zone(fits: list[LogisticStep]) -> tuple[float, float]:
    lows = [fit.centre - ZONE * fit.width for fit in fits]
    highs = [fit.centre + ZONE * fit.width for fit in fits]
    return min(lows), max(highs)


def _draws(
    curves: np.ndarray, fits: list[LogisticStep], coefficients: list[np.ndarray], seed: int
) -> np.ndarray:
    """Simulated curves, float64 (2, draws, n)."""
    n = curves.shape[1]
    burn = 100
    picked = np.random.default_rng(seed).integers(0, n - ORDER, (DRAWS, n + burn))
    drawn = []
    for curve, fit, weights in zip(curves, fits, coefficients, strict=True):
        filter_ = np.r_[1.0, -weights]
        innovations = signal.lfilter(filter_, [1.0], curve - fit.fitted)[ORDER:]
        # The fit has five parameters, and so had its residuals' variance, and the noise its own.
        innovations = (innovations - innovations.mean()) * np.sqrt(n / (n - 5 - len(weights)))
        noise = signal.lfilter([1.0], filter_, innovations[picked], axis=1)[:, burn:]
        drawn.append(fit.fitted + noise)
    return np.stack(drawn)


def _compared(
    place: np.ndarray,
    curves: np.ndarray,
    draws: np.ndarray,
    fits: list[LogisticStep],
    zone: tuple[float, float],
    spread: float,
    names: tuple[str, str],
) -> Lead:
    together = [
        np.vstack([curve, fit.fitted, drawn])
        for curve, fit, drawn in zip(curves, fits, draws, strict=True)
    ]
    one, two = (_crossings(place, part, zone) for part in together)
    found: list[_Variant] = [_Variant("whole", "levels", *_interval(one, two, spread))]
    whole = np.ones(len(place), dtype=bool)
    for window, used in (("whole", whole), ("inner", _inner(place, zone))):
        for baseline in ("level", "line"):
            parts = zip(together, fits, strict=True)
            first, second = (
                _centres(place[used], part[:, used], fit, baseline == "line") for part, fit in parts
            )
            found.append(_Variant(window, baseline, *_interval(first, second, spread)))
    best = found[0]
    half_one, half_two = float(10 ** one[0] - 1), float(10 ** two[0] - 1)
    table = pd.DataFrame([asdict(variant) for variant in found])
    return Lead(half_one, half_two, best.lead, best.low, best.high, _verdict(found, names), table)


def _inner(place: np.ndarray, zone: tuple[float, float]) -> np.ndarray:
    """The half of the checkpoints before the zone that is nearest to it, the zone, and after."""
    before, after = np.flatnonzero(place < zone[0]), np.flatnonzero(place > zone[1])
    first = before[-max(len(before) // 2, OUTSIDE)]
    last = after[max(len(after) // 2, OUTSIDE) - 1]
    column = np.arange(len(place))
    inside: np.ndarray = (column >= first) & (column <= last)
    return inside


def _crossings(place: np.ndarray, curves: np.ndarray, zone: tuple[float, float]) -> np.ndarray:
    """Where curves (draws, n) are half-way between their levels before and after, float64 (draws,).

    Measured as the length of the zone in which a curve is on the side of the level before. With
    one crossing that is its place; several, which noise makes, are averaged.
    """
    before, after = place < zone[0], place > zone[1]
    low, high = curves[:, before].mean(axis=1), curves[:, after].mean(axis=1)
    calm = ndimage.median_filter(curves, (1, 3), mode="nearest")
    share = (calm - low[:, None]) / (high - low)[:, None] - 0.5
    inside = np.flatnonzero(~before & ~after)
    around = np.arange(max(inside[0] - 1, 0), min(inside[-1] + 2, len(place)))
    share, x = share[:, around], place[around]
    here, there = share[:, :-1], share[:, 1:]
    gap = np.where(np.abs(there - here) < 1e-12, 1e-12, there - here)
    crossing = np.clip(-here / gap, 0, 1)
    below = np.where(
        here < 0, np.where(there < 0, 1, crossing), np.where(there < 0, 1 - crossing, 0)
    )
    result: np.ndarray = x[0] + (below * np.diff(x)).sum(axis=1)
    return result


def _centres(place: np.ndarray, curves: np.ndarray, fit: LogisticStep, line: bool) -> np.ndarray:
    """Centres of the logistic steps that fit curves (draws, n) best, float64 (draws,)."""
    reach = max(4 * fit.width, 4 * float(np.median(np.diff(place))))
    centres = fit.centre + np.linspace(-reach, reach, 61)
    widths = fit.width * np.geomspace(0.4, 2.5, 7)
    steps = LogisticSteps.of(place, centres, widths, line)
    gain = steps.gain(curves).reshape(len(centres), len(widths), -1)
    best = gain.max(axis=1)
    at = np.clip(best.argmax(axis=0), 1, len(centres) - 2)
    draw = np.arange(curves.shape[0])
    left, middle, right = (best[at + k, draw] for k in (-1, 0, 1))
    bend = np.where(np.abs(left - 2 * middle + right) < 1e-300, 1, left - 2 * middle + right)
    shift = np.clip((left - right) / 2 / bend, -1, 1)
    result: np.ndarray = centres[at] + shift * (centres[1] - centres[0])
    return result


def _allowance(n: int, coefficients: list[np.ndarray]) -> float:
    """Times that intervals widen, as noise is estimated: t over normal quantiles.

    With as many degrees of freedom as there are independent checkpoints, n (1 - r) / (1 + r) for
    the sum of coefficients r, less five for the step.
    """
    memory = min(max(0.0, *(float(c.sum()) for c in coefficients)), PERSISTENT)
    freedom = max(n * (1 - memory) / (1 + memory) - 5, 3.0)
    return WIDER * float(stats.t.ppf(0.975, freedom) / stats.norm.ppf(0.975))


def _interval(one: np.ndarray, two: np.ndarray, spread: float) -> tuple[float, float, float]:
    """Lead of the curves, which come first, with an interval.

    From how far the simulated curves, from the third on, are off the fitted ones, second.
    """
    between = two - one
    tail = (1 - LEVEL) / 2
    low, high = spread * np.quantile(between[2:] - between[1], [tail, 1 - tail])
    return float(between[0]), float(between[0] - high), float(between[0] - low)


def _verdict(variants: list[_Variant], names: tuple[str, str]) -> str:
    ahead = [variant.low > 0 for variant in variants]
    behind = [variant.high < 0 for variant in variants]
    if all(ahead):
        return f"{names[0]} leads"
    if all(behind):
        return f"{names[1]} leads"
    if any(ahead) or any(behind):
        return "cannot tell: it depends on the window and the baseline"
    return "cannot tell: noise alone could put either first"

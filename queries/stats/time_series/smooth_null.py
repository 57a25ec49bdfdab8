"""The smooth null of a trajectory: what a curve without events looks like."""

import numpy as np
from scipy import optimize

PER_DECADE = 20
"""Exponentials per decade of steps."""
WIDTHS = (0.1, 0.2)
"""Of logistic falls, in decades of steps."""
RESOLVED = 20
"""Checkpoints within two widths of the centre of a logistic fall: with fewer, it fits noise."""
RIDGE = 1e-4
"""Keeps the fit of nearly collinear curves finite."""
OFFSET = 3.0
"""Ranges above zero at which curves are fitted, so that the constant needs no sign of its own."""


def smooth(steps: np.ndarray, values: np.ndarray, excluded: np.ndarray) -> np.ndarray:
    """The smooth curve that fits `values`, float64 (n,) in nats at `steps`, best.

    A constant plus decaying exponentials of the step, plus logistic falls in log10(1 + step), with
    weights of one sign: non-negative least squares, over the columns that are not `excluded`, with
    the sign that fits better. Exponentials with weights of one sign make up every completely
    monotone function (after Bernstein 1929, Acta Mathematica 52:1, not checked), thus each power
    law a + b (1 + s / s0)^-c and each sum of such. Logistic falls, 0.1 and 0.2 decades wide, make
    up staircases; they are used only where checkpoints are dense enough.
    """
    falls = _falls(np.asarray(steps, dtype=np.float64))
    scale = max(float(np.ptp(values)), 1e-9)
    shifted = (values - values.min()) / scale + OFFSET
    fits = [_fit(sign * falls, shifted, ~excluded) for sign in (1, -1)]
    fitted = min(fits, key=lambda fit: fit[0])[1]
    result: np.ndarray = (fitted - OFFSET) * scale + values.min()
    return result


def _falls(steps: np.ndarray) -> np.ndarray:
    """float64 (n, falls), each from about 1 to 0."""
    last = max(float(steps[-1]), 10.0)
    times = np.geomspace(0.5, 3 * last, int(np.log10(last * 10) * PER_DECADE))
    place = np.log10(1.0 + steps)[:, None]
    centres = np.arange(0, float(place[-1, 0]) + 0.5, 0.1)
    falls = [np.exp(-steps[:, None] / times)]
    for width in WIDTHS:
        resolved = (np.abs(place - centres) < 2 * width).sum(axis=0) >= RESOLVED
        falls.append(1 / (1 + np.exp((place - centres[resolved]) / width)))
    return np.hstack(falls)


def _fit(falls: np.ndarray, values: np.ndarray, used: np.ndarray) -> tuple[float, np.ndarray]:
    """How far the fit misses the used values, and the fit, float64 (n,)."""
    design = np.hstack([np.ones((len(values), 1)), falls])
    ridge = RIDGE * np.eye(design.shape[1])
    target = np.r_[values[used], np.zeros(len(ridge))]
    most = 100 * len(ridge)
    weights, miss = optimize.nnls(np.vstack([design[used], ridge]), target, maxiter=most)
    return float(miss), design @ weights

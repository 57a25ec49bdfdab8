"""Autoregressive noise: its coefficients, estimated from the residuals of a curve."""

import numpy as np

ORDER = 4
"""Highest order that is tried."""


def autoregression(residuals: np.ndarray) -> np.ndarray:
    """Coefficients of autoregressive noise, float64 (order,); the order, at most 4, is AIC's.

    Least squares, with outliers clipped. The sum of the coefficients is raised by (4 + 6 sum) / n:
    for AR(1) the bias is (1 + 3 sum) / n around a mean (after Kendall 1954, Biometrika 41:403, not
    checked). It is larger around a fitted step on a line: the value here is from simulations.
    """
    limit = 4 * 1.4826 * float(np.median(np.abs(residuals)))
    calm = np.clip(residuals, -limit, limit)
    fits = (_least_squares(calm, order) for order in range(ORDER + 1))
    _, weights = min(fits, key=lambda fit: fit[0])
    if len(weights):
        weights = weights + (4 + 6 * weights.sum()) / len(calm) / len(weights)
    return weights


def with_error(coefficients: np.ndarray, n: int) -> np.ndarray:
    """Coefficients whose sum is half a standard error higher: persistence is easily missed."""
    if not len(coefficients):
        return coefficients
    total = min(max(float(coefficients.sum()), 0.0), 0.99)
    error = np.sqrt((1 - total**2) / n)
    result: np.ndarray = coefficients + error / 2 / len(coefficients)
    return result


def _least_squares(values: np.ndarray, order: int) -> tuple[float, np.ndarray]:
    """AIC of an autoregression, and its coefficients."""
    now = values[ORDER:]
    past = np.zeros((len(now), order))
    for lag in range(1, order + 1):
        past[:, lag - 1] = values[ORDER - lag : len(values) - lag]
    weights = np.linalg.lstsq(past, now, rcond=None)[0]
    variance = max(float(np.mean((now - past @ weights) ** 2)), 1e-300)
    return len(now) * float(np.log(variance)) + 2 * order, weights

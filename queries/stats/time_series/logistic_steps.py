"""Least-squares fits of one logistic step to a curve."""

from dataclasses import dataclass

import numpy as np

EDGE = 6
"""Checkpoints at either end at which no step is centred."""


@dataclass(frozen=True)
class LogisticStep:
    """A logistic step on a line, fitted to a curve."""

    centre: float
    width: float
    fitted: np.ndarray
    """float64 (n,)"""


@dataclass(frozen=True)
class LogisticSteps:
    """Orthonormal bases of logistic steps, with a level or line, for all centres and widths."""

    centres: np.ndarray
    widths: np.ndarray
    bases: np.ndarray
    """float64 (centres x widths, n, 2 or 3); the first one or two columns are level and line."""

    @classmethod
    def of(
        cls, place: np.ndarray, centres: np.ndarray, widths: np.ndarray, line: bool
    ) -> "LogisticSteps":
        c, w = (part.ravel() for part in np.meshgrid(centres, widths, indexing="ij"))
        shape = 1 / (1 + np.exp(-np.clip((place - c[:, None]) / w[:, None], -50, 50)))
        x = place - place.mean()
        fixed = [np.ones_like(place), x] if line else [np.ones_like(place)]
        columns = [np.broadcast_to(column, shape.shape) for column in fixed]
        bases, _ = np.linalg.qr(np.stack([*columns, shape], axis=-1))
        return cls(c, w, bases)

    def gain(self, values: np.ndarray) -> np.ndarray:
        """The squares that the step explains of curves (draws, n), float64 (pairs, draws)."""
        result: np.ndarray = (self.bases[:, :, -1] @ values.T) ** 2
        return result


def fit_step(place: np.ndarray, values: np.ndarray) -> LogisticStep:
    """The logistic step on a line that fits best, by least squares over centres and widths."""
    span = float(place[-1] - place[0])
    spacing = float(np.median(np.diff(place)))
    inner = place[EDGE:-EDGE]
    centres = np.linspace(inner[0], inner[-1], 120)
    widths = np.geomspace(min(spacing / 2, span / 50), span / 6, 10)
    for _ in range(2):
        steps = LogisticSteps.of(place, centres, widths, line=True)
        at = int(steps.gain(values[None]).argmax())
        centre, width = float(steps.centres[at]), float(steps.widths[at])
        gap, ratio = centres[1] - centres[0], widths[1] / widths[0]
        centres = np.linspace(centre - gap, centre + gap, 41)
        widths = np.geomspace(width / ratio, width * ratio, 9)
    steps = LogisticSteps.of(place, np.array([centre]), np.array([width]), line=True)
    basis = steps.bases[0]
    return LogisticStep(centre, width, basis @ (basis.T @ values))

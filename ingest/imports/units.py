"""From published numbers to losses in nats, with the first number that cannot be one."""

import numpy as np

from ingest.errors import IngestError
from ingest.imports.results import Unit

ROUNDING = 1e-5
"""Nats. A log-probability that is above 0 by less is a rounding error, and counts as 0."""
_LN = {"nats": 1.0, "bits": float(np.log(2)), "log10": float(np.log(10)), "logprob": -1.0}
_WRONG_SIGN = {
    "nats": "a negative loss (is it a log-probability? Give --unit logprob)",
    "bits": "a negative surprisal (is it a log-probability? Give --unit logprob)",
    "log10": "a negative surprisal (is it a log-probability? Give --unit logprob)",
    "logprob": "a positive log-probability (is it a loss? Give --unit nats)",
}


def to_nats(values: np.ndarray, unit: Unit) -> np.ndarray:
    """-ln p, float32 (n,). NaN stays, and what is no value of this unit becomes NaN or infinite.

    bits: -log2 p; log10: -log10 p; logprob: ln p; probability: p.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        if unit == "probability":
            wide = np.asarray(values, np.float64)
            losses = np.where(wide <= 1 + ROUNDING, -np.log(np.minimum(wide, 1)), np.nan)
        else:
            losses = np.asarray(values) * _LN[unit]
            losses[(losses < 0) & (losses >= -ROUNDING)] = 0
            losses[losses < 0] = np.nan
        return losses.astype(np.float32) + np.float32(0)  # no negative zero


def first_unusable(losses: np.ndarray) -> int | None:
    """The place of the first loss that is NaN or infinite."""
    bad = ~np.isfinite(losses)
    return int(bad.argmax()) if bad.any() else None


def objection(value: float, unit: Unit) -> str:
    """What is wrong with a published number that gave no finite loss."""
    if np.isnan(value):
        return "no loss (NaN or null)"
    if unit == "probability":
        if value == 0:
            return "a probability of 0, whose loss is infinite (float16 has none below 6e-8)"
        return f"a probability of {value:g}: expected a number from 0 to 1"
    if np.isinf(value):
        return f"an infinite value ({value:g})"
    return f"{_WRONG_SIGN[unit]}: {value:g}"


def refuse(where: str, value: float, unit: Unit) -> IngestError:
    """The error for such a number."""
    return IngestError(f"{where}: {objection(value, unit)}; nothing was imported")

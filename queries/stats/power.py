"""What a comparison could have shown: the smallest difference that it would usually detect."""

import numpy as np
from scipy import special

POWER = 0.8


def detectable(
    standard_error: np.ndarray | float,
    degrees: np.ndarray | float,
    level: float = 0.05,
    power: float = POWER,
) -> np.ndarray:
    """The smallest true difference that a two-sided test at `level` finds with probability `power`.

    (t quantile of 1 - level / 2 + t quantile of power) * standard error: the minimum detectable
    effect of Bloom 1995, Evaluation Review 19:547. In the unit of `standard_error`, and of its
    shape; NaN where that is NaN. "Nothing was found" says little about differences below it.
    """
    reach = special.stdtrit(degrees, 1 - level / 2) * np.asarray(standard_error, dtype=np.float64)
    return detectable_beyond(reach, standard_error, degrees, power)


def detectable_beyond(
    reach: np.ndarray,
    standard_error: np.ndarray | float,
    degrees: np.ndarray | float,
    power: float = POWER,
) -> np.ndarray:
    """The same for a band of half-width `reach`, such as a simultaneous one."""
    smallest: np.ndarray = reach + special.stdtrit(degrees, power) * np.asarray(standard_error)
    return smallest

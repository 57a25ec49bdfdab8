"""Means over token groups with bands that treat source documents as the sampled unit.

Tokens of one document are not independent, so the standard error is that of whole documents. The
usual cluster-robust one (CR1; Liang and Zeger 1986, Biometrika 73:13) is too small if there are few
documents, or a few hold most of the tokens: such a document pulls the mean towards itself, and its
residual looks harmless. The default is the jackknife over documents (CV3; Bell and McCaffrey 2002,
Survey Methodology 28:169; MacKinnon, Nielsen and Webb 2023, J. Applied Econometrics 38:671), with
the t quantile of effective documents less 1 degrees of freedom, (sum n)^2 / sum n^2 - 1: for equal
documents, S - 1. Cameron and Miller 2015, J. Human Resources 50:317, section VI, compare such
corrections. `docs/calibration.md` has the coverage of these.

Differences and ratios have the influences that the delta method gives (van der Vaart 1998,
Asymptotic Statistics, chapter 3; for ratios Cochran 1977, Sampling Techniques, chapter 6).
"""

from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import special

from queries.engine.sums import GroupSums
from queries.errors import QueryError

LEVEL = 0.95
FEWEST = 4.0
"""Effective documents. With fewer, simulated bands cover too rarely or too often."""
LARGEST = 1_000
"""Degrees of freedom: above, the quantile is that of 1,000 (1.9623, against 1.9600)."""
Method = Literal["cv3", "cr1"]


@dataclass(frozen=True)
class Band:
    """An estimate and its 95% interval, float64 (checkpoints,); NaN where there is no band."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    standard_error: np.ndarray
    degrees: np.ndarray
    """Of freedom of the t quantile."""
    n_docs_effective: float
    """How many documents of equal size would be as informative; of two groups, the fewer."""
    verdict: str
    """Why there is no band: a sentence that begins with "cannot tell"; else empty."""

    def frame(self, checkpoints: np.ndarray, name: str) -> pd.DataFrame:
        """Columns checkpoint, `name` (the estimate), low, high, n_docs_effective, verdict."""
        return pd.DataFrame(
            {
                "checkpoint": checkpoints,
                name: self.estimate,
                "low": self.low,
                "high": self.high,
                "n_docs_effective": self.n_docs_effective,
                "verdict": self.verdict,
            }
        )


@dataclass(frozen=True)
class Side:
    """A mean, and what each source document does to it."""

    mean: np.ndarray
    """float64 (checkpoints,)"""
    left_out: np.ndarray
    """By how much the mean falls without each source, float64 (sources, checkpoints)."""
    share: np.ndarray
    """Of the mean's weight in each source, float64 (sources,); sums to 1."""
    n_tokens: float
    """Tokens; of weighted ones, how many of equal weight would be as informative."""

    @classmethod
    def of(cls, group: GroupSums) -> "Side":
        """Without a source, the mean changes by its summed residuals over the other tokens."""
        mean, n = group.mean, group.n_tokens
        left_out = group.counts[:, None] * -mean
        left_out += group.sums
        left_out *= _over(n - group.counts)
        return cls(mean, left_out, group.counts / n, n)

    @classmethod
    def weighted(
        cls, mean: np.ndarray, influence: np.ndarray, share: np.ndarray, n_tokens: float
    ) -> "Side":
        """Of what each source adds to the mean's error, `influence`, as `left_out`."""
        return cls(mean, influence * _over(1 - share), share, n_tokens)

    @property
    def influence(self) -> np.ndarray:
        """What each source adds to the mean's error, float64 (sources, checkpoints)."""
        influence: np.ndarray = self.left_out * (1 - self.share)[:, None]
        return influence

    @property
    def effective(self) -> float:
        """(sum n)^2 / sum n^2 of the tokens n by source."""
        return effective(self.share)

    @property
    def token_variance(self) -> np.ndarray:
        """Of the mean, what each source adds if tokens vary independently; up to a factor."""
        variance: np.ndarray = self.share / self.n_tokens
        return variance

    def since(self, column: int) -> "Side":
        """The mean less its value at one checkpoint, token by token."""
        left_out = self.left_out - self.left_out[:, [column]]
        return Side(self.mean - self.mean[column], left_out, self.share, self.n_tokens)


def _over(remaining: np.ndarray) -> np.ndarray:
    """1 over what the other sources hold, float64 (sources, 1); 0 for a group of one source."""
    over = np.divide(1, remaining, out=np.zeros(len(remaining)), where=remaining > 1e-12)
    column: np.ndarray = over[:, None]
    return column


def effective(weights: np.ndarray) -> float:
    """How many equal weights are as informative, (sum w)^2 / sum w^2."""
    return float(weights.sum() ** 2 / (weights**2).sum())


def mean_band(group: GroupSums, method: Method = "cv3") -> Band:
    """A group's mean loss. With "cr1", S / (S - 1) * sum of influence^2 and S - 1 degrees."""
    return one_sided(Side.of(group), method)


def change_band(group: GroupSums, since: int, method: Method = "cv3") -> Band:
    """A group's mean minus its mean at the checkpoint in column `since`, token by token."""
    return one_sided(Side.of(group).since(since), method)


def difference_band(first: GroupSums, second: GroupSums, method: Method = "cv3") -> Band:
    """First mean minus second, paired by source: what each source does to both is subtracted."""
    return two_sided(Side.of(first), Side.of(second), method)


def ratio_band(first: GroupSums, second: GroupSums, method: Method = "cv3") -> Band:
    """First mean over second, paired by source; d(a / b) = (da - (a / b) db) / b.

    NaN where the second mean is 0.
    """
    one, two = Side.of(first), Side.of(second)
    with np.errstate(divide="ignore", invalid="ignore"):
        over = np.where(two.mean == 0, np.nan, 1 / two.mean)
        ratio = one.mean * over
        np.multiply(two.left_out, ratio, out=two.left_out)
        scaled = replace(two, mean=ratio * two.mean)
    band = two_sided(one, scaled, method)  # of a - (a / b) b, which is 0
    reach = (band.high - band.estimate) * np.abs(over)
    return replace(
        band,
        estimate=ratio,
        low=ratio - reach,
        high=ratio + reach,
        standard_error=band.standard_error * np.abs(over),
    )


def one_sided(side: Side, method: Method = "cv3") -> Band:
    """The band of one mean."""
    n = int((side.share > 0).sum())
    if _is_cr1(method):
        return _band(side.mean, _cr1(side.influence, n), n - 1, side.effective, n >= 2)
    variance = jackknife(side.left_out, n)
    return _band(side.mean, variance, side.effective - 1, side.effective)


def two_sided(one: Side, two: Side, method: Method = "cv3") -> Band:
    """The band of a difference of means that may share source documents.

    The degrees of freedom are the fewer of two that Satterthwaite's formula (1946, Biometrics
    2:110) gives: for independent groups whose variances are as estimated (Welch 1947, Biometrika
    34:28), and for documents whose differences vary as independent tokens make them.
    """
    n = int(((one.share > 0) | (two.share > 0)).sum())
    fewer = min(one.effective, two.effective)
    estimate = one.mean - two.mean
    if _is_cr1(method):
        several = min((one.share > 0).sum(), (two.share > 0).sum()) > 1
        return _band(estimate, _cr1(one.influence - two.influence, n), n - 1, fewer, bool(several))
    left = one.left_out, two.left_out
    degrees = welch(one, two, jackknife(left[0], n), jackknife(left[1], n))
    return _band(estimate, jackknife(left[0] - left[1], n), degrees, fewer)


def _is_cr1(method: Method) -> bool:
    if method not in get_args(Method):
        raise QueryError(f"there is no band {method!r}: expected {' or '.join(get_args(Method))}")
    return method == "cr1"


def welch(one: Side, two: Side, variance: np.ndarray, other_variance: np.ndarray) -> np.ndarray:
    """Degrees of freedom of a difference; variances of the means float64 (checkpoints,)."""
    paired = effective(one.token_variance + two.token_variance) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = variance**2 / (one.effective - 1) + other_variance**2 / (two.effective - 1)
        independent = (variance + other_variance) ** 2 / parts
    degrees: np.ndarray = np.fmin(independent, paired)
    return degrees


def jackknife(left_out: np.ndarray, n: int) -> np.ndarray:
    """(n - 1) / n * sum of what leaving out each of n sources does, squared; (checkpoints,)."""
    variance: np.ndarray = (n - 1) / n * np.einsum("ij,ij->j", left_out, left_out)
    return variance


def _cr1(influence: np.ndarray, n: int) -> np.ndarray:
    variance: np.ndarray = n / max(n - 1, 1) * np.einsum("ij,ij->j", influence, influence)
    return variance


def t_quantile(degrees: np.ndarray | float) -> np.ndarray:
    """The 97.5% quantile of t; degrees are rounded down to a tenth, as in the catalog's macros."""
    tenths = np.clip(np.floor(10 * np.asarray(degrees) + 1e-6), 10, 10 * LARGEST)
    quantile: np.ndarray = special.stdtrit(tenths / 10, (1 + LEVEL) / 2)
    return quantile


def cannot_tell(n_effective: float) -> str:
    """The verdict on so few effective documents; empty if they are enough."""
    if n_effective >= FEWEST - 1e-9:
        return ""
    return too_few_effective(n_effective, "source documents")


def too_few_effective(n_effective: float, name: str) -> str:
    """The verdict on fewer than 4; 3.97 is not said to be 4.0."""
    shown = min(n_effective, FEWEST - 0.1)
    return f"cannot tell: {shown:.1f} effective {name}, at least {FEWEST:g} are needed"


def _band(
    estimate: np.ndarray,
    variance: np.ndarray,
    degrees: np.ndarray | float,
    n_effective: float,
    several: bool | None = None,
) -> Band:
    """`several`: are there documents enough? If not given, `cannot_tell` decides."""
    verdict = cannot_tell(n_effective) if several is None or not several else ""
    error = np.full_like(estimate, np.nan) if verdict else np.sqrt(variance)
    free = np.broadcast_to(np.asarray(degrees, dtype=np.float64), estimate.shape)
    reach = t_quantile(free) * error
    return Band(estimate, estimate - reach, estimate + reach, error, free, n_effective, verdict)

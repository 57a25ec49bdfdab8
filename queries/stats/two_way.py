"""Did a group of tokens change differently from the rest, and would it in other text?

A text samples two things: source documents and token types. Tokens of one document, and occurrences
of one type, change together, so a difference of means is more uncertain than its number of tokens
suggests. The standard error here is the larger of two, each for sampling in both ways:

- cluster-robust, from the group's own tokens: the variance between documents, plus that between
  types, less that between cells of both (Cameron, Gelbach and Miller 2011, J. Business & Economic
  Statistics 29:238). The first two are jackknives over whole clusters (CV3: MacKinnon, Nielsen and
  Webb 2023, J. Applied Econometrics 38:671), since large clusters pull the mean towards themselves.
- by variance components, from all tokens: what random effects of documents, of types, and of
  occurrences would do to a group of this make-up. Few clusters can look more alike than they are.

The p-value is that of the t distribution. Degrees of freedom are those of the larger error: the
number of effective clusters less 1 for the first, Satterthwaite's for the second. With fewer
effective clusters than `FEWEST` there is none.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy import stats

from queries.errors import QueryError
from queries.stats.bands import FEWEST, too_few_effective

Claim = Literal["both", "documents", "types"]
Method = Literal["bh", "by"]
_AT_ONCE = 64  # groups, times tens of thousands of token types: some tens of megabytes


@dataclass(frozen=True)
class Clustering:
    """Which cluster each token is in, and what a token's clusters hold."""

    of_token: np.ndarray
    """int64 (tokens,), from 0, each cluster with a token."""
    counts: np.ndarray
    """Tokens by cluster, float64 (clusters,)."""
    sums: np.ndarray
    """Summed change by cluster in nats, float64 (clusters,)."""

    @classmethod
    def of(cls, of_token: np.ndarray, change: np.ndarray) -> "Clustering":
        _, dense = np.unique(of_token, return_inverse=True)
        counts = np.bincount(dense).astype(np.float64)
        return cls(dense, counts, np.bincount(dense, change))

    @property
    def n(self) -> int:
        return len(self.counts)

    @property
    def effective(self) -> float:
        """How many clusters of equal size would be as informative: (sum n)^2 / sum n^2."""
        return float(self.counts.sum() ** 2 / (self.counts**2).sum())


@dataclass(frozen=True)
class Changes:
    """Each token's change in a region of training, its source document and its token type."""

    change: np.ndarray
    """Nats, float64 (tokens,)."""
    source: np.ndarray
    """int64 (tokens,)"""
    token_type: np.ndarray
    """int64 (tokens,)"""

    @cached_property
    def documents(self) -> Clustering:
        return Clustering.of(self.source, self.change)

    @cached_property
    def types(self) -> Clustering:
        return Clustering.of(self.token_type, self.change)

    @cached_property
    def cells(self) -> Clustering:
        """Tokens of one type in one document."""
        code = self.documents.of_token * self.types.n + self.types.of_token
        return Clustering.of(code, self.change)

    @cached_property
    def components(self) -> "Components":
        return components(self)


@dataclass(frozen=True)
class Components:
    """Variances in nats squared of a token's change: of its document, its type, and by itself."""

    document: float
    token_type: float
    occurrence: float


def components(changes: Changes) -> Components:
    """Variance components of documents, types and occurrences, by moments; none is negative.

    Three sums of squares, in all, between documents and between types, are set to their
    expectations (method 1 of Henderson 1953, Biometrics 9:226).
    """
    documents, types, cells = changes.documents, changes.types, changes.cells
    n, centred = len(changes.change), changes.change - changes.change.mean()
    first = np.zeros(cells.n, dtype=np.int64)
    first[cells.of_token] = np.arange(n)
    of_document, of_type = documents.of_token[first], types.of_token[first]
    sides = ((documents, of_document), (types, of_type))
    squares = [float((centred**2).sum())]
    squares += [
        float((np.bincount(one.of_token, centred) ** 2 / one.counts).sum()) for one, _ in sides
    ]
    lost = [float((one.counts**2).sum()) / n for one, _ in sides]
    mixed = [float((cells.counts**2 / one.counts[at]).sum()) for one, at in sides]
    shares = [
        [n - 1.0, n - lost[0], n - lost[1]],
        [documents.n - 1.0, n - lost[0], mixed[0] - lost[1]],
        [types.n - 1.0, mixed[1] - lost[0], n - lost[1]],
    ]
    found = np.linalg.lstsq(np.array(shares), np.array(squares), rcond=None)[0]
    occurrence, document, token_type = np.maximum(found, 0.0).tolist()
    return Components(document, token_type, occurrence)


def group_differences(
    label: np.ndarray, n_groups: int, changes: Changes, claim: Claim = "both"
) -> pd.DataFrame:
    """Each group's mean change, that of all other tokens, their difference and its p-value.

    `label` int64 (tokens,) below `n_groups`, -1 for tokens of no group. `claim` says what a
    difference would hold for: "both" other documents and other token types, "documents" of these
    very token types, or other "types" in these very documents.

    Returns n_tokens, n_docs, n_docs_effective, n_types, n_types_effective, mean_change,
    rest_change, difference (nats), standard_error, degrees_of_freedom, p_value, verdict; one row a
    group. If the group or the rest has fewer than 4 effective documents or types of those sampled,
    the verdict begins with "cannot tell" and says why, and the three columns before it are NaN.
    """
    rows = np.flatnonzero(label >= 0)
    found = _described(rows, label[rows], n_groups, changes, claim)
    tested = np.flatnonzero(found["verdict"].to_numpy() == "")
    place = np.full(n_groups, -1)
    place[tested] = np.arange(len(tested))
    rows = rows[place[label[rows]] >= 0]
    rows = rows[np.argsort(place[label[rows]], kind="stable")]
    group = place[label[rows]]
    errors = np.full((2, n_groups), np.nan)
    for first in range(0, len(tested), _AT_ONCE):
        n = min(_AT_ONCE, len(tested) - first)
        part = slice(*np.searchsorted(group, (first, first + n)))
        errors[:, tested[first : first + n]] = _errors(
            rows[part], group[part] - first, n, changes, claim
        )
    found["standard_error"], found["degrees_of_freedom"] = errors
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = found["difference"].abs() / found["standard_error"]
    found["p_value"] = 2 * stats.t.sf(ratio, found["degrees_of_freedom"])
    return found[[c for c in found if c != "verdict"] + ["verdict"]]


def _described(
    rows: np.ndarray, group: np.ndarray, n: int, changes: Changes, claim: Claim
) -> pd.DataFrame:
    """Sizes, means and verdicts of n groups, whose tokens `rows` are."""
    size = np.bincount(group, minlength=n)
    sums = np.bincount(group, changes.change[rows], minlength=n)
    documents, types = (
        _sizes(whole, rows, group, size) for whole in (changes.documents, changes.types)
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = sums / size
        rest = (changes.change.sum() - sums) / (len(changes.change) - size)
    return pd.DataFrame(
        {
            "n_tokens": size,
            "n_docs": documents[0],
            "n_docs_effective": documents[1],
            "n_types": types[0],
            "n_types_effective": types[1],
            "mean_change": mean,
            "rest_change": rest,
            "difference": mean - rest,
            "verdict": [
                _verdict(*pair, claim) for pair in zip(documents[1], types[1], strict=True)
            ],
        }
    )


def _sizes(
    whole: Clustering, rows: np.ndarray, group: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Clusters of each group, and the fewer effective clusters of the group and of the rest."""
    code, counts = np.unique(group * whole.n + whole.of_token[rows], return_counts=True)
    of_group, at = code // whole.n, code % whole.n
    n = len(size)
    squares = np.bincount(of_group, counts**2.0, minlength=n)
    shared = np.bincount(of_group, counts * whole.counts[at], minlength=n)
    rest = np.maximum((whole.counts**2).sum() - 2 * shared + squares, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        effective = np.minimum(size**2 / squares, (len(whole.of_token) - size) ** 2 / rest)
    return np.bincount(of_group, minlength=n), effective


@dataclass(frozen=True)
class _Sides:
    """Groups (lines) and the rest of each, by cluster (columns)."""

    counts: np.ndarray
    rest_counts: np.ndarray
    residuals: np.ndarray
    """Summed residuals of the group over its tokens, float64 (groups, clusters)."""
    rest_residuals: np.ndarray

    @classmethod
    def of(
        cls, rows: np.ndarray, group: np.ndarray, n: int, whole: Clustering, change: np.ndarray
    ) -> "_Sides":
        slots, size = group * whole.n + whole.of_token[rows], n * whole.n
        counts = np.bincount(slots, minlength=size).reshape(n, -1).astype(np.float64)
        sums = np.bincount(slots, change[rows], minlength=size).reshape(n, -1)
        rest_counts = whole.counts - counts
        return cls(
            counts,
            rest_counts,
            _residuals(counts, sums),
            _residuals(rest_counts, whole.sums - sums),
        )

    @cached_property
    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        return _shares(self.counts), _shares(self.rest_counts)

    @property
    def variance(self) -> np.ndarray:
        """Of the difference, by the jackknife over clusters (CV3), float64 (groups,)."""
        own, rest = self.shares
        left_out = self.residuals / (1 - own) - self.rest_residuals / (1 - rest)
        n = ((self.counts > 0) | (self.rest_counts > 0)).sum(axis=1)
        variance: np.ndarray = (n - 1) / n * (left_out**2).sum(axis=1)
        return variance

    @property
    def uneven(self) -> np.ndarray:
        """Sum of squared differences of the two sides' shares, float64 (groups,)."""
        own, rest = self.shares
        uneven: np.ndarray = ((own - rest) ** 2).sum(axis=1)
        return uneven

    @property
    def degrees(self) -> np.ndarray:
        """Effective clusters of the difference less 1: Satterthwaite's for independent tokens."""
        own, rest = self.shares
        n, m = self.counts.sum(axis=1, keepdims=True), self.rest_counts.sum(axis=1, keepdims=True)
        parts = own / n + rest / m
        degrees: np.ndarray = parts.sum(axis=1) ** 2 / (parts**2).sum(axis=1) - 1
        return degrees


def _residuals(counts: np.ndarray, sums: np.ndarray) -> np.ndarray:
    n = counts.sum(axis=1, keepdims=True)
    residuals: np.ndarray = (sums - counts * (sums.sum(axis=1, keepdims=True) / n)) / n
    return residuals


def _shares(counts: np.ndarray) -> np.ndarray:
    shares: np.ndarray = counts / counts.sum(axis=1, keepdims=True)
    return shares


def _verdict(documents: float, types: float, claim: Claim) -> str:
    for name, effective, fixed in (
        ("source documents", documents, "types"),
        ("token types", types, "documents"),
    ):
        if claim != fixed and not effective >= FEWEST - 1e-9:
            return too_few_effective(effective, name)
    return ""


def _errors(
    rows: np.ndarray, group: np.ndarray, n: int, changes: Changes, claim: Claim
) -> tuple[np.ndarray, np.ndarray]:
    """Standard error and degrees of freedom of n groups' differences: the larger of the two."""
    found = changes.components
    sampled = {
        "documents": (changes.documents, found.document),
        "types": (changes.types, found.token_type),
    }
    names = list(sampled) if claim == "both" else [claim]
    sides = [_Sides.of(rows, group, n, sampled[name][0], changes.change) for name in names]
    own = np.max([side.variance for side in sides], axis=0)
    if claim == "both":
        both = sum(side.variance for side in sides) - _cell_variance(rows, group, n, changes)
        own = np.maximum(own, both)
    own_degrees = np.min([side.degrees for side in sides], axis=0)
    size = np.bincount(group, minlength=n)
    parts: list[tuple[np.ndarray, float]] = [
        (found.occurrence * (1 / size + 1 / (len(changes.change) - size)), len(changes.change) - 1)
    ]
    for name, side in zip(names, sides, strict=True):
        whole, variance = sampled[name]
        parts.append((variance * side.uneven, whole.effective - 1))
    common, common_degrees = _satterthwaite(parts)
    larger = own > common
    return (
        np.sqrt(np.where(larger, own, common)),
        np.maximum(np.where(larger, own_degrees, common_degrees), 1.0),
    )


def _satterthwaite(parts: list[tuple[np.ndarray, float]]) -> tuple[np.ndarray, np.ndarray]:
    """The sum of variances with their degrees of freedom, and its own (1946, Biometrics 2:110)."""
    whole = np.sum([part for part, _ in parts], axis=0)
    spread = np.sum([part**2 / max(degrees, 1e-9) for part, degrees in parts], axis=0)
    return whole, whole**2 / spread


def _cell_variance(rows: np.ndarray, group: np.ndarray, n: int, changes: Changes) -> np.ndarray:
    """Between cells of one type in one document, float64 (groups,).

    Most cells have no token of the group: what they add is got from sums over all cells, less the
    cells with one.
    """
    cells = changes.cells
    code, of_row = np.unique(group * cells.n + cells.of_token[rows], return_inverse=True)
    of_group, at = code // cells.n, code % cells.n
    counts, sums = np.bincount(of_row), np.bincount(of_row, changes.change[rows])
    size, total = np.bincount(group, minlength=n), np.bincount(of_group, sums, minlength=n)
    rest_size = len(changes.change) - size
    mean, rest = total / size, (changes.change.sum() - total) / rest_size
    untouched = (
        (cells.sums**2).sum()
        - 2 * rest * (cells.sums * cells.counts).sum()
        + rest**2 * (cells.counts**2).sum()
    )
    whole = cells.sums[at] - cells.counts[at] * rest[of_group]
    own = sums - counts * mean[of_group]
    others = whole - (sums - counts * rest[of_group])
    mixed = (own / size[of_group] - others / rest_size[of_group]) ** 2
    variance: np.ndarray = (
        untouched - np.bincount(of_group, whole**2, minlength=n)
    ) / rest_size**2 + np.bincount(of_group, mixed, minlength=n)
    return variance


def refuse_other_claims(claim: str, method: str) -> None:
    """Raises QueryError for an unknown claim or method."""
    for name, value, known in (("claim", claim, Claim), ("method", method, Method)):
        if value not in get_args(known):
            raise QueryError(
                f"there is no {name} {value!r}: expected {' or '.join(get_args(known))}"
            )


def false_discovery(p_values: np.ndarray, method: Method = "bh") -> np.ndarray:
    """q-values of p-values, float64 (n,); NaN stays NaN and does not count as a test.

    "bh" (Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57:289) bounds the share of false
    discoveries if tests are independent or positively dependent; groups that exclude each other
    are neither, though in simulations it holds (docs/calibration.md). "by" (Benjamini and Yekutieli
    2001, Annals of Statistics 29:1165) holds under any dependence, and finds less.
    """
    q_values = np.full(len(p_values), np.nan)
    tested = np.isfinite(p_values)
    if tested.any():
        q_values[tested] = stats.false_discovery_control(p_values[tested], method=method)
    return q_values

"""How many clusters of trajectories are there, if any?

k-means cuts any cloud of points into k parts, and does so in much the same way each time. So a
number of clusters is accepted only if three things hold:

- stability: halves of the source documents lead to the same clusters (Lange et al. 2004, Neural
  Computation 16:1299), by the adjusted Rand index (Hubert and Arabie 1985, J. Classification 2:193)
  of a further sample, on average over ten splits;
- gaps: between each two centres there are far fewer tokens than at either of them, as clusters are
  regions of high density that low density separates (Hartigan 1975, Clustering Algorithms);
- more than a covariance: the gaps are deeper than any in samples of normal curves with the mean and
  covariance of the given ones, treated in the same way (as SigClust's null: Liu, Hayes, Nobel and
  Marron 2008, J. Am. Stat. Assoc. 103:1281). Dividing curves by their own spread puts those that
  rise and those that fall far from each other even if their slopes are one continuum.

The largest number for which all hold is taken. Often none is: the trajectories are a continuum.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from queries.errors import QueryError

MOST = 8
"""Clusters that are tried."""
FLOOR = 0.8
"""Least mean adjusted Rand index."""
DEPTH = 0.4
"""Most tokens between two centres, as a share of those at the sparser centre."""
FLAT = 0.1
"""Nats: the shape of a token whose loss varies less than this is not scaled up further."""
N_COMPONENTS = 10
_SPLITS = 10
_NULLS = 19
"""Samples of the null: the chance that the real curves are deepest of 20 is 5%."""
_SAMPLE = 2_000
_STARTS = 2
_ROUNDS = 60  # points without clusters would take hundreds, to no end


@dataclass(frozen=True)
class Choice:
    """The number of clusters, and what it rests on."""

    k: int
    """1 if there are no clusters."""
    tried: pd.DataFrame
    """k, stability (0 to 1), gap (tokens between two centres over those at the sparser one, of the
    two clusters that are least apart), null_gap (the deepest of 19 normal samples; NaN if not
    needed), accepted."""
    verdict: str
    """Empty, or "no clusters: a continuum" and why."""


def points(curves: np.ndarray, by_shape: bool) -> np.ndarray:
    """Up to ten principal components of trajectories, float (tokens, components).

    `curves` nats, float (tokens, m). By shape, curves are taken minus their mean and divided by
    their standard deviation (at least 0.1 nats). Raises QueryError if all are the same.
    """
    from sklearn.decomposition import PCA

    if by_shape:
        centred = curves - curves.mean(axis=1, keepdims=True)
        curves = centred / np.maximum(centred.std(axis=1, keepdims=True), FLAT)
    if not (curves.std(axis=0) > 0).any():
        raise QueryError("all trajectories are the same, so there are no clusters: widen the group")
    n_components = min(N_COMPONENTS, *curves.shape)
    solver = "full" if len(curves) < 500 else "covariance_eigh"
    found: np.ndarray = PCA(n_components, svd_solver=solver).fit_transform(curves)
    return found


def choose(curves: np.ndarray, source: np.ndarray, by_shape: bool, seed: int = 0) -> Choice:
    """The number of clusters of trajectories, 1 to 8.

    `curves` nats, float (tokens, m); `source` int64 (tokens,), the source document of each.
    """
    from threadpoolctl import threadpool_limits

    # Threads of k-means wait busily for each other: 25 times slower on a machine with other work.
    # The limit is set once, since each time it looks for all loaded libraries.
    with threadpool_limits(1):
        return _choice(curves, source, by_shape, seed)


def _choice(curves: np.ndarray, source: np.ndarray, by_shape: bool, seed: int) -> Choice:
    rng = np.random.default_rng(seed)
    every = points(curves, by_shape)
    sample = every[rng.permutation(len(every))[: 4 * _SAMPLE]]
    splits = [_halves(every, source, rng) for _ in range(_SPLITS)]
    lines = [_tried(k, sample, splits, seed) for k in range(2, MOST + 1)]
    tried = pd.DataFrame(lines, columns=["k", "stability", "gap"]).assign(null_gap=np.nan)
    likely = (tried["stability"] >= FLOOR) & (tried["gap"] < DEPTH)
    if likely.any():
        tried.loc[likely, "null_gap"] = _null_gaps(
            curves, by_shape, tried["k"][likely].tolist(), len(sample), rng
        )
    tried["accepted"] = likely & (tried["gap"] < tried["null_gap"])
    k = int(tried["k"][tried["accepted"]].max()) if tried["accepted"].any() else 1
    return Choice(k, tried, _verdict(tried))


def _verdict(tried: pd.DataFrame) -> str:
    if tried["accepted"].any():
        return ""
    start = "no clusters: a continuum"
    if (tried["stability"] < FLOOR).all():
        return f"{start}; other documents give other clusters"
    if tried["null_gap"].notna().any():
        return f"{start}; normal curves with the same covariance have gaps as deep"
    return f"{start}; there are as many tokens between the centres as at them"


def _tried(
    k: int, sample: np.ndarray, splits: list[tuple[np.ndarray, ...]], seed: int
) -> tuple[int, float, float]:
    from sklearn.metrics import adjusted_rand_score

    found = []
    for one, two, others in splits:
        if min(len(one), len(two)) < k:
            raise QueryError(
                f"half of the source documents hold {min(len(one), len(two))} tokens of the group, "
                "too few to choose a number of clusters: widen the group, or give the number"
            )
        labels = [nearest(others, centres(half, k, seed)) for half in (one, two)]
        found.append(adjusted_rand_score(*labels))
    return k, float(np.mean(found)), gap(sample, centres(sample, k, seed))


def centres(values: np.ndarray, k: int, seed: int, starts: int = _STARTS) -> np.ndarray:
    """Of k clusters by k-means, float (k, components)."""
    from sklearn.cluster import KMeans

    model = KMeans(k, random_state=seed, n_init=starts, max_iter=_ROUNDS)
    found: np.ndarray = model.fit(values).cluster_centers_
    return found


def nearest(values: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The centre that each point is nearest to, from 0."""
    square = (centres**2).sum(axis=1) - 2 * values @ centres.T
    found: np.ndarray = square.argmin(axis=1)
    return found


def gap(values: np.ndarray, centres: np.ndarray) -> float:
    """How many points lie between two centres for one at the sparser of them; the most of any pair.

    The points of both clusters are projected on the line through the centres. Counts are of windows
    of a fifth of their distance: at both, and the emptiest between. A standard error is added to
    the count between, so that few points do not look like a gap.
    """
    label = nearest(values, centres)
    return max(
        _between(values[(label == a) | (label == b)], centres[a], centres[b])
        for a in range(len(centres))
        for b in range(a)
    )


def _between(values: np.ndarray, one: np.ndarray, two: np.ndarray) -> float:
    line = two - one
    place = np.sort((values - one) @ line / (line @ line))  # 0 at one, 1 at two
    at = np.array([0.0, 1.0, *np.linspace(0.25, 0.75, 11)])
    counts = np.searchsorted(place, at + 0.1) - np.searchsorted(place, at - 0.1)
    fewest = counts[2:].min()
    return float((fewest + np.sqrt(fewest) + 1) / max(counts[:2].min(), 1))


def _halves(
    values: np.ndarray, source: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Samples of two halves of the source documents (of the tokens of a single one), and of all."""
    _, unit = np.unique(source, return_inverse=True)
    if unit.max() == 0:
        unit = np.arange(len(values))
    in_first = rng.permutation(np.arange(unit.max() + 1) % 2)[unit] == 0
    pools = (np.flatnonzero(in_first), np.flatnonzero(~in_first), np.arange(len(values)))
    return tuple(values[rng.permutation(pool)[:_SAMPLE]] for pool in pools)


def _null_gaps(
    curves: np.ndarray, by_shape: bool, ks: list[int], n: int, rng: np.random.Generator
) -> np.ndarray:
    """The deepest gap of each k in normal samples of the curves' mean and covariance."""
    mean, covariance = curves.mean(axis=0), np.cov(curves, rowvar=False)
    found = []
    for _ in range(_NULLS):
        drawn = rng.multivariate_normal(mean, covariance, n, method="eigh", check_valid="ignore")
        values = points(drawn, by_shape)
        found.append([gap(values, centres(values, k, 0, starts=1)) for k in ks])
    deepest: np.ndarray = np.min(found, axis=0)
    return deepest

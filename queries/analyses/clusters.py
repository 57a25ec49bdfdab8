"""Kinds of trajectories: tokens that are learned alike, clustered; how many kinds are stable?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from queries.analyses.explain import group_differences
from queries.errors import QueryError
from queries.groups.candidates import Candidates, candidates
from queries.stats.acquisition import averages, weighted_sums
from queries.store import Store

# What are the tokens of a kind? Groups that have more, or fewer, of them than others have.

MOST_FALSE = 0.05
"""The share of false lines that is put up with."""


def profiles(
    store: Store, rows: np.ndarray, label: np.ndarray, min_count: int = 20, min_docs: int = 10
) -> pd.DataFrame:
    """Groups in which kinds of tokens are over- or under-represented.

    `rows` int64 (n,) are the tokens looked at, `label` int64 (n,) from 0 their kinds. Groups are
    those that `queries.explain` tries, with at least `min_count` of the tokens and from `min_docs`
    source documents, as is the rest; single documents are not tried.

    Returns kind (from 1), feature, token_group, clause, n_tokens, n_docs, share (of the group's
    tokens that are of the kind), rest_share (of all others), ratio (of the two), p_value, q_value.
    Only lines with a q of at most 0.05; in order of kind, the clearest over-representation first,
    under-representation last. A share is a mean of ones and zeros, so errors and tests are those
    of `queries.explain`; q (Benjamini and Hochberg 1995) is within each kind.
    """
    tried, source = candidates(store, min_count)
    _, source = np.unique(source[rows], return_inverse=True)
    groups = [c for c in tried if c.kind != "document" and c.names]
    frames = [
        _profile(groups, rows, (label == kind).astype(np.float64), source, min_count, min_docs)
        for kind in range(int(label.max()) + 1)
    ]
    return pd.concat([f.assign(kind=i + 1) for i, f in enumerate(frames)], ignore_index=True)[
        ["kind", "feature", "token_group", "clause", "n_tokens", "n_docs", "share", "rest_share",
         "ratio", "p_value", "q_value"]
    ]  # fmt: skip


def _profile(
    groups: list[Candidates],
    rows: np.ndarray,
    member: np.ndarray,
    source: np.ndarray,
    min_count: int,
    min_docs: int,
) -> pd.DataFrame:
    lines = pd.concat([_lines(c, rows, member, source) for c in groups], ignore_index=True)
    enough = lines[["n_docs", "rest_docs"]].min(axis=1) >= min(min_docs, int(source.max()) + 1)
    lines = lines[enough & (lines["n_tokens"] >= min_count) & lines["standard_error"].gt(0)]
    lines = lines.drop_duplicates(["n_tokens", "n_docs", "mean_change"])
    z = lines["difference"] / lines["standard_error"]
    p_value = 2 * stats.t.sf(z.abs(), lines["degrees"])
    q_value = stats.false_discovery_control(p_value) if len(lines) else p_value
    with np.errstate(divide="ignore"):
        ratio = lines["mean_change"] / lines["rest_change"]
    lines = lines.assign(p_value=p_value, q_value=q_value, ratio=ratio, z=z)
    lines = lines.rename(columns={"mean_change": "share", "rest_change": "rest_share"})
    return lines[lines["q_value"] <= MOST_FALSE].sort_values("z", ascending=False, kind="stable")


def _lines(
    of_kind: Candidates, rows: np.ndarray, member: np.ndarray, source: np.ndarray
) -> pd.DataFrame:
    frame = group_differences(of_kind.label[rows], len(of_kind.names), member, source)
    names = {"feature": of_kind.kind, "token_group": of_kind.names, "clause": of_kind.clauses}
    return frame.assign(**names)


COMPARED = ("shape", "level")
MOST = 8
"""Kinds that are tried where their number is not given."""
TIE = 0.03
"""Differences in stability that five pairs of halves don't tell."""
STILL = 0.1
"""Nats: shapes of tokens whose loss varies less than this are not blown up to that of others."""
_BINS = 48  # of log step
_COMPONENTS = 10
_SAMPLE = 5_000  # tokens of each half; more were no more stable
_HALVES = 5
_START = 20_000  # tokens on which the centres are first sought
_TYPICAL = 10


@dataclass(frozen=True)
class Clusters:
    """Kinds of trajectories, numbered from 1, the largest first."""

    clusters: pd.DataFrame
    """kind, n_tokens, share, first_loss, lowest_loss, last_loss (of the mean trajectory, nats)."""
    means: pd.DataFrame
    """kind, checkpoint, mean_loss, low, high (nats), n_tokens, n_docs, shape (no unit)."""
    typical: pd.DataFrame
    """kind, row, token_str, distance: the nearest to each kind's centre, one of a token type."""
    features: pd.DataFrame
    """kind, …: groups with more or fewer tokens of the kind than others; see `profiles`."""
    stability: pd.DataFrame
    """k, stability, cloud_stability: see `kinds`; empty where the number was given."""
    members: pd.DataFrame
    """row, kind of every token; what `store.features.save` takes."""


def clusters(
    store: Store, where: str = "true", k: int | None = None, compared: str = "shape", seed: int = 0
) -> Clusters:
    """Cluster the group's tokens by their trajectories into `k` kinds, or as many as are stable.

    Losses are averaged in 48 equal steps of log10(1 + step), empty ones left out. By "level" these
    are compared as they are; by "shape" less their mean over the axis and divided by their standard
    deviation over it (at least 0.1 nats), so that when a token was learned counts, not how hard it
    is: the squared distance is then twice 1 less the correlation. Ten principal components are
    clustered by k-means (Lloyd 1982, IEEE Trans. Inf. Theory 28:129; Arthur and Vassilvitskii 2007,
    SODA), the centres sought on 20,000 tokens and then moved to the means of all.

    Where `k` is not given, it is the largest of 2 to 8 whose stability is within 0.03 of the best.
    Stability (Lange et al. 2004, Neural Computation 16:1299) is the mean adjusted Rand index
    (Hubert and Arabie 1985, J. Classification 2:193) of five pairs: the source documents are
    halved, either half's tokens clustered, and the tokens of a further sample put with the nearest
    centre of one and of the other. cloud_stability is that of points without any kinds, drawn from
    a normal distribution of the same variances. Kinds with a stability near 1 are found again in
    other text; only where the cloud is much less stable are there gaps between them as well.

    Raises GroupError, and QueryError for a store of fewer than three checkpoints in different steps
    of the axis, for k below 2 or above the number of tokens, and for another `compared`.
    """
    rows = store.some_members(where)
    _refuse(store, len(rows), k, compared)
    points, shapes = _points(store, rows, compared)
    stability = pd.DataFrame(columns=["k", "stability", "cloud_stability"])
    if k is None:
        stability = _stabilities(points, store.source_of_row[rows], seed)
        k = chosen(stability)
    label, distance = _clustered(points, k, seed)
    members = pd.DataFrame({"row": rows, "kind": label + 1})
    means = _means(store, members, shapes, k)
    return Clusters(
        _summary(means, len(rows)),
        means,
        _typical(store, members.assign(distance=distance)),
        profiles(store, rows, label),
        stability,
        members,
    )


def chosen(stability: pd.DataFrame) -> int:
    """The number of kinds that `kinds` takes, by the columns k and stability."""
    as_stable = stability["stability"] >= stability["stability"].max() - TIE
    return int(stability["k"][as_stable].max())


def _refuse(store: Store, n: int, k: int | None, compared: str) -> None:
    if compared not in COMPARED:
        raise QueryError(f"cannot compare by {compared}: choose {' or '.join(COMPARED)}")
    if len(store.steps) < 3:
        raise QueryError(f"{len(store.steps)} checkpoints have no shape: score at least three")
    if k is not None and not 2 <= k <= n:
        raise QueryError(f"asked for {k} kinds of {n:,} tokens: expected 2 to as many as tokens")
    if k is None and n < 10 * MOST:
        raise QueryError(
            f"{n:,} tokens are too few to tell how many kinds there are: widen the group to at "
            f"least {10 * MOST}, or give the number"
        )


def _points(store: Store, rows: np.ndarray, compared: str) -> tuple[np.ndarray, np.ndarray]:
    """What is clustered, float32 (n, up to 10); and how each token's `shape` is made of its losses:
    float32 (n, 2), its mean over the axis and what it is divided by."""
    from sklearn.decomposition import PCA

    curves = averages(store.matrix, rows, log_bins(np.array(store.steps)))
    centre = curves.mean(axis=1)
    scale = np.maximum(curves.std(axis=1), STILL)
    if compared == "shape":
        curves = (curves - centre[:, None]) / scale[:, None]
    if not (curves.std(axis=0) > 0).any():
        raise QueryError("the trajectories are all of one kind: widen the group")
    n_components = min(_COMPONENTS, *curves.shape)
    points = PCA(n_components, svd_solver="full" if len(rows) < 500 else "covariance_eigh")
    return points.fit_transform(curves), np.stack([centre, scale], axis=1)


def log_bins(steps: np.ndarray) -> np.ndarray:
    """What each checkpoint adds to each equal step of log10(1 + step), float64 (checkpoints, bins).

    Columns sum to 1; steps of the axis without a checkpoint are left out.
    """
    place = np.log10(1.0 + steps)
    at = ((place - place[0]) / (place[-1] - place[0]) * _BINS).astype(np.int64)
    used, bin_of = np.unique(np.minimum(at, _BINS - 1), return_inverse=True)
    counts = np.bincount(bin_of)
    weights = np.zeros((len(steps), len(used)))
    weights[np.arange(len(steps)), bin_of] = 1 / counts[bin_of]
    return weights


def _fitted(points: np.ndarray, k: int, seed: int, **how: Any) -> Any:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    # Its threads wait for each other busily: on a machine with other work, 25 times as long.
    with threadpool_limits(1):
        return KMeans(k, random_state=seed, **how).fit(points)


def _clustered(points: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each token's kind from 0, the largest first, and its distance from the kind's centre."""
    sample = np.random.default_rng(seed).permutation(len(points))[:_START]
    centres = _fitted(points[sample], k, seed, n_init=10).cluster_centers_
    model = _fitted(points, k, seed, init=centres, n_init=1)
    counts = np.bincount(model.labels_, minlength=k)
    if not counts.all():
        different = int((counts > 0).sum())
        raise QueryError(f"the trajectories are of {different} kinds at most: ask for fewer")
    order = np.argsort(-counts, kind="stable")
    distance = np.linalg.norm(points - model.cluster_centers_[model.labels_], axis=1)
    return np.argsort(order)[model.labels_], distance


def _stabilities(points: np.ndarray, source: np.ndarray, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ks = range(2, MOST + 1)
    deviations = points.std(axis=0)

    def halves() -> tuple[np.ndarray, ...]:
        return _halves(points, source, rng)

    def cloud() -> tuple[np.ndarray, ...]:
        return tuple(
            rng.normal(0, deviations, (min(_SAMPLE, len(points) // 2), len(deviations)))
            for _ in range(3)
        )

    lines = [(k, _agreement(halves, k), _agreement(cloud, k)) for k in ks]
    return pd.DataFrame(lines, columns=["k", "stability", "cloud_stability"])


def _agreement(draw: Callable[[], tuple[np.ndarray, ...]], k: int) -> float:
    """Mean adjusted Rand index of the kinds that two samples give to a third one."""
    from sklearn.metrics import adjusted_rand_score

    found = []
    for pair in range(_HALVES):
        one, two, asked = draw()
        centres = [_fitted(half, k, pair, n_init=3).cluster_centers_ for half in (one, two)]
        labels = [_nearest(asked, c) for c in centres]
        found.append(adjusted_rand_score(*labels))
    return float(np.mean(found))


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The centre that each point is nearest to, from 0."""
    square = (centres**2).sum(axis=1) - 2 * points @ centres.T
    nearest: np.ndarray = square.argmin(axis=1)
    return nearest


def _halves(
    points: np.ndarray, source: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Samples of two halves of the source documents (of the tokens of a single one), and of all."""
    _, unit = np.unique(source, return_inverse=True)
    if unit.max() == 0:
        unit = np.arange(len(points))
    in_first = rng.permutation(np.arange(unit.max() + 1) % 2)[unit] == 0
    pools = (np.flatnonzero(in_first), np.flatnonzero(~in_first), np.arange(len(points)))
    return tuple(points[rng.permutation(pool)[:_SAMPLE]] for pool in pools)


def _means(store: Store, members: pd.DataFrame, shapes: np.ndarray, k: int) -> pd.DataFrame:
    """Each kind's mean trajectory with its band, and the mean of its tokens' shapes."""
    rows, centre, scale = members["row"].to_numpy(), *shapes.astype(np.float64).T
    of_kind = np.equal.outer(members["kind"].to_numpy(), np.arange(1, k + 1)).astype(np.float64)
    of_kind /= of_kind.sum(axis=0)
    over = of_kind / scale[:, None]
    shape = weighted_sums(store.matrix, rows, over) - (over * centre[:, None]).sum(axis=0)[:, None]
    frames = [store.trajectory(rows[of_kind[:, kind] > 0]) for kind in range(k)]
    for kind, frame in enumerate(frames):
        frame["shape"] = shape[kind]
        frame.insert(0, "kind", kind + 1)
    return pd.concat(frames, ignore_index=True)


def _summary(means: pd.DataFrame, n: int) -> pd.DataFrame:
    of_kind = means.groupby("kind", sort=True)
    return pd.DataFrame(
        {
            "kind": list(of_kind.groups),
            "n_tokens": of_kind["n_tokens"].first().to_numpy(),
            "share": of_kind["n_tokens"].first().to_numpy() / n,
            "first_loss": of_kind["mean_loss"].first().to_numpy(),
            "lowest_loss": of_kind["mean_loss"].min().to_numpy(),
            "last_loss": of_kind["mean_loss"].last().to_numpy(),
        }
    )


def _typical(store: Store, members: pd.DataFrame) -> pd.DataFrame:
    members = members.assign(token_id=store.token_ids[members["row"]])
    nearest = members.sort_values(["kind", "distance"]).drop_duplicates(["kind", "token_id"])
    nearest = nearest.groupby("kind").head(_TYPICAL)
    texts = store.context(nearest["row"])[["row", "token_str"]]
    return nearest.merge(texts, on="row")[["kind", "row", "token_str", "distance"]]

"""Clusters of trajectories: tokens that are learned in a similar way, and how stable they are."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd
from scipy import stats

from queries.analyses.base import Chart, Group, Help, Tables, WithScript, python_script
from queries.analyses.explain import group_differences
from queries.engine.matrix import LossMatrix
from queries.errors import QueryError
from queries.groups.candidates import DOCUMENT, Candidates, candidates
from queries.stats.acquisition import averages, weighted_sums
from queries.store import Store

Compared = Literal["shape", "level"]
COMPARED: tuple[Compared, ...] = ("shape", "level")
MOST = 8
"""The largest number of clusters that is tried if none is given."""
TIE = 0.03
"""Differences in stability that five pairs of halves cannot resolve."""
FLAT = 0.1
"""Nats: the shape of a token whose loss varies less than this is not scaled up further."""
FALSE_RATE = 0.05
"""False discovery rate of the groups that are listed."""
_BINS = 48  # of log step
_COMPONENTS = 10
_SAMPLE = 5_000  # tokens of each half; more gave no more stability
_HALVES = 5
_START = 20_000  # tokens from which the centres are initialised
_TYPICAL = 10


@dataclass(frozen=True)
class Clusters(WithScript):
    """Clusters of trajectories, numbered from 1, the largest first."""

    frame: pd.DataFrame
    """cluster, n_tokens, share, first_loss, lowest_loss, last_loss (of the mean trajectory, nats).
    """
    means: pd.DataFrame
    """cluster, checkpoint, mean_loss, low, high (nats), n_tokens, n_docs, shape (no unit)."""
    typical: pd.DataFrame
    """cluster, row, token_str, distance, before, token, after: the nearest tokens to each centre,
    one per token type, in their text."""
    features: pd.DataFrame
    """Groups that are over- or under-represented in a cluster; see `profiles`."""
    stability: pd.DataFrame
    """k, stability, cloud_stability; see `clusters`. Empty if the number was given."""
    members: pd.DataFrame
    """row, cluster of every token."""
    tables: ClassVar[Tables] = {
        "clusters": lambda found: found.frame,
        "means": lambda found: found.means,
        "typical": lambda found: found.typical,
        "features": lambda found: found.features,
        "stability": lambda found: _tried(found.stability),
        "members": lambda found: found.members,
    }

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.clusters(self.means)


def _tried(stability: pd.DataFrame) -> pd.DataFrame:
    if stability.empty:
        raise QueryError("the number of clusters was given, so no other was tried: omit it")
    return stability


def clusters(
    store: Store,
    *,
    where: Annotated[str, Group("group to cluster")] = "true",
    k: Annotated[
        int | None,
        Help("number of clusters (default: as many as are stable)", ("--clusters", "-k")),
    ] = None,
    compared: Annotated[Compared, "what trajectories are compared by"] = "shape",
    seed: Annotated[int, "seed of the random samples and starts"] = 0,
    save: Annotated[str | None, Help("save each token's cluster as a feature")] = None,
    overwrite: Annotated[bool, "replace an existing feature of that name"] = False,
) -> Clusters:
    """Cluster the group's tokens by their trajectories into `k` clusters, or as many as are stable.

    Losses are averaged in 48 equal bins of log10(1 + step); empty bins are omitted. By "level"
    these averages are compared as they are; by "shape" after subtracting their mean over the axis
    and dividing by their standard deviation over it (at least 0.1 nats), so that the time of
    learning counts and the difficulty does not: the squared distance is then twice 1 minus the
    correlation. Ten principal components are clustered by k-means (Lloyd 1982, IEEE Trans. Inf.
    Theory 28:129; Arthur and Vassilvitskii 2007, SODA); the centres are initialised from 20,000
    tokens and then refitted to all.

    If `k` is not given, it is the largest of 2 to 8 whose stability is within 0.03 of the best.
    Stability (Lange et al. 2004, Neural Computation 16:1299) is the mean adjusted Rand index
    (Hubert and Arabie 1985, J. Classification 2:193) over five pairs: the source documents are
    split in two halves, the tokens of each half are clustered, and the tokens of a further sample
    are assigned to the nearest centres of one and of the other. cloud_stability is that of points
    without clusters, drawn from a normal distribution with the same variances. Clusters with a
    stability near 1 are found again in other text; there are gaps between them only if the cloud
    is much less stable.

    `save` keeps the clusters as a feature, a column of `tokens`. Raises GroupError, and QueryError
    for a store with checkpoints in fewer than three bins, for k below 2 or above the number of
    tokens, for an unknown `compared`, and for an unusable feature name.
    """
    if save:
        store.features.refuse(save, overwrite=overwrite)
    rows = store.nonempty_members(where)
    _refuse(len(store.steps), len(rows), k, compared)
    points, shapes = _points(store.matrix, rows, compared)
    stability = pd.DataFrame(columns=["k", "stability", "cloud_stability"])
    if k is None:
        stability = stabilities(points, store.source_of_row[rows], seed)
    label, distance = k_means(points, k or most_stable(stability), seed)
    members = pd.DataFrame({"row": rows, "cluster": label + 1})
    if save:
        about = f"clusters of trajectories by {compared} of {where}"
        store.features.save(save, members["cluster"], about, rows=rows, overwrite=overwrite)
    means = _means(store, members, shapes)
    options = {"where": where, "k": k, "compared": compared, "seed": seed}
    return Clusters(
        _summary(means, len(rows)),
        means,
        _typical(store, members.assign(distance=distance)),
        profiles(store, rows, label),
        stability,
        members,
        code=python_script(store, clusters, **options),
    )


def most_stable(stability: pd.DataFrame) -> int:
    """The number of clusters that is used, from the columns k and stability."""
    as_stable = stability["stability"] >= stability["stability"].max() - TIE
    return int(stability["k"][as_stable].max())


def _refuse(n_steps: int, n: int, k: int | None, compared: str) -> None:
    if compared not in COMPARED:
        raise QueryError(f"cannot compare by {compared}: expected {' or '.join(COMPARED)}")
    if n_steps < 3:
        raise QueryError(f"a shape needs at least three checkpoints, this store has {n_steps}")
    if k is not None and not 2 <= k <= n:
        raise QueryError(f"got {k} clusters for {n:,} tokens: expected 2 up to that number")
    if k is None and n < 10 * MOST:
        raise QueryError(
            f"{n:,} tokens are too few to choose a number of clusters: widen the group to at least "
            f"{10 * MOST}, or give the number"
        )


def _points(matrix: LossMatrix, rows: np.ndarray, compared: str) -> tuple[np.ndarray, np.ndarray]:
    """The points to cluster, float32 (n, up to 10); and what each token's `shape` is made with,
    float32 (n, 2): the mean of its losses over the axis, and the divisor."""
    from sklearn.decomposition import PCA

    curves = averages(matrix, rows, log_bins(matrix.checkpoints))
    centre = curves.mean(axis=1)
    scale = np.maximum(curves.std(axis=1), FLAT)
    if compared == "shape":
        curves = (curves - centre[:, None]) / scale[:, None]
    if not (curves.std(axis=0) > 0).any():
        raise QueryError("all trajectories are the same, so there are no clusters: widen the group")
    n_components = min(_COMPONENTS, *curves.shape)
    points = PCA(n_components, svd_solver="full" if len(rows) < 500 else "covariance_eigh")
    return points.fit_transform(curves), np.stack([centre, scale], axis=1)


def log_bins(steps: np.ndarray) -> np.ndarray:
    """Weight of each checkpoint in each equal bin of log10(1 + step), float64 (checkpoints, bins).

    Columns sum to 1; bins without a checkpoint are omitted.
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

    # Its threads wait busily for each other: 25 times slower on a machine with other work.
    with threadpool_limits(1):
        return KMeans(k, random_state=seed, **how).fit(points)


def k_means(points: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Each point's cluster from 0, the largest first, and its distance from the centre."""
    sample = np.random.default_rng(seed).permutation(len(points))[:_START]
    centres = _fitted(points[sample], k, seed, n_init=10).cluster_centers_
    model = _fitted(points, k, seed, init=centres, n_init=1)
    counts = np.bincount(model.labels_, minlength=k)
    if not counts.all():
        different = int((counts > 0).sum())
        raise QueryError(f"the trajectories form {different} clusters at most: ask for fewer")
    order = np.argsort(-counts, kind="stable")
    distance = np.linalg.norm(points - model.cluster_centers_[model.labels_], axis=1)
    return np.argsort(order)[model.labels_], distance


def stabilities(points: np.ndarray, source: np.ndarray, seed: int) -> pd.DataFrame:
    """k, stability, cloud_stability for 2 to 8 clusters; `source` int64 (n,)."""
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
    """Mean adjusted Rand index of the clusters that two samples give to a third one."""
    from sklearn.metrics import adjusted_rand_score

    found = []
    for pair in range(_HALVES):
        one, two, further = draw()
        if min(len(one), len(two)) < k:
            raise QueryError(
                f"half of the source documents hold {min(len(one), len(two))} tokens of the group, "
                "too few to choose a number of clusters: widen the group, or give the number"
            )
        centres = [_fitted(half, k, pair, n_init=3).cluster_centers_ for half in (one, two)]
        labels = [_nearest(further, c) for c in centres]
        found.append(adjusted_rand_score(*labels))
    return float(np.mean(found))


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest centre of each point, from 0."""
    square = (centres**2).sum(axis=1) - 2 * points @ centres.T
    nearest: np.ndarray = square.argmin(axis=1)
    return nearest


def _halves(
    points: np.ndarray, source: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """Samples of two halves of the source documents, and of all.

    A single document is split by token.
    """
    _, unit = np.unique(source, return_inverse=True)
    if unit.max() == 0:
        unit = np.arange(len(points))
    in_first = rng.permutation(np.arange(unit.max() + 1) % 2)[unit] == 0
    pools = (np.flatnonzero(in_first), np.flatnonzero(~in_first), np.arange(len(points)))
    return tuple(points[rng.permutation(pool)[:_SAMPLE]] for pool in pools)


def _means(store: Store, members: pd.DataFrame, shapes: np.ndarray) -> pd.DataFrame:
    """Each cluster's mean trajectory with its band, and the mean of its tokens' shapes."""
    rows, centre, scale = members["row"].to_numpy(), *shapes.astype(np.float64).T
    label = members["cluster"].to_numpy()
    numbers = np.arange(1, label.max() + 1)
    weights = np.equal.outer(label, numbers).astype(np.float64)
    weights /= weights.sum(axis=0)
    over = weights / scale[:, None]
    shape = weighted_sums(store.matrix, rows, over) - (over * centre[:, None]).sum(axis=0)[:, None]
    frames = [store.trajectory(rows[label == number]) for number in numbers]
    for number, frame in zip(numbers.tolist(), frames, strict=True):
        frame["shape"] = shape[number - 1]
        frame.insert(0, "cluster", number)
    return pd.concat(frames, ignore_index=True)


def _summary(means: pd.DataFrame, n: int) -> pd.DataFrame:
    by_cluster = means.groupby("cluster", sort=True)
    n_tokens = by_cluster["n_tokens"].first().to_numpy()
    return pd.DataFrame(
        {
            "cluster": list(by_cluster.groups),
            "n_tokens": n_tokens,
            "share": n_tokens / n,
            "first_loss": by_cluster["mean_loss"].first().to_numpy(),
            "lowest_loss": by_cluster["mean_loss"].min().to_numpy(),
            "last_loss": by_cluster["mean_loss"].last().to_numpy(),
        }
    )


def _typical(store: Store, members: pd.DataFrame) -> pd.DataFrame:
    members = members.assign(token_id=store.token_ids[members["row"]])
    nearest = members.sort_values(["cluster", "distance"]).drop_duplicates(["cluster", "token_id"])
    nearest = nearest.groupby("cluster").head(_TYPICAL)
    texts = store.context(nearest["row"])[["row", "token_str", "before", "token", "after"]]
    columns = ["cluster", "row", "token_str", "distance", "before", "token", "after"]
    return nearest.merge(texts, on="row")[columns]


def profiles(
    store: Store, rows: np.ndarray, label: np.ndarray, min_count: int = 20, min_docs: int = 10
) -> pd.DataFrame:
    """Groups that are over- or under-represented in a cluster.

    `rows` int64 (n,) are the clustered tokens, `label` int64 (n,) from 0 their clusters. The groups
    are those of `queries.explain` with at least `min_count` of the tokens, for which both they and
    the rest have tokens in `min_docs` source documents; single documents are not tried.

    Returns cluster (from 1), feature, token_group, clause, n_tokens, n_docs, share (of the group's
    tokens that are in the cluster), rest_share (of all others), ratio (of the two), p_value,
    q_value, for q of at most 0.05; in order of cluster, from the most over-represented to the most
    under-represented. A share is a mean of ones and zeros, so errors and tests are those of
    `queries.explain`; q (Benjamini and Hochberg 1995) is computed within each cluster.
    """
    tried, source = candidates(store, min_count)
    _, source = np.unique(source[rows], return_inverse=True)
    groups = [c for c in tried if c.kind != DOCUMENT and c.names]
    frames = [
        _profile(groups, rows, (label == number).astype(np.float64), source, min_count, min_docs)
        for number in range(int(label.max()) + 1)
    ]
    found = pd.concat([f.assign(cluster=i + 1) for i, f in enumerate(frames)], ignore_index=True)
    names = ["cluster", "feature", "token_group", "clause", "n_tokens", "n_docs"]
    return found[[*names, "share", "rest_share", "ratio", "p_value", "q_value"]]


def _profile(
    groups: list[Candidates],
    rows: np.ndarray,
    member: np.ndarray,
    source: np.ndarray,
    min_count: int,
    min_docs: int,
) -> pd.DataFrame:
    """The groups of one cluster; `member` is 1 for its tokens and 0 for others."""
    lines = pd.concat([_lines(c, rows, member, source) for c in groups], ignore_index=True)
    enough = lines[["n_docs", "rest_docs"]].min(axis=1) >= min(min_docs, int(source.max()) + 1)
    lines = lines[enough & (lines["n_tokens"] >= min_count) & lines["standard_error"].gt(0)]
    lines = lines[lines["degrees"] > 0]
    lines = lines.drop_duplicates(["n_tokens", "n_docs", "mean_change"])
    z = lines["difference"] / lines["standard_error"]
    p_value = 2 * stats.t.sf(z.abs(), lines["degrees"])
    q_value = stats.false_discovery_control(p_value) if len(lines) else p_value
    with np.errstate(divide="ignore"):
        ratio = lines["mean_change"] / lines["rest_change"]
    lines = lines.assign(p_value=p_value, q_value=q_value, ratio=ratio, z=z)
    lines = lines.rename(columns={"mean_change": "share", "rest_change": "rest_share"})
    return lines[lines["q_value"] <= FALSE_RATE].sort_values("z", ascending=False, kind="stable")


def _lines(
    groups: Candidates, rows: np.ndarray, member: np.ndarray, source: np.ndarray
) -> pd.DataFrame:
    frame = group_differences(groups.label[rows], len(groups.names), member, source)
    names = {"feature": groups.kind, "token_group": groups.names, "clause": groups.clauses}
    return frame.assign(**names)

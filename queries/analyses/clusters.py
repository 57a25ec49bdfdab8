"""Clusters of trajectories: tokens that are learned in a similar way, if there are any."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import pandas as pd

from queries.analyses.base import Chart, Group, Help, Tables, WithScript, python_script
from queries.errors import QueryError
from queries.groups.candidates import DOCUMENT, TOKEN_TYPE, Candidates, candidates
from queries.stats import cluster_number
from queries.stats.acquisition import averages, weighted_sums
from queries.stats.cluster_number import FLAT, MOST
from queries.stats.two_way import Changes, Claim, false_discovery, group_differences
from queries.store import Store

Compared = Literal["shape", "level"]
COMPARED: tuple[Compared, ...] = ("shape", "level")
FALSE_RATE = 0.05
"""False discovery rate of the groups that are listed."""
GIVEN = "not tested: the number of clusters was given"
_TRIED = ("k", "stability", "gap", "null_gap", "accepted")
_BINS = 48  # of log step
_START = 20_000  # tokens from which the centres are initialised
_TYPICAL = 10


@dataclass(frozen=True)
class Clusters(WithScript):
    """Clusters of trajectories, numbered from 1, the largest first."""

    frame: pd.DataFrame
    """cluster, n_tokens, share, first_loss, lowest_loss, last_loss (of the mean trajectory, nats),
    verdict (why there is one cluster only, or why the number was not tested; else empty)."""
    means: pd.DataFrame
    """cluster, checkpoint, mean_loss, low, high (nats), n_tokens, n_docs, shape (no unit)."""
    typical: pd.DataFrame
    """cluster, row, token_str, distance, before, token, after: the nearest tokens to each centre,
    one per token type, in their text."""
    features: pd.DataFrame
    """Groups that are over- or under-represented in a cluster; see `profiles`."""
    stability: pd.DataFrame
    """k, stability, gap, null_gap, accepted; see `clusters`. Empty if the number was given."""
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

    @property
    def verdict(self) -> str:
        """The frame's verdict, which is the same for all clusters."""
        return str(self.frame["verdict"].iloc[0])

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
        Help("number of clusters (default: as many as there are)", ("--clusters", "-k")),
    ] = None,
    compared: Annotated[Compared, "what trajectories are compared by"] = "shape",
    seed: Annotated[int, "seed of the random samples and starts"] = 0,
    save: Annotated[str | None, Help("save each token's cluster as a feature")] = None,
    overwrite: Annotated[bool, "replace an existing feature of that name"] = False,
) -> Clusters:
    """Cluster the group's tokens by their trajectories into `k` clusters, or as many as there are.

    Losses are averaged in 48 equal bins of log10(1 + step); empty bins are omitted. By "level"
    these averages are compared as they are; by "shape" after subtracting their mean over the axis
    and dividing by their standard deviation over it (at least 0.1 nats), so that the time of
    learning counts and the difficulty does not: the squared distance is then twice 1 minus the
    correlation. Ten principal components are clustered by k-means (Lloyd 1982, IEEE Trans. Inf.
    Theory 28:129; Arthur and Vassilvitskii 2007, SODA); the centres are initialised from 20,000
    tokens and then refitted to all.

    If `k` is not given, it is the largest of 2 to 8 with a stability of at least 0.8 between halves
    of the source documents, with few tokens between each two centres, and with deeper gaps than
    normal curves of the same covariance have: `queries.stats.cluster_number` has the criteria and
    their sources. If there is none, all tokens are one cluster, and `verdict` says why: "no
    clusters: a continuum" is a result. A given k cuts up such a continuum all the same, which can
    be useful to describe it.

    `save` keeps the clusters as a feature, a column of `tokens`. Raises GroupError, and QueryError
    for a store with checkpoints in fewer than three bins, for k below 2 or above the number of
    tokens, for an unknown `compared`, and for an unusable feature name.
    """
    if save:
        store.features.refuse(save, overwrite=overwrite)
    rows = store.nonempty_members(where)
    _refuse(len(store.steps), len(rows), k, compared)
    curves = averages(store.matrix, rows, log_bins(store.matrix.checkpoints))
    points = cluster_number.points(curves, compared == "shape")
    stability, verdict = pd.DataFrame(columns=list(_TRIED)), GIVEN
    if k is None:
        choice = cluster_number.choose(curves, store.source_of_row[rows], compared == "shape", seed)
        k, stability, verdict = choice.k, choice.tried, choice.verdict
    label, distance = k_means(points, k, seed)
    members = pd.DataFrame({"row": rows, "cluster": label + 1})
    if save:
        about = f"clusters of trajectories by {compared} of {where}"
        store.features.save(save, members["cluster"], about, rows=rows, overwrite=overwrite)
    means = _means(store, members, curves)
    options = {"where": where, "k": None if verdict != GIVEN else k}
    return Clusters(
        _summary(means, len(rows)).assign(verdict=verdict),
        means,
        _typical(store, members.assign(distance=distance)),
        profiles(store, rows, label),
        stability,
        members,
        code=python_script(store, clusters, **options, compared=compared, seed=seed),
    )


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


def _means(store: Store, members: pd.DataFrame, curves: np.ndarray) -> pd.DataFrame:
    """Each cluster's mean trajectory with its band, and the mean of its tokens' shapes."""
    rows, centre = members["row"].to_numpy(), curves.mean(axis=1, dtype=np.float64)
    scale = np.maximum(curves.std(axis=1), FLAT).astype(np.float64)
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


_PROFILE = (
    "cluster",
    "feature",
    "token_group",
    "clause",
    "n_tokens",
    "n_docs",
    "share",
    "rest_share",
    "ratio",
    "p_value",
    "q_value",
)


def profiles(
    store: Store, rows: np.ndarray, label: np.ndarray, min_count: int = 20
) -> pd.DataFrame:
    """Groups that are over- or under-represented in a cluster.

    `rows` int64 (n,) are the clustered tokens, `label` int64 (n,) from 0 their clusters. The groups
    are those of `queries.explain` with at least `min_count` of the tokens; single documents are not
    tried. A share is a mean of ones and zeros, so errors and tests are those of `queries.explain`:
    a group would be over-represented in other documents and for other token types. A row of a
    single token type claims that for this type in other documents.

    Returns cluster (from 1), feature, token_group, clause, n_tokens, n_docs, share (of the group's
    tokens that are in the cluster), rest_share (of all others), ratio (of the two), p_value,
    q_value, for q of at most 0.05; in order of cluster, from the most over-represented to the most
    under-represented. q (Benjamini and Hochberg 1995) is computed within each cluster.
    """
    tried, source = candidates(store, min_count)
    groups = [c for c in tried if c.kind != DOCUMENT and c.names]
    n = int(label.max()) + 1
    frames = [
        _profile(groups, rows, (label == number).astype(np.float64), source, store.token_ids)
        for number in range(n if n > 1 else 0)
    ]
    frames = [f[f["n_tokens"] >= min_count] for f in frames]
    found = [_told(frame).assign(cluster=at + 1) for at, frame in enumerate(frames)]
    return pd.concat([pd.DataFrame(columns=list(_PROFILE)), *found], ignore_index=True)[
        list(_PROFILE)
    ]


def _profile(
    groups: list[Candidates],
    rows: np.ndarray,
    member: np.ndarray,
    source: np.ndarray,
    token_ids: np.ndarray,
) -> pd.DataFrame:
    """All groups and their share of one cluster; `member` is 1 for its tokens and 0 for others."""
    changes = Changes(member, source[rows], token_ids[rows])
    frames = []
    for group in groups:
        claim: Claim = "documents" if group.kind == TOKEN_TYPE else "both"
        found = group_differences(group.label[rows], len(group.names), changes, claim)
        names = {"feature": group.kind, "token_group": group.names, "clause": group.clauses}
        frames.append(found.assign(**names))
    return pd.concat(frames, ignore_index=True)


def _told(lines: pd.DataFrame) -> pd.DataFrame:
    """The groups with a q-value of at most 0.05."""
    lines = lines[(lines["verdict"] == "") & (lines["standard_error"] > 0)]
    lines = lines.drop_duplicates(["n_tokens", "n_docs", "n_types", "mean_change"])
    z = lines["difference"] / lines["standard_error"]
    with np.errstate(divide="ignore"):
        ratio = lines["mean_change"] / lines["rest_change"]
    q_value = false_discovery(lines["p_value"].to_numpy())
    lines = lines.assign(q_value=q_value, ratio=ratio, z=z)
    lines = lines.rename(columns={"mean_change": "share", "rest_change": "rest_share"})
    return lines[lines["q_value"] <= FALSE_RATE].sort_values("z", ascending=False, kind="stable")

"""Which groups explain a region of training: of all candidates, which changed differently?"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
import pandas as pd
from scipy import stats

from queries.analyses.base import Between, Chart, WithScript, python_script
from queries.errors import QueryError
from queries.groups.candidates import DOCUMENT, Candidates, candidates
from queries.stats.changes import Region, region_change
from queries.store import Store

_GROUPS = 128  # evaluated at a time; times thousands of source documents, some megabytes


@dataclass(frozen=True)
class Explanation(WithScript):
    """Groups and how differently from the rest they changed in a region."""

    frame: pd.DataFrame
    """kind, token_group, clause, n_tokens, n_docs, mean_change and rest_change (nats, last minus
    first), difference (of the two), standard_error, p_value, q_value; smallest p_value first."""
    region: Region

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.explain(self.frame, *self.region)


def explain(
    store: Store,
    region: Annotated[Region, Between("the region")],
    *,
    min_count: Annotated[int, "minimum number of tokens in a group"] = 20,
    min_docs: Annotated[int, "minimum number of source documents of a group"] = 10,
) -> Explanation:
    """How differently from all other tokens each group changed in `region`.

    Tries the named groups; bands of corpus frequency, position, earlier occurrences and parts of
    words; copyable tokens, token types and source documents. A group is tried if it has at least
    `min_count` tokens, and if it and the rest each have tokens in `min_docs` source documents.
    Of groups with the same tokens the first is kept; named groups come first.

    The standard error is that of `stats.bands.difference_band`, paired by source document, or that
    of arbitrary tokens of the same documents if that is larger: a few tokens can look more similar
    than they are, and a single document has no error of its own. The second is the root of
    s^2 (1 / n + 1 / n_rest) + t^2 * sum over documents of (share of the group's tokens minus share
    of the rest's)^2, with t^2 and s^2 from `variances`. The t quantile has n - 1 degrees of
    freedom, where n is the smaller of the two sides' numbers of documents; for a single document,
    the number of all documents minus 2.

    q_value is the expected share of false rows among those up to it (Benjamini and Hochberg 1995,
    J. R. Stat. Soc. B 57:289). Groups overlap: a row says that a group changed differently, not
    that the property in its name is the reason. Raises QueryError.
    """
    tried, source = candidates(store, min_count)
    change = region_change(store.matrix, np.arange(store.manifest.n_tokens), region)
    found = explanations(tried, change.astype(np.float64), source, min_count, min_docs)
    code = python_script(store, explain, region=region, min_count=min_count, min_docs=min_docs)
    return Explanation(found, region, code=code)


def explanations(
    tried: list[Candidates], change: np.ndarray, source: np.ndarray, min_count: int, min_docs: int
) -> pd.DataFrame:
    """`Explanation.frame` of the candidates, for `change` float64 (tokens,) in nats.

    `source` int64 (tokens,) is each token's source document. Raises QueryError if no group is
    large enough.
    """
    rows = pd.concat([_rows(c, change, source) for c in tried if c.names], ignore_index=True)
    spread = (rows["n_docs"] >= min_docs) & (rows["rest_docs"] >= min_docs)
    wanted = (rows["kind"] == DOCUMENT) | spread
    rows = rows[wanted & (rows["n_tokens"] >= min_count) & rows["p_value"].notna()]
    if rows.empty:
        raise QueryError(
            f"no group with {min_count:,} or more tokens is spread over {min_docs:,} source "
            "documents, or its rest is not: lower the minimum, but expect little evidence"
        )
    rows = rows.drop_duplicates(["n_tokens", "n_docs", "mean_change"]).drop(columns="rest_docs")
    rows["q_value"] = stats.false_discovery_control(rows["p_value"])
    return rows.sort_values("p_value", kind="stable", ignore_index=True)


def _rows(groups: Candidates, change: np.ndarray, source: np.ndarray) -> pd.DataFrame:
    frame = group_differences(groups.label, len(groups.names), change, source)
    ratio = frame["difference"].abs() / frame["standard_error"]
    frame["p_value"] = 2 * stats.t.sf(ratio, frame.pop("degrees"))
    frame.insert(0, "kind", groups.kind)
    frame.insert(1, "token_group", groups.names)
    frame.insert(2, "clause", groups.clauses)
    return frame


def group_differences(
    label: np.ndarray, n_groups: int, change: np.ndarray, source: np.ndarray
) -> pd.DataFrame:
    """Each group's mean change, that of all other tokens, their difference and its error.

    `label` int64 (tokens,), below `n_groups`, -1 for tokens of no group; `change` float64 (tokens,)
    in nats; `source` int64 (tokens,) from 0 without gaps. Returns n_tokens, n_docs, rest_docs,
    mean_change, rest_change, difference, standard_error, degrees (of freedom); NaN if the group or
    the rest is empty.
    """
    n_sources = int(source.max()) + 1
    every = _Cells(*_cells(source, change, n_sources), variances(change, source))
    order = np.argsort(label, kind="stable")
    starts = np.searchsorted(label[order], np.arange(0, n_groups + _GROUPS, _GROUPS))
    parts = []
    for at, (start, end) in enumerate(pairwise(starts)):
        rows, n = order[start:end], min(_GROUPS, n_groups - at * _GROUPS)
        slots = (label[rows] - at * _GROUPS) * n_sources + source[rows]
        counts, sums = _cells(slots, change[rows], n * n_sources)
        parts.append(_compared(counts.reshape(n, -1), sums.reshape(n, -1), every))
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class _Cells:
    """All tokens, by source document (columns), and their two variances."""

    counts: np.ndarray
    sums: np.ndarray
    variances: tuple[float, float]


def _cells(slot: np.ndarray, change: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and their summed change in each of n slots."""
    return np.bincount(slot, minlength=n), np.bincount(slot, change, minlength=n)


def _compared(counts: np.ndarray, sums: np.ndarray, every: _Cells) -> pd.DataFrame:
    """Groups (rows) by source document (columns), compared with all other tokens."""
    rest_counts = every.counts - counts
    mean, share, influence = _mean(counts, sums)
    rest, rest_share, rest_influence = _mean(rest_counts, every.sums - sums)
    n, n_rest = counts.sum(axis=1), rest_counts.sum(axis=1)
    n_docs, rest_docs = (counts > 0).sum(axis=1), (rest_counts > 0).sum(axis=1)
    fewer = np.minimum(n_docs, rest_docs)
    between, within = every.variances
    with np.errstate(divide="ignore", invalid="ignore"):
        own = ((influence - rest_influence) ** 2).sum(axis=1) * fewer / (fewer - 1)
        common = within * (1 / n + 1 / n_rest) + between * ((share - rest_share) ** 2).sum(axis=1)
    return pd.DataFrame(
        {
            "n_tokens": n,
            "n_docs": n_docs,
            "rest_docs": rest_docs,
            "mean_change": mean,
            "rest_change": rest,
            "difference": mean - rest,
            "standard_error": np.sqrt(np.where(fewer > 1, np.maximum(own, common), common)),
            "degrees": np.where(fewer > 1, fewer - 1, len(every.counts) - 2),
        }
    )


def _mean(counts: np.ndarray, sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each row's mean change, its documents' shares of tokens, and influences; NaN if empty."""
    n = counts.sum(axis=1, keepdims=True).astype(np.float64)
    n[n == 0] = np.nan
    mean = sums.sum(axis=1, keepdims=True) / n
    return mean[:, 0], counts / n, (sums - counts * mean) / n


def variances(change: np.ndarray, source: np.ndarray) -> tuple[float, float]:
    """Variances of the change between documents' means and between tokens of a document (nats^2).

    By moments (DerSimonian and Laird 1986, Controlled Clinical Trials 7:177). `change` float64
    (tokens,), `source` int64 (tokens,) from 0 without gaps. The first is 0 for one document.
    """
    counts, sums = _cells(source, change, int(source.max()) + 1)
    means = sums / counts
    within = float(((change - means[source]) ** 2).sum() / max(len(change) - len(counts), 1))
    n = len(change)
    left = n - (counts**2).sum() / n
    if left <= 0:
        return 0.0, within
    spread = (counts * (means - change.mean()) ** 2).sum() - (len(counts) - 1) * within
    return max(0.0, float(spread / left)), within

"""Which groups explain a region of training: of all there are, which moved unlike the rest?"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from scipy import stats

from queries.errors import QueryError
from queries.groups.candidates import DOCUMENT, Candidates, candidates
from queries.stats.changes import region_change
from queries.store import Store

_AT_ONCE = 128  # groups, times thousands of source documents: some megabytes


def explain(
    store: Store, first: int, last: int, min_count: int = 20, min_docs: int = 10
) -> pd.DataFrame:
    """How differently from all other tokens each group moved from checkpoint `first` to `last`.

    Tries the named groups, and bands of corpus frequency, position, earlier occurrences and parts
    of words, copyable tokens, token types and source documents, where at least `min_count` tokens
    are in the group and `min_docs` source documents have some of it (and of the rest).

    Returns kind, token_group, clause, n_tokens, n_docs, mean_change and rest_change (nats, last
    minus first), difference (of the two), standard_error, p_value, q_value; the least p_value
    first. Of groups with the same tokens the first is kept, named ones before others.

    The standard error is that of `statistics.difference_band`, paired by source document, or that
    of any tokens of the same documents, where that is larger: few tokens can look more alike than
    they are, and a single document has no error of its own. The second is the root of s^2 (1 / n
    + 1 / n_rest) + t^2 * sum over documents of (share of the group's tokens less share of the
    rest's)^2, with `variances` t^2 and s^2. The t quantile has the lesser number of documents of
    the two sides less 1 as degrees of freedom; all documents less 2 where the group is one.
    A q_value is the share of false lines to be expected among those up to it
    (Benjamini and Hochberg 1995, J. R. Stat. Soc. B 57:289). Groups overlap: a line says that a
    group moved differently, not that what it is named for is why. Raises QueryError.
    """
    tried, source = candidates(store, min_count)
    rows = np.arange(store.manifest.n_tokens)
    change = region_change(store.matrix, rows, (first, last)).astype(np.float64)
    lines = pd.concat([_lines(c, change, source) for c in tried if c.names], ignore_index=True)
    spread = (lines["n_docs"] >= min_docs) & (lines["rest_docs"] >= min_docs)
    wanted = (lines["kind"] == DOCUMENT) | spread
    lines = lines[wanted & (lines["n_tokens"] >= min_count) & lines["p_value"].notna()]
    if lines.empty:
        raise QueryError(
            f"no group of {min_count:,} tokens or more is in {min_docs:,} source documents, as is "
            "the rest: ask for fewer, though little can be told from them"
        )
    lines = lines.drop_duplicates(["n_tokens", "n_docs", "mean_change"]).drop(columns="rest_docs")
    lines["q_value"] = stats.false_discovery_control(lines["p_value"])
    return lines.sort_values("p_value", kind="stable", ignore_index=True)


def _lines(of_kind: Candidates, change: np.ndarray, source: np.ndarray) -> pd.DataFrame:
    frame = group_differences(of_kind.label, len(of_kind.names), change, source)
    ratio = frame["difference"].abs() / frame["standard_error"]
    frame["p_value"] = 2 * stats.t.sf(ratio, frame.pop("degrees"))
    frame.insert(0, "kind", of_kind.kind)
    frame.insert(1, "token_group", of_kind.names)
    frame.insert(2, "clause", of_kind.clauses)
    return frame


def group_differences(
    label: np.ndarray, n_groups: int, change: np.ndarray, source: np.ndarray
) -> pd.DataFrame:
    """Each group's mean change, that of all other tokens, their difference and its error.

    `label` int64 (tokens,), below `n_groups`, -1 for tokens of no group; `change` float64 (tokens,)
    in nats; `source` int64 (tokens,) from 0, each with a token. Returns n_tokens, n_docs,
    rest_docs, mean_change, rest_change, difference, standard_error, degrees (of freedom); NaN
    where there is no group or no rest.
    """
    n_sources = int(source.max()) + 1
    every = _Cells(*_cells(source, change, n_sources), variances(change, source))
    order = np.argsort(label, kind="stable")
    starts = np.searchsorted(label[order], np.arange(0, n_groups + _AT_ONCE, _AT_ONCE))
    parts = []
    for at, (start, end) in enumerate(pairwise(starts)):
        rows, n = order[start:end], min(_AT_ONCE, n_groups - at * _AT_ONCE)
        slots = (label[rows] - at * _AT_ONCE) * n_sources + source[rows]
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
    """Of groups (lines) by source document (columns), against what is left of all tokens."""
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
    """Mean change of each line, documents' shares of its tokens and influences; NaN for none."""
    n = counts.sum(axis=1, keepdims=True).astype(np.float64)
    n[n == 0] = np.nan
    mean = sums.sum(axis=1, keepdims=True) / n
    return mean[:, 0], counts / n, (sums - counts * mean) / n


def variances(change: np.ndarray, source: np.ndarray) -> tuple[float, float]:
    """Of change, in nats squared: between documents' means, and between tokens of a document.

    By moments (DerSimonian and Laird 1986, Controlled Clinical Trials 7:177). `change` float64
    (tokens,), `source` int64 (tokens,) from 0, each with a token. Between is 0 for one document.
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

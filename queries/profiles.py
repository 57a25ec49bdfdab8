"""What are the tokens of a kind? Groups that have more, or fewer, of them than others have."""

import numpy as np
import pandas as pd
from scipy import stats

from queries.candidates import Candidates, candidates
from queries.leaderboard import group_differences
from queries.store import Store

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

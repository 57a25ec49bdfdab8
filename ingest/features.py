"""Token features that depend on what the model saw earlier in the doc."""

import numpy as np


def earlier_occurrences(keys: np.ndarray) -> np.ndarray:
    """How often each key stands earlier in `keys`: int32 (n,) -> int32 (n,)."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    is_first = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    starts = np.flatnonzero(is_first)
    first_of_run = np.repeat(starts, np.diff(np.append(starts, len(keys))))
    counts = np.empty(len(keys), dtype=np.int32)
    counts[order] = np.arange(len(keys)) - first_of_run
    return counts


def ngram_seen_before(ids: np.ndarray, n: int) -> np.ndarray:
    """Earlier occurrences of the n tokens ending at each place of `ids`, int32 (len(ids),).

    `ids` is all that the model saw, the BOS included; the first n-1 places have no n-gram: 0.
    """
    counts = np.zeros(len(ids), dtype=np.int32)
    if len(ids) < n:
        return counts
    keys = np.zeros(len(ids) - n + 1, dtype=np.int64)
    size = int(ids.max()) + 1  # size ** 3 stays below 2 ** 63 up to 2 million token types
    for shift in range(n):
        keys = keys * size + ids[shift : shift + len(keys)]
    counts[n - 1 :] = earlier_occurrences(keys)
    return counts

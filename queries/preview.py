"""What a group holds, before anything is averaged: how many tokens, and some in their text."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from queries.store import Store


@dataclass(frozen=True)
class Preview:
    """A group's tokens, counted, with a sample."""

    n_tokens: int
    n_docs: int
    """Source documents."""
    sample: pd.DataFrame
    """`Store.context` of some tokens, in order of row."""


def preview(store: Store, group: str, k: int = 6, seed: int = 0) -> Preview:
    """Count the group's tokens and draw `k` of them by chance. Raises GroupError."""
    rows = store.some_members(group)
    sample = np.random.default_rng(seed).permutation(rows)[:k]
    n_docs = len(np.unique(store.source_of_row[rows]))
    return Preview(len(rows), n_docs, store.context(sample))

"""Stores of synthetic losses: which tokens changed, when and by how much is known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from queries import Store
from store import schema
from store.layout import Layout
from tests.queries.support.stores import add_checkpoint, build_store


def blank_store(root: Path, sources: int, types: int = 0, seed: int = 0) -> int:
    """A store without a checkpoint; returns its number of tokens, of `types` even token types."""
    build_store(root, sources=sources, steps=(), seed=seed)
    tokens = pq.read_table(Layout(root).tokens)
    if types:
        ids = np.random.default_rng(seed).integers(0, types, len(tokens))
        at = tokens.schema.get_field_index("token_id")
        column = pa.array(ids, tokens.schema.field(at).type)
        tokens = tokens.set_column(at, tokens.schema.field(at), column)
        tokens = pa.table(tokens.columns, schema=schema.TOKENS)
        pq.write_table(tokens, Layout(root).tokens)
    return len(tokens)


def with_losses(root: Path, losses: np.ndarray, every: int = 10) -> Store:
    """The store with losses, float (tokens, checkpoints) in nats, at the steps 0, 10, 20, …"""
    for column in range(losses.shape[1]):
        add_checkpoint(root, every * column, losses[:, column])
    return Store(root)

"""Synthetic stores for the report: positions 50, 100, …, 1,500; known effects planted."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from queries import Store
from store import schema
from store.layout import Layout
from tests.queries.support.simulated import blank_store, with_losses

STEPS = 30
Plant = Callable[[pd.DataFrame, np.ndarray], None]


def made_up(root: Path, plant: Plant | None = None, sources: int = 16, seed: int = 0) -> Store:
    """A run that falls smoothly from 6 to about 3 nats; `plant` changes losses in place.

    It gets the tokens and their losses, float64 (tokens, checkpoints), of the steps 0, 10, 20, …
    """
    blank_store(root, sources, seed=1)
    path = Layout(root).tokens
    table = pq.read_table(path)
    at = table.schema.get_field_index("position")
    places = pa.array(table["position"].to_numpy() * 50, table.schema.field(at).type)
    table = pa.table(
        table.set_column(at, table.schema.field(at), places).columns, schema=schema.TOKENS
    )
    pq.write_table(table, path)
    tokens = table.to_pandas()
    rng, steps = np.random.default_rng(seed), STEPS
    curve = 6 - 3 * np.log1p(np.arange(steps)) / np.log(31)
    losses = curve + rng.normal(0, 0.3, (len(tokens), 1)) + rng.normal(0, 0.2, (len(tokens), steps))
    losses += rng.normal(0, 0.2, tokens["doc"].max() + 1)[tokens["doc"], None]
    if plant:
        plant(tokens, losses)
    return with_losses(root, np.maximum(losses, 0.01))


def position_effect(tokens: pd.DataFrame, losses: np.ndarray) -> None:
    """From step 150 on the 500th token is 1.5 nats easier."""
    losses[np.ix_((tokens["position"] == 500).to_numpy(), np.arange(15, losses.shape[1]))] -= 1.5


def spike(tokens: pd.DataFrame, losses: np.ndarray) -> None:
    """Up from step 180 to 200, down to 220: nine tokens in ten rise, the tenth falls."""
    shape = np.zeros(losses.shape[1])
    shape[18:23] = [0.5, 1.0, 1.5, 1.0, 0.5]
    against = np.where(np.arange(len(tokens)) % 10 == 0, -1.0, 1.0)
    losses += against[:, None] * shape


def after_surnames(tokens: pd.DataFrame, losses: np.ndarray) -> None:
    """What follows Obama is 2 nats easier from step 100 on; the name itself is not."""
    follows = (tokens["prev_token_str"] == " Obama").to_numpy()
    losses[np.ix_(follows, np.arange(10, losses.shape[1]))] -= 2.0

"""Synthetic probes for synthetic stores."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from store import schema
from store.layout import Layout


def write_probes(
    root: Path, steps: list[int], losses: np.ndarray, scores: np.ndarray | None
) -> None:
    """`losses` (checkpoints, 2) in nats, `scores` (checkpoints, layers, heads) or None."""
    rows = []
    for at, step in enumerate(steps):
        found = [
            (schema.LOSS_FIRST, None, None, losses[at, 0]),
            (schema.LOSS_SECOND, None, None, losses[at, 1]),
        ]
        if scores is None:
            found.append((schema.PREFIX_MATCHING, None, None, None))
        else:
            found += [
                (schema.PREFIX_MATCHING, layer, head, value)
                for (layer, head), value in np.ndenumerate(scores[at])
            ]
        rows += [(step, *place, "made up") for place in found]
    lines = [dict(zip(schema.PROBES.names, row, strict=True)) for row in rows]
    pq.write_table(pa.Table.from_pylist(lines, schema.PROBES), Layout(root).probes)

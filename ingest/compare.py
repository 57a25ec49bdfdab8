"""How far are one store's losses from another's, checkpoint by checkpoint?"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ingest.errors import IngestError
from ingest.tables import read_table
from store.layout import Layout
from store.manifest import ManifestError, read_manifest


@dataclass(frozen=True)
class Distance:
    """Absolute differences of one checkpoint's losses in two stores, in nats."""

    checkpoint: int
    largest: float
    mean: float


def compare(store: Path, reference: Path) -> Iterator[Distance]:
    """Distances at the checkpoints that both stores have, in order.

    Raises IngestError where one is no store, or they hold other tokens or share no checkpoint.
    """
    one, other = Layout(store), Layout(reference)
    _refuse_other_tokens(one, other)
    shared = sorted(one.scored().keys() & other.scored().keys())
    if not shared:
        raise IngestError(f"{store} and {reference} have no checkpoint in common")
    for checkpoint in shared:
        away = np.abs(_losses(one, checkpoint) - _losses(other, checkpoint))
        yield Distance(checkpoint, float(away.max()), float(away.mean()))


def only_in_one(store: Path, reference: Path) -> int:
    """How many checkpoints `compare` has left out."""
    return len(Layout(store).scored().keys() ^ Layout(reference).scored().keys())


def _refuse_other_tokens(one: Layout, other: Layout) -> None:
    try:
        prints = [read_manifest(layout.manifest).token_fingerprint for layout in (one, other)]
    except ManifestError as error:
        raise IngestError(str(error)) from error
    if prints[0] != prints[1]:
        raise IngestError(
            f"{one.root} and {other.root} hold other tokens (their fingerprints differ): only "
            "stores of one text, tokenizer and context length can be compared"
        )


def _losses(layout: Layout, checkpoint: int) -> np.ndarray:
    """Losses float64 (tokens,) of one checkpoint."""
    table = read_table(layout.loss_file(checkpoint))
    return np.asarray(table["loss"], dtype=np.float64)

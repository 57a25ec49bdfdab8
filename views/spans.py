"""Where checkpoints stand on the axis of training: at their step, or at the tokens seen by then."""

from collections.abc import Sequence

import pandas as pd

from queries import Store
from views.charts import TOKENS_SEEN

Span = tuple[float, float]


def has_tokens_seen(store: Store) -> bool:
    """Does the store say how many tokens each of its checkpoints had seen?"""
    return bool(_tokens_seen(store).notna().all())


def placed(store: Store, frame: pd.DataFrame, axis: str) -> pd.DataFrame:
    """`frame`, which has checkpoint, with the column `at`."""
    return frame.assign(at=frame["checkpoint"].map(_place(store, axis)))


def of_region(store: Store, region: tuple[int, int] | None, axis: str) -> Span | None:
    """Where a region's ends stand on the axis; None where a checkpoint is not in the store."""
    places = _place(store, axis)
    if region is None or not set(region) <= set(places):
        return None
    return places[region[0]], places[region[1]]


def steps(store: Store, brushed: Sequence[float] | None, axis: str) -> list[int] | None:
    """The checkpoints that are nearest to the ends of what was brushed on the axis."""
    if not brushed:
        return None
    places = _place(store, axis)
    return [min(places, key=lambda s: abs(places[s] - end)) for end in sorted(brushed)]


def _place(store: Store, axis: str) -> dict[int, float]:
    if axis != TOKENS_SEEN:
        return {step: step for step in store.steps}
    return dict(zip(store.steps, _tokens_seen(store).astype(float), strict=True))


def _tokens_seen(store: Store) -> pd.Series:
    return store.checkpoints.set_index("checkpoint")["tokens_seen"].reindex(store.steps)

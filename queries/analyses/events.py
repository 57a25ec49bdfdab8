"""Events of a trajectory: spikes, humps, the fastest fall, plateaus and change points."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd

from queries.analyses.base import Chart, Group, WithScript, python_script
from queries.errors import QueryError
from queries.stats.changes import Region, next_region
from queries.stats.time_series.events import EVENT, find_events
from queries.store import Store


@dataclass(frozen=True)
class Events(WithScript):
    """The events of one trajectory."""

    frame: pd.DataFrame
    """kind, first, peak, last (steps), size (nats), noise_ratio, p_value, verdict.

    Descriptions have no p_value (NaN): see `stats.time_series.events.find_events`.
    """
    trajectory: pd.DataFrame
    """checkpoint, value (nats): the trajectory that was searched."""
    is_difference: bool
    """Is `value` a difference of two groups?"""

    def chart(self) -> Chart:
        from queries.charts import analyses

        title = "first minus second (nats)" if self.is_difference else "mean loss (nats)"
        steps, values = (self.trajectory[name].to_numpy() for name in ("checkpoint", "value"))
        return analyses.events(self.frame, steps, values, title)


def events(
    store: Store,
    group: Annotated[str, Group("group to analyse")] = "true",
    baseline: Annotated[str | None, Group("group to subtract")] = None,
) -> Events:
    """The events of a group's mean loss, or of its difference from the group `baseline`.

    `stats.time_series.events.find_events` defines them. Raises GroupError, and QueryError for a
    store with fewer than 20 checkpoints.
    """
    steps, values = np.array(store.steps), _values(store, group, baseline)
    return Events(
        find_events(steps, values),
        pd.DataFrame({"checkpoint": steps, "value": values}),
        baseline is not None,
        code=python_script(store, events, group=group, baseline=baseline),
    )


def _values(store: Store, group: str, baseline: str | None) -> np.ndarray:
    """float64 (checkpoints,) in nats."""
    if baseline is None:
        return store.trajectories({"": group})["mean_loss"].to_numpy()
    return store.difference(group, baseline)["difference"].to_numpy()


@dataclass(frozen=True)
class Spike:
    """A rise of the mean loss and the recovery from it, as two regions of training.

    One region over both would let each token change and change back.
    """

    kind: str
    """spike or hump (tested events), largest_rise (may be noise) or region (a user's choice)."""
    rise: Region
    recovery: Region | None
    """From the checkpoint after the peak; None if no later checkpoint is left to change in."""
    size: float
    """nats"""
    p_value: float
    """NaN if it was not tested."""


def spikes(store: Store) -> list[Spike]:
    """The spikes and humps of the mean loss, largest first; else its largest rise, if it rises."""
    found = _spikes(store)
    if found or len(store.steps) < 2:
        return found
    rise, back = store.suggested_regions()
    mean = _values(store, "true", None)
    size = float(mean[store.steps.index(rise[1])] - mean[store.steps.index(rise[0])])
    return [Spike("largest_rise", rise, back, size, np.nan)] if size > 0 else []


def _spikes(store: Store) -> list[Spike]:
    try:
        frame = events(store).frame
    except QueryError:
        return []  # too few checkpoints to separate events from noise
    rows = frame[frame["kind"].isin(["spike", "hump"]) & (frame["verdict"] == EVENT)]
    return [
        Spike(
            str(row["kind"]),
            (int(row["first"]), int(row["peak"])),
            next_region(store.steps, int(row["peak"]), int(row["last"])),
            float(row["size"]),
            float(row["p_value"]),
        )
        for row in rows.sort_values("size", ascending=False).to_dict("records")
    ]

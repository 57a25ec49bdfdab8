"""Events of a trajectory: spikes, humps, the fastest fall, plateaus and change points."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd

from queries.analyses.base import Chart, Group, WithScript, python_script
from queries.stats.time_series.events import find_events
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

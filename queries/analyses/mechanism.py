"""Evidence for the mechanism: probes beside a group's curve, and which of them moves first."""

from dataclasses import astuple, dataclass, fields
from functools import cached_property

import numpy as np
import pandas as pd

from queries.errors import QueryError, StoreError
from queries.stats.lags import Lag, lag
from queries.store import Store

LOSSES = ("loss_first", "loss_second")
GAIN = "repeat_gain"
SCORE = "prefix_matching_layer_"
GROUP = "group"


@dataclass(frozen=True)
class Mechanism:
    """Probes and a group of tokens on one axis of checkpoints."""

    wide: pd.DataFrame
    """The same as `curves`, one column per curve, by checkpoint."""
    curves: pd.DataFrame
    """checkpoint, curve, value, low, high: loss_first and loss_second on repeats and repeat_gain,
    the first minus the second (nats); prefix_matching_layer_0, …, the highest score of the layer's
    heads (0 to 1); and group, its mean loss, or that minus the baseline's (nats), with its band."""

    @cached_property
    def lags(self) -> pd.DataFrame:
        """One line per probe that may come before the group: probe, probe_change, group_change
        (from the first checkpoint to the farthest value), half_way_probe, half_way_group (steps),
        and lead, lag in decades of the step, above 0 where the probe moves first; see
        `queries.stats.lags.Lag`. Raises QueryError for under 20 checkpoints."""
        return _lags(self.wide)


def mechanism(
    store: Store,
    group: str = "copyable",
    baseline: str | None = None,
    first: int | None = None,
    last: int | None = None,
) -> Mechanism:
    """Does a group's loss move when the heads that copying needs appear, before or after?

    With `baseline` the group's mean loss minus the baseline's, which leaves out what all tokens
    have in common. `first` and `last` are steps between which to look (all). A score says where a
    head looks, a lead that something came first: neither is a proof of cause. Raises StoreError
    for a store without probes, GroupError, and QueryError where there is no probe between.
    """
    found = store.probes
    if found is None or found.empty:
        raise StoreError(
            f"{store.path} has no probes: add --probes to the `python -m ingest run` that made it; "
            "nothing is scored again"
        )
    asked = _of_group(store, group, baseline)
    wide = _wide(found).join(asked.set_index("checkpoint"), how="inner").loc[slice(first, last)]
    if wide.empty:
        raise QueryError(
            f"no checkpoint between {first or 'the first'} and {last or 'the last'} has probes and "
            f"losses: probes are at {found['checkpoint'].min():,} to {found['checkpoint'].max():,}"
        )
    return Mechanism(wide, _curves(wide))


def _of_group(store: Store, group: str, baseline: str | None) -> pd.DataFrame:
    """checkpoint, group, low, high."""
    if baseline is None:
        frame = store.trajectories({"": group}).rename(columns={"mean_loss": GROUP})
    else:
        frame = store.difference(group, baseline).rename(columns={"difference": GROUP})
    return frame[["checkpoint", GROUP, "low", "high"]]


def _wide(probes: pd.DataFrame) -> pd.DataFrame:
    """One column per curve, by checkpoint: losses, their difference, each layer's highest score."""
    on_repeats = probes[probes["probe"].isin(LOSSES)]
    wide = on_repeats.pivot(index="checkpoint", columns="probe", values="value")
    wide[GAIN] = wide[LOSSES[0]] - wide[LOSSES[1]]
    scores = probes[(probes["probe"] == "prefix_matching") & probes["value"].notna()]
    highest = scores.groupby(["checkpoint", "layer"])["value"].max().unstack("layer")
    highest.columns = [f"{SCORE}{int(layer)}" for layer in highest.columns]
    return wide.join(highest)


def _curves(wide: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in wide.columns if name not in ("low", "high")]
    long = wide.reset_index().melt("checkpoint", names, var_name="curve")
    bands = wide[["low", "high"]].reset_index().assign(curve=GROUP)
    return long.merge(bands, on=["checkpoint", "curve"], how="left")


def _lags(wide: pd.DataFrame) -> pd.DataFrame:
    steps, of_group = wide.index.to_numpy(np.int64), wide[GROUP].to_numpy()
    names = [name for name in wide.columns if name == GAIN or name.startswith(SCORE)]
    rows = []
    for name in names:
        curve = wide[name].to_numpy()
        known = ~np.isnan(curve)
        found = lag(steps[known], curve[known], of_group[known])
        changes = _change(curve[known]), _change(of_group[known])
        rows.append((name, *changes, *astuple(found)))
    columns = ["probe", "probe_change", "group_change", *(f.name for f in fields(Lag))]
    named = {"half_way_one": "half_way_probe", "half_way_two": "half_way_group"}
    return pd.DataFrame(rows, columns=columns).rename(columns=named)


def _change(curve: np.ndarray) -> float:
    away = curve - curve[0]
    return float(away[np.abs(away).argmax()])

"""Mechanism: probes of attention heads next to a group's loss, and which of them changes first."""

from dataclasses import astuple, dataclass, fields
from functools import cached_property
from typing import Annotated, ClassVar

import numpy as np
import pandas as pd

from queries.analyses.base import (
    Between,
    Chart,
    Group,
    OpenRegion,
    Tables,
    WithScript,
    python_script,
)
from queries.errors import QueryError, StoreError
from queries.stats.lags import Lag, lag
from queries.store import Store

LOSSES = ("loss_first", "loss_second")
GAIN = "repeat_gain"
SCORE = "prefix_matching_layer_"
GROUP = "group"


@dataclass(frozen=True)
class Mechanism(WithScript):
    """Probes and a group of tokens at the same checkpoints."""

    wide: pd.DataFrame
    """The same as `curves`, one column per curve, by checkpoint."""
    curves: pd.DataFrame
    """checkpoint, curve, value, low, high. The curves are loss_first and loss_second (mean losses
    on a random segment and on its repetition), repeat_gain (the first minus the second; nats);
    prefix_matching_layer_0, … (the highest score of the layer's heads, 0 to 1); and group: its
    mean loss, or that minus the baseline's (nats), with its band."""
    tables: ClassVar[Tables] = {
        "lags": lambda found: found.lags,
        "curves": lambda found: found.curves,
    }

    @cached_property
    def lags(self) -> pd.DataFrame:
        """One row per probe that may come before the group: probe, probe_change, group_change
        (from the first checkpoint to the farthest value), half_way_probe, half_way_group (steps),
        and lead and lag in log10 steps, above 0 if the probe changes first; see
        `queries.stats.lags.Lag`. Raises QueryError for fewer than 20 checkpoints."""
        return lags(self.wide)

    @property
    def frame(self) -> pd.DataFrame:
        """`lags`."""
        return self.lags

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.mechanism(self.curves)


def mechanism(
    store: Store,
    group: Annotated[str, Group("group to analyse")] = "copyable",
    baseline: Annotated[str | None, Group("group to subtract")] = None,
    *,
    between: Annotated[OpenRegion, Between("the region (default: all)")] = (None, None),
) -> Mechanism:
    """Does a group's loss change when the heads that copying needs appear, before or after?

    With `baseline`, the group's mean loss minus the baseline's, which removes what all tokens have
    in common. A score says what a head attends to, a lead that something came first: neither
    proves a cause. Raises StoreError for a store without probes, GroupError, and QueryError if
    there is no probe in the region.
    """
    probes = store.probes
    if probes is None or probes.empty:
        raise StoreError(
            f"{store.path} has no probes: add --probes to the `python -m ingest run` command that "
            "made it; no checkpoint is scored again"
        )
    curve = _group_curve(store, group, baseline).set_index("checkpoint")
    wide = probe_curves(probes).join(curve, how="inner").loc[slice(*between)]
    if wide.empty:
        first, last = between
        raise QueryError(
            f"no checkpoint between {first or 'the first'} and {last or 'the last'} has probes and "
            f"losses: there are probes of {probes['checkpoint'].min():,} to "
            f"{probes['checkpoint'].max():,}"
        )
    code = python_script(store, mechanism, group=group, baseline=baseline, between=between)
    return Mechanism(wide, _long(wide), code=code)


def _group_curve(store: Store, group: str, baseline: str | None) -> pd.DataFrame:
    """checkpoint, group, low, high."""
    if baseline is None:
        frame = store.trajectories({"": group}).rename(columns={"mean_loss": GROUP})
    else:
        frame = store.difference(group, baseline).rename(columns={"difference": GROUP})
    return frame[["checkpoint", GROUP, "low", "high"]]


def probe_curves(probes: pd.DataFrame) -> pd.DataFrame:
    """One column per curve, by checkpoint: losses, their difference, each layer's highest score.

    `probes` is `Store.probes`: checkpoint, probe, layer, head, value.
    """
    on_repeats = probes[probes["probe"].isin(LOSSES)]
    wide = on_repeats.pivot(index="checkpoint", columns="probe", values="value")
    wide[GAIN] = wide[LOSSES[0]] - wide[LOSSES[1]]
    scores = probes[(probes["probe"] == "prefix_matching") & probes["value"].notna()]
    highest = scores.groupby(["checkpoint", "layer"])["value"].max().unstack("layer")
    highest.columns = [f"{SCORE}{int(layer)}" for layer in highest.columns]
    return wide.join(highest)


def _long(wide: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in wide.columns if name not in ("low", "high")]
    long = wide.reset_index().melt("checkpoint", names, var_name="curve")
    bands = wide[["low", "high"]].reset_index().assign(curve=GROUP)
    return long.merge(bands, on=["checkpoint", "curve"], how="left")


def lags(wide: pd.DataFrame) -> pd.DataFrame:
    """`Mechanism.lags` of `Mechanism.wide`."""
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
    renamed = {"half_way_one": "half_way_probe", "half_way_two": "half_way_group"}
    return pd.DataFrame(rows, columns=columns).rename(columns=renamed)


def _change(curve: np.ndarray) -> float:
    """From the first value to the value farthest from it."""
    away = curve - curve[0]
    return float(away[np.abs(away).argmax()])

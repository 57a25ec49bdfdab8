"""Mechanism: probes of attention heads next to a group's loss, and which of them changes first."""

import bisect
from dataclasses import dataclass
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
from queries.analyses.events import events
from queries.errors import GroupError, QueryError, StoreError
from queries.stats.changes import Region
from queries.stats.time_series.leads import FEWEST, Lead, lead
from queries.store import Store

LOSSES = ("loss_first", "loss_second")
GAIN = "repeat_gain"
SCORE = "prefix_matching_layer_"
GROUP = "group"
SMALL = 0.02
"""A change of a score from 0 to 1 that is too small to date; a head has about 0.01 by chance."""


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
        "leads": lambda found: found.leads,
        "variants": lambda found: found.variants,
        "curves": lambda found: found.curves,
    }

    @cached_property
    def leads(self) -> pd.DataFrame:
        """One row per probe: probe, probe_change, group_change (from the first checkpoint to the
        farthest value), half_way_probe, half_way_group (steps), lead (log10 of the factor between
        these, above 0 if the probe changes first), low, high (what the 95% intervals of all
        `variants` cover together: 0 is within unless they agree), and verdict: "probe leads",
        "group leads" or "cannot tell: " and why. See `queries.stats.time_series.leads`.
        """
        return pd.DataFrame([_row(name, self.wide, found) for name, found in self._found.items()])

    @property
    def variants(self) -> pd.DataFrame:
        """probe, window, baseline, lead, low, high: every way in which a lead was measured."""
        columns = ["probe", "window", "baseline", "lead", "low", "high"]
        tables = [found.variants.assign(probe=name) for name, found in self._found.items()]
        measured = [table for table in tables if len(table)]
        return pd.concat(measured or tables, ignore_index=True)[columns]

    @cached_property
    def _found(self) -> dict[str, Lead]:
        names = [name for name in self.wide.columns if name == GAIN or name.startswith(SCORE)]
        return {name: _lead(self.wide, name) for name in names}

    @property
    def frame(self) -> pd.DataFrame:
        """`leads`."""
        return self.leads

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
    if why := store.manifest.unavailable.get("probes"):
        raise StoreError(f"{store.path} has no probes: {why}")
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


def event_window(store: Store, group: str, baseline: str | None = None) -> Region:
    """Steps around the fastest fall of a group's curve: half its width, in log step, on each side.

    At least as many checkpoints as a lead needs; the whole run if there is no fall, or too few
    checkpoints. A fixed rule, so that a window is not chosen for what it shows. Raises GroupError.
    """
    steps = store.steps
    whole = steps[0], steps[-1]
    try:
        found = events(store, group, baseline).frame
    except GroupError:
        raise
    except QueryError:  # too few checkpoints
        return whole
    falls = found[found["kind"] == "fastest_fall"]
    if falls.empty:
        return whole
    first, last = (int(falls[end].iloc[0]) for end in ("first", "last"))
    factor = ((1 + last) / (1 + first)) ** 0.5
    low = bisect.bisect_right(steps, (1 + first) / factor - 1) - 1
    high = bisect.bisect_left(steps, (1 + last) * factor - 1)
    low, high = max(low, 0), min(high, len(steps) - 1)
    while high - low + 1 < min(FEWEST, len(steps)):
        low, high = max(low - 1, 0), min(high + 1, len(steps) - 1)
    return steps[low], steps[high]


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


def _lead(wide: pd.DataFrame, name: str) -> Lead:
    known = wide[[name, GROUP]].dropna()
    steps = known.index.to_numpy(np.int64)
    probe, group = known[name].to_numpy(), known[GROUP].to_numpy()
    if name.startswith(SCORE) and abs(_change(probe)) < SMALL:
        return Lead.unknown(f"the score changes by less than {SMALL}")
    return lead(steps, probe, group, names=("probe", "group"))


def _row(name: str, wide: pd.DataFrame, found: Lead) -> dict[str, object]:
    return {
        "probe": name,
        "probe_change": _change(wide[name].dropna().to_numpy()),
        "group_change": _change(wide[GROUP].dropna().to_numpy()),
        "half_way_probe": found.half_way_one,
        "half_way_group": found.half_way_two,
        "lead": found.lead,
        "low": found.variants["low"].min(),
        "high": found.variants["high"].max(),
        "verdict": found.verdict,
    }


def _change(curve: np.ndarray) -> float:
    """From the first value to the value farthest from it."""
    away = curve - curve[0]
    return float(away[np.abs(away).argmax()])

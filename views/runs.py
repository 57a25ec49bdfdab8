"""Several runs of the Trajectories page at once: the mean over runs, and how far runs lie apart."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from views import answers, charts, figure
from views.display import Display
from views.figure import Figure
from views.group_panel import Line


def page(stores: Sequence[Store], lines: Sequence[Line], shown: Display) -> None:
    """Each group's mean over the runs, the runs as thin lines."""
    st.subheader(f"Mean loss over {len(stores)} runs")
    by = "tokens_seen" if shown.axis == charts.TOKENS_SEEN else "step"
    keys = tuple(answers.key(store) for store in stores)
    spreads, singles = [], []
    for line in lines:
        try:
            found = answers.runs(list(stores), keys, line.clause, by)
        except QueryError as error:
            st.error(str(error), icon=":material/error:")
            return
        of_line = {"token_group": line.title, "color": line.color}
        spreads.append(
            _as_band(found.spread).assign(**of_line, dash=[line.dash] * len(found.spread))
        )
        singles.append(found.runs.assign(**of_line))
    frame = pd.concat(spreads, ignore_index=True)
    runs = pd.concat(singles, ignore_index=True).drop(columns=["color"])
    chart = charts.trajectories(frame, shown.axis, bands=shown.bands, runs=runs)
    figure.show(
        Figure(f"Mean loss over {len(stores)} runs", chart, runs,
               caption="Thick: the mean over runs, at the checkpoints that all of them have. Band: "
               "from the lowest run to the highest. Thin: each run. Groups are found in the first "
               "store. Smoothing and the panel below are for one run."),
        "runs",
    )  # fmt: skip


def _as_band(spread: pd.DataFrame) -> pd.DataFrame:
    shown = spread.rename(columns={"lowest": "low", "highest": "high"})
    return shown.assign(checkpoint=shown["at"])

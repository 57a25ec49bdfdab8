"""Rho-1's four categories: high or low loss at the start and at the end of training."""

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.rho import CATEGORIES, MOVED
from views import analysis_answers, answers, charts, figure, keep_kinds, spans
from views.analysis_answers import Categories
from views.called import called
from views.figure import Figure

TITLES = {
    "H->L": "H→L, falls",
    "L->L": "L→L, stays low",
    "H->H": "H→H, stays high",
    "L->H": "L→H, rises",
}


def show(store: Store, where: str, log: bool, axis: str) -> None:
    """The categories' mean curves and sizes, and how they become groups."""
    try:
        found = analysis_answers.categories(store, answers.key(store), where, log)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    over = "the log of the step" if log else "the step"
    st.markdown(
        f"A line is fitted to each token's losses over {over}. It falls by more than {MOVED} nats: "
        "**H→L**; it rises by more: **L→H**; else it ends at or below the group's mean loss: "
        "**L→L**; or above: **H→H**. A rule of thumb (Lin et al. 2024): a straight line tells "
        "little of a curve that falls and rises again, and the borders are not in the data."
    )
    _means(store, found, axis, _call(store, where, log))
    _sizes(found)
    keep_kinds.offer(
        store, found.tokens["row"], found.tokens["category"],
        {name: TITLES[name] for name in CATEGORIES if name in set(found.means["category"])},
        f"Rho-1's categories over {over} of {where}, to step {store.steps[-1]}", "rho",
    )  # fmt: skip


def _call(store: Store, where: str, log: bool) -> str:
    *before, asked = called(store, "rho_1", where, log).splitlines()
    lines = [
        "import pandas as pd",
        *before,
        f"rows_of = {asked}.groupby('category')['row']",
        "pd.concat([store.trajectory(r.to_numpy()).assign(category=c) for c, r in rows_of])",
    ]
    return "\n".join(lines)


def _means(store: Store, found: Categories, axis: str, call: str) -> None:
    frames = []
    for place, name in enumerate(CATEGORIES):
        frame = found.means[found.means["category"] == name]
        color, dash = charts.look(place)
        frames.append(frame.assign(token_group=TITLES[name], color=color, dash=[dash] * len(frame)))
    frame = spans.placed(store, pd.concat(frames, ignore_index=True), axis)
    chart = charts.curves(frame, axis, "mean_loss", "mean loss (nats)", height=360)
    st.subheader("Mean loss of each category")
    figure.show(
        Figure("Mean loss of Rho-1's categories", chart,
               frame.drop(columns=["color", "dash", "at", "token_group"]),
               caption="Tokens are sorted by these very losses, so that the curves differ is no "
               "finding: how many tokens there are, and which, is.", call=call),
        "categories_losses",
    )  # fmt: skip


def _sizes(found: Categories) -> None:
    st.dataframe(
        found.summary.assign(category=found.summary["category"].map(TITLES)),
        hide_index=True, key="categories_table",
        column_config={
            "n_tokens": st.column_config.NumberColumn("tokens", format="localized"),
            "share": st.column_config.ProgressColumn("share", format="percent", min_value=0,
                                                     max_value=1),
            "mean_start": st.column_config.NumberColumn("line's start (nats)", format="%.2f"),
            "mean_end": st.column_config.NumberColumn("line's end (nats)", format="%.2f"),
        },
    )  # fmt: skip

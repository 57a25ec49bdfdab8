"""The Clusters page: tokens with similar trajectories, by clustering or by Rho-1's rule."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from queries import Clusters, QueryError, Rho1, Store
from queries.analyses.base import store_call
from queries.analyses.clusters import COMPARED, GIVEN, Compared
from queries.analyses.rho_1 import CATEGORIES, CHANGED
from queries.charts import analyses, curves, theme
from queries.stats.cluster_number import DEPTH, FLOOR, MOST
from views import answers, state
from views.selected_groups import SelectedGroup
from views.widgets import figure, group_panel, token_table, training_axis
from views.widgets.figure import Figure, script_of

TRAJECTORIES, RHO_1 = "by their trajectories", "by Rho-1's four categories"
FOUND = "automatic"
CATEGORY_TITLES = {
    "H->L": "H→L, falls",
    "L->L": "L→L, stays low",
    "H->H": "H→H, stays high",
    "L->H": "L→H, rises",
}
_SHARE = st.column_config.ProgressColumn("share", format="percent", min_value=0, max_value=1)
_TOKENS = st.column_config.NumberColumn("tokens", format="localized")


@dataclass(frozen=True)
class Request:
    """What to cluster, and how."""

    where: str
    k: int | None
    """None for as many as are found."""
    compared: Compared
    axis: str


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Clusters")
    st.caption(
        "A mean hides that some tokens were learned early, some late, and some were forgotten. "
        "Here single tokens are grouped by their own trajectories."
    )
    log, compared, k = True, COMPARED[0], None
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            grouped = st.segmented_control(
                "Grouped",
                [TRAJECTORIES, RHO_1],
                default=TRAJECTORIES,
                required=True,
                key="grouped",
                bind="query-params",
                persist_state="session",
            )
            if grouped == TRAJECTORIES:
                compared, k = _cluster_options()
            else:
                log = _fit_option()
    if where is None:
        return
    axis = training_axis.choose(store)
    if grouped == TRAJECTORIES:
        _clusters(store, Request(where, k, compared, axis))
    else:
        _categories(store, where, log, axis)


def _cluster_options() -> tuple[Compared, int | None]:
    compared = st.segmented_control(
        "Compared by",
        COMPARED,
        default=COMPARED[0],
        required=True,
        key="compared_by",
        bind="query-params",
        persist_state="session",
        help="Shape: when a token was learned, not how hard it is (each trajectory minus its mean, "
        "divided by its standard deviation). Level: the losses as they are.",
    )
    number = st.selectbox(
        "Number of clusters",
        [FOUND, *map(str, range(2, MOST + 1))],
        key="n_clusters",
        bind="query-params",
        persist_state="session",
        width=230,
    )
    return compared, None if number == FOUND else int(number)


def _fit_option() -> bool:
    return st.toggle(
        "Fit lines against the log of the step",
        True,
        key="rho_log",
        bind="query-params",
        persist_state="session",
        help="Rho-1 fitted lines against the step, in a run that continued from a trained model. "
        "The loss of a run from scratch falls early, which suits the log of the step.",
    )


# ---- clusters of trajectories


def _clusters(store: Store, request: Request) -> None:
    """A switch, and the clusters once it is on, as clustering takes seconds."""
    if not st.toggle(
        "Cluster trajectories (takes a few seconds)",
        key="cluster",
        bind="query-params",
        persist_state="session",
    ):
        st.caption(
            "Shows each cluster's mean trajectory and size, its most typical tokens in their text, "
            "the groups that are over-represented in it, and whether other text would give the "
            "same clusters."
        )
        return
    try:
        found = answers.clusters(store, where=request.where, k=request.k, compared=request.compared)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    titles = {
        int(row["cluster"]): f"Cluster {row['cluster']} ({row['share']:.0%})"
        for row in found.frame.to_dict("records")
    }
    _stability(found)
    _means(store, found, titles, request)
    _sizes(found)
    _members(store, found, titles)
    _offer_feature(
        store,
        found.members["row"],
        found.members["cluster"],
        {cluster: f"Cluster {cluster} by {request.compared}" for cluster in titles},
        f"{len(titles)} clusters of trajectories by {request.compared} of {request.where}, to "
        f"step {store.steps[-1]}",
        "cluster",
    )


def _stability(found: Clusters) -> None:
    n = len(found.frame)
    if found.verdict == GIVEN:
        st.markdown(
            f"**{n} clusters**, as requested; whether there are any was not tested. To see whether "
            f"other text would give the same clusters, select *{FOUND}*."
        )
        return
    st.markdown(_verdict(found, n))
    with st.expander("How the number was chosen"):
        figure.show(
            Figure(
                "Stability and gaps of each number of clusters",
                analyses.stability(found.stability, n),
                found.stability,
                script_of(found, "stability"),
                "Above: the source documents are split in halves, the tokens of each half are "
                "clustered, and further tokens are assigned to the clusters of either half: 1 if "
                f"both agree, 0 by chance; at least {FLOOR:g} is needed. Below: tokens half-way "
                "between the two centres that are least separate, for one at the sparser of them; "
                f"below {DEPTH:g} and below normal curves of the same covariance is needed. The "
                "largest number that has all three is used.",
                found.language,
            ),
            "stability",
        )


def _verdict(found: Clusters, n: int) -> str:
    if n == 1:
        why = found.verdict.partition("; ")[2]
        return (
            f"**No clusters: a continuum.** For no number from 2 to {MOST} are there separate "
            f"clusters: {why}. To divide the continuum nevertheless, select a number."
        )
    row = found.stability[found.stability["k"] == n].iloc[0]
    return (
        f"**{n} clusters.** Refitted on other documents, assignments agree with an adjusted Rand "
        f"index of **{row['stability']:.2f}** (1: identical, 0: chance). Between any two centres "
        f"there are at most {row['gap']:.2f} times as many tokens as at the sparser of them; among "
        f"normal curves with the same covariance, {row['null_gap']:.2f} times."
    )


def _means(store: Store, found: Clusters, titles: dict[int, str], request: Request) -> None:
    groups = [
        curves.as_group(
            found.means[found.means["cluster"] == cluster], title, *theme.look(cluster - 1)
        )
        for cluster, title in titles.items()
    ]
    frame = training_axis.placed(store, pd.concat(groups, ignore_index=True), request.axis)
    data = frame.drop(columns=["color", "dash", "at", "token_group"])
    script = script_of(found, "means")
    st.subheader("Mean loss of each cluster")
    chart = curves.relative(frame, "mean_loss", "mean loss (nats)", None, request.axis, height=360)
    caption = (
        "The share of the tokens is in brackets. Bands are 95% intervals over source documents for "
        "tokens that were grouped by these same losses: they show where the mean is, not whether "
        "clusters differ."
    )
    figure.show(
        Figure("Mean loss of each cluster", chart, data, script, caption, found.language),
        "cluster_losses",
    )
    st.subheader("Mean shape of each cluster")
    without_band = frame.drop(columns=["low", "high"])  # that band is the loss's
    chart = curves.relative(
        without_band, "shape", "standard deviations", 0, request.axis, False, height=260
    )
    caption = (
        "Each token's loss minus its own mean over training, in its own standard deviations: it "
        "shows when the loss fell, regardless of its level."
    )
    figure.show(
        Figure("Mean shape of each cluster", chart, data, script, caption, found.language),
        "cluster_shapes",
    )


def _sizes(found: Clusters) -> None:
    losses = {
        f"{name}_loss": st.column_config.NumberColumn(f"{name} loss (nats)", format="%.2f")
        for name in ("first", "lowest", "last")
    }
    st.dataframe(
        found.frame,
        hide_index=True,
        key="clusters_table",
        column_config={"n_tokens": _TOKENS, "share": _SHARE, **losses},
    )
    st.caption(
        "Losses of the mean trajectory at the first checkpoint, at its lowest point, and at the "
        "last checkpoint."
    )


def _members(store: Store, found: Clusters, titles: dict[int, str]) -> None:
    st.subheader("Cluster members")
    for tab, cluster in zip(st.tabs(list(titles.values())), titles, strict=True):
        with tab:
            _typical_tokens(store, found.typical[found.typical["cluster"] == cluster], cluster)
            _typical_groups(found.features[found.features["cluster"] == cluster], cluster)


def _typical_tokens(store: Store, typical: pd.DataFrame, cluster: int) -> None:
    rows = tuple(int(row) for row in typical["row"])
    tokens = typical[["row", "distance"]].merge(answers.context(store, rows), on="row")
    st.dataframe(
        token_table.in_text(tokens, "distance").drop(columns="row"),
        hide_index=True,
        key=f"typical_{cluster}",
        column_config={
            "distance": st.column_config.NumberColumn("distance from the centre", format="%.2f"),
            "text": st.column_config.TextColumn(
                "most typical tokens, ⟦marked⟧ in their text", width="large"
            ),
        },
    )


def _typical_groups(groups: pd.DataFrame, cluster: int) -> None:
    if groups.empty:
        st.caption("No group is clearly over- or under-represented in this cluster.")
        return
    groups = groups.reset_index(drop=True)
    event = st.dataframe(
        groups[["feature", "token_group", "ratio", "share", "rest_share", "q_value", "n_tokens"]],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"profile_{cluster}",
        column_config={
            "token_group": st.column_config.TextColumn("group", width="medium"),
            "ratio": st.column_config.NumberColumn("ratio to others", format="%.2f"),
            "share": st.column_config.NumberColumn("share of its tokens", format="percent"),
            "rest_share": st.column_config.NumberColumn("share of all others", format="percent"),
            "q_value": st.column_config.NumberColumn("q", format="%.2g"),
            "n_tokens": _TOKENS,
        },
    )
    st.caption(
        "Groups over-represented, then under-represented, in this cluster. q: the expected share "
        "of false positives up to this row. Groups overlap. Select a row to show its group on "
        "Trajectories."
    )
    for at in event["selection"]["rows"][:1]:
        row = groups.iloc[at]
        state.offer(SelectedGroup(str(row["clause"]), name=str(row["token_group"])))


# ---- Rho-1's four categories: a high or low loss at the start and at the end of training


def _categories(store: Store, where: str, log: bool, axis: str) -> None:
    """The categories' mean trajectories and sizes."""
    try:
        found = answers.rho_1(store, where=where, log=log)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    means = answers.rho_1_means(store, where, log)
    over = "the log of the step" if log else "the step"
    st.markdown(
        f"A line is fitted to each token's losses over {over}. If it falls by more than {CHANGED} "
        "nats, the token is **H→L**; if it rises by more, **L→H**. Otherwise it is **L→L** if its "
        "own loss at the last checkpoint is at most the group's mean loss there, and **H→H** if it "
        "is higher. This is a rule of thumb (Lin et al. 2024): a straight line says little about "
        "a loss that falls and rises again, and the thresholds do not come from the data."
    )
    _category_means(store, found, means, axis)
    _category_sizes(found)
    _offer_feature(
        store,
        found.members["row"],
        found.members["category"],
        {name: CATEGORY_TITLES[name] for name in CATEGORIES if name in set(means["category"])},
        f"Rho-1's categories, fitted against {over}, of {where}, to step {store.steps[-1]}",
        "rho",
    )


def _category_means(store: Store, found: Rho1, means: pd.DataFrame, axis: str) -> None:
    groups = [
        curves.as_group(means[means["category"] == name], CATEGORY_TITLES[name], *theme.look(at))
        for at, name in enumerate(CATEGORIES)
    ]
    frame = training_axis.placed(store, pd.concat(groups, ignore_index=True), axis)
    st.subheader("Mean loss of each category")
    figure.show(
        Figure(
            "Mean loss of Rho-1's categories",
            curves.relative(frame, "mean_loss", "mean loss (nats)", None, axis, height=360),
            frame.drop(columns=["color", "dash", "at", "token_group"]),
            _category_script(store, found),
            "Tokens are grouped by these same losses, so they diverge by construction. The finding "
            "is how many tokens each category has, and which.",
            found.language,
        ),
        "categories_losses",
    )


def _category_script(store: Store, found: Rho1) -> str:
    """Python for the means of the categories."""
    *lines, _ = found.script().splitlines()
    means = "store.trajectory(r.to_numpy()).assign(category=c)"
    return "\n".join(
        [
            "import pandas as pd",
            *lines,
            f"store = {store_call(store)}",
            "rows = result.members.groupby('category')['row']",
            f"pd.concat([{means} for c, r in rows])",
        ]
    )


def _category_sizes(found: Rho1) -> None:
    st.dataframe(
        found.frame.assign(category=found.frame["category"].map(CATEGORY_TITLES)),
        hide_index=True,
        key="categories_table",
        column_config={
            "n_tokens": _TOKENS,
            "share": _SHARE,
            "mean_start": st.column_config.NumberColumn("start of the line (nats)", format="%.2f"),
            "mean_end": st.column_config.NumberColumn("end of the line (nats)", format="%.2f"),
        },
    )


# ---- clusters or categories as a column of the tokens


def _offer_feature(
    store: Store,
    rows: pd.Series,
    values: pd.Series,
    titles: Mapping[int, str] | Mapping[str, str],
    description: str,
    name: str,
) -> None:
    """A field and a button that save `values` of `rows`; once saved, a link for each value.

    `titles` are those of the values; `name` is the default name of the column.
    """
    st.subheader("Use as groups")
    saved = _saved(store, description)
    if saved:
        st.caption(f"Saved as the column `{saved}` of `tokens`, which every group can use.")
        for value, title in titles.items():
            state.offer(SelectedGroup(f"{saved} = {_literal(value)}", name=title))
        return
    st.caption(
        f"Saved as a feature, the {name if name == 'cluster' else 'category'} is a column of "
        "`tokens`: in groups of the app, in SQL and on the command line. Each value can then be "
        "drawn on Trajectories."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        column = st.text_input("Name of the column", name, key=f"save_{name}", width=230).strip()
        exists = column in set(store.features.all()["name"])
        overwrite = exists and st.checkbox(
            f"Replace the feature {column}", key=f"save_{name}_overwrite"
        )
        pressed = st.button("Save as a feature", icon=":material/save:", key=f"save_{name}_button")
    if not pressed:
        return
    try:
        store.features.save(column, values, description, rows=rows, overwrite=overwrite)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
    else:
        st.rerun()


def _saved(store: Store, description: str) -> str | None:
    """The feature with the same values; a new checkpoint can have changed them since."""
    features = store.features.all()
    same = features[features["problem"].isna() & (features["description"] == description)]
    return str(same["name"].iloc[0]) if len(same) else None


def _literal(value: int | str) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)

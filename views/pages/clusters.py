"""The Kinds page: tokens that are learned alike, by their curves or by Rho-1's rule."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from queries import Clusters, QueryError, Store, charts
from queries.analyses.clusters import COMPARED, MOST, TIE
from queries.analyses.rho_1 import CATEGORIES, MOVED
from views import answers, selected_groups
from views.answers import Categories
from views.selected_groups import Chosen
from views.widgets import display, figure, group_panel
from views.widgets.figure import Figure, called

# Kinds of tokens kept as a feature of the store, from where each kind is a group.


def offer_feature(
    store: Store,
    rows: pd.Series,
    values: pd.Series,
    titles: Mapping[int | str, str],
    description: str,
    name: str,
) -> None:
    """A field and a button to keep `values` of `rows`; once kept, a link for each kind.

    `titles` are the kinds' by their value, `name` is what the feature may be called.
    """
    st.subheader("Use them as groups")
    kept = _kept(store, description)
    if kept:
        st.caption(f"Kept as the column `{kept}` of the tokens: every group can ask for it.")
        for value, title in titles.items():
            selected_groups.offer(Chosen(f"{kept} = {_literal(value)}", name=title))
        return
    st.caption(
        "Kept as a feature, they are a column of the tokens: in groups of the app, in SQL and on "
        "the command line. Each kind can then be drawn on Trajectories."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        asked = st.text_input("Name of the column", name, key=f"keep_{name}", width=230)
        there = asked.strip() in set(store.features.all()["name"])
        overwrite = there and st.checkbox(
            f"Replace the feature {asked.strip()}", key=f"keep_{name}_overwrite"
        )
        pressed = st.button("Keep as a feature", icon=":material/save:", key=f"keep_{name}_save")
    if not pressed:
        return
    try:
        store.features.save(asked.strip(), values, description, rows=rows, overwrite=overwrite)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
    else:
        st.rerun()


def _kept(store: Store, description: str) -> str | None:
    """The feature that holds these very kinds; a new checkpoint may have changed them since."""
    features = store.features.all()
    same = features[features["problem"].isna() & (features["description"] == description)]
    return str(same["name"].iloc[0]) if len(same) else None


def _literal(value: int | str) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


# Rho-1's four categories: high or low loss at the start and at the end of training.

TITLES = {
    "H->L": "H→L, falls",
    "L->L": "L→L, stays low",
    "H->H": "H→H, stays high",
    "L->H": "L→H, rises",
}


def show_categories(store: Store, where: str, log: bool, axis: str) -> None:
    """The categories' mean curves and sizes, and how they become groups."""
    try:
        found = answers.categories(store, answers.key(store), where, log)
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
    _category_means(store, found, axis, _category_call(store, where, log))
    _category_sizes(found)
    offer_feature(
        store,
        found.tokens["row"],
        found.tokens["category"],
        {name: TITLES[name] for name in CATEGORIES if name in set(found.means["category"])},
        f"Rho-1's categories over {over} of {where}, to step {store.steps[-1]}",
        "rho",
    )


def _category_call(store: Store, where: str, log: bool) -> str:
    *before, asked = called(store, "rho_1", where, log).splitlines()
    lines = [
        "import pandas as pd",
        *before,
        f"rows_of = {asked}.groupby('category')['row']",
        "pd.concat([store.trajectory(r.to_numpy()).assign(category=c) for c, r in rows_of])",
    ]
    return "\n".join(lines)


def _category_means(store: Store, found: Categories, axis: str, call: str) -> None:
    frames = []
    for place, name in enumerate(CATEGORIES):
        frame = found.means[found.means["category"] == name]
        color, dash = charts.look(place)
        frames.append(frame.assign(token_group=TITLES[name], color=color, dash=[dash] * len(frame)))
    frame = display.placed(store, pd.concat(frames, ignore_index=True), axis)
    chart = charts.curves(frame, axis, "mean_loss", "mean loss (nats)", height=360)
    st.subheader("Mean loss of each category")
    figure.show(
        Figure(
            "Mean loss of Rho-1's categories",
            chart,
            frame.drop(columns=["color", "dash", "at", "token_group"]),
            caption="Tokens are sorted by these very losses, so that the curves differ is no "
            "finding: how many tokens there are, and which, is.",
            call=call,
        ),
        "categories_losses",
    )


def _category_sizes(found: Categories) -> None:
    st.dataframe(
        found.summary.assign(category=found.summary["category"].map(TITLES)),
        hide_index=True,
        key="categories_table",
        column_config={
            "n_tokens": st.column_config.NumberColumn("tokens", format="localized"),
            "share": st.column_config.ProgressColumn(
                "share", format="percent", min_value=0, max_value=1
            ),
            "mean_start": st.column_config.NumberColumn("line's start (nats)", format="%.2f"),
            "mean_end": st.column_config.NumberColumn("line's end (nats)", format="%.2f"),
        },
    )


# Kinds found by clustering: their mean curves, how sure they are, and who is in them.

APART, PARTLY = 0.2, 0.1
"""How much more stable than a cloud: kinds that are set apart, and partly so."""


def show_clusters(store: Store, where: str, k: int | None, compared: str, axis: str) -> None:
    """A switch; the kinds once they are asked for, as that takes seconds."""
    if not st.toggle(
        "Find the kinds: every token's curve is compared, which takes seconds",
        key="find_kinds",
        bind="query-params",
        persist_state="session",
    ):
        st.caption(
            "You get each kind's mean curve, how many tokens it has, its most typical tokens in "
            "their text, the groups that have more of it than others, and how sure it is that "
            "other text would give the same kinds."
        )
        return
    try:
        key = answers.key_of(store, where)
        found = answers.clusters(store, key, where, k, compared)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    call = called(store, "kinds", where, k, compared)
    titles = {
        int(kind.kind): f"Kind {kind.kind} ({kind.share:.0%})" for kind in found.kinds.itertuples()
    }
    _how_sure(found, call)
    _means(store, found, titles, axis, call)
    _sizes(found)
    _members(store, found, titles)
    offer_feature(
        store,
        found.members["row"],
        found.members["kind"],
        {kind: f"Kind {kind} by {compared}" for kind in titles},
        f"{len(titles)} kinds of trajectories by {compared} of {where}, to step {store.steps[-1]}",
        "kind",
    )


def _how_sure(found: Clusters, call: str) -> None:
    n = len(found.kinds)
    if found.stability.empty:
        st.markdown(
            f"**{n} kinds**, as asked. How stable they are was not tried: choose the number that "
            "is stable to see whether other text would give the same kinds."
        )
        return
    line = found.stability.set_index("k").loc[n]
    told = _told(n, float(line["stability"]), float(line["cloud_stability"]))
    st.markdown(told)
    with st.expander("How the number was chosen"):
        figure.show(
            Figure(
                "Stability of each number of kinds",
                charts.stability(found.stability, n),
                found.stability,
                caption="The source documents are halved, each half's tokens are sorted, and "
                "further tokens put into the kinds of either half: 1 where both agree, 0 by "
                f"chance. Taken is the largest number within {TIE} of the best.",
                call=f"{call}.stability",
            ),
            "stability",
        )


def _told(n: int, stability: float, cloud: float) -> str:
    more = stability - cloud
    if more > APART:
        verdict = "far less: there is more to these kinds than the cutting up of one cloud."
    elif more > PARTLY:
        verdict = "somewhat less: some are set apart, others are regions of one cloud."
    else:
        verdict = (
            "hardly less: these are regions of one cloud, good to describe it by, not kinds "
            "that are set apart."
        )
    return (
        f"**{n} kinds.** Sorted again by other documents, tokens come together with an agreement "
        f"of **{stability:.2f}** (1: the same kinds, 0: chance). Points drawn from a cloud without "
        f"any kinds reach {cloud:.2f}, {verdict}"
    )


def _means(store: Store, found: Clusters, titles: dict[int, str], axis: str, call: str) -> None:
    frames = []
    for kind, frame in found.means.groupby("kind", sort=True):
        color, dash = charts.look(int(kind) - 1)
        frames.append(
            frame.assign(token_group=titles[int(kind)], color=color, dash=[dash] * len(frame))
        )
    frame = display.placed(store, pd.concat(frames, ignore_index=True), axis)
    data = frame.drop(columns=["color", "dash", "at", "token_group"])
    st.subheader("Mean loss of each kind")
    chart = charts.curves(frame, axis, "mean_loss", "mean loss (nats)", height=360)
    figure.show(
        Figure(
            "Mean loss of each kind",
            chart,
            data,
            call=f"{call}.means",
            caption="The share of the tokens in brackets. Bands are 95 % intervals over source "
            "documents for tokens that were sorted by these very losses: they say where the "
            "mean lies, not whether kinds differ.",
        ),
        "kinds_losses",
    )
    st.subheader("Mean shape of each kind")
    plain = frame.assign(low=float("nan"), high=float("nan"))
    chart = charts.curves(
        plain, axis, "shape", "standard deviations", height=260, nothing=0, bands=False
    )
    figure.show(
        Figure(
            "Mean shape of each kind",
            chart,
            data,
            call=f"{call}.means",
            caption="Each token's loss less its own mean over training, in its own standard "
            "deviations: when it fell, whatever its level.",
        ),
        "kinds_shapes",
    )


def _sizes(found: Clusters) -> None:
    loss = {
        name: st.column_config.NumberColumn(
            f"{name.removesuffix('_loss')} loss (nats)", format="%.2f"
        )
        for name in ("first_loss", "lowest_loss", "last_loss")
    }
    st.dataframe(
        found.kinds,
        hide_index=True,
        key="kinds_table",
        column_config={
            "n_tokens": st.column_config.NumberColumn("tokens", format="localized"),
            "share": st.column_config.ProgressColumn(
                "share", format="percent", min_value=0, max_value=1
            ),
            **loss,
        },
    )
    st.caption(
        "Losses of the mean curve at the first checkpoint, where it is lowest, and at the last one."
    )


def _members(store: Store, found: Clusters, titles: dict[int, str]) -> None:
    st.subheader("Who is in them")
    for tab, (kind, _) in zip(st.tabs(list(titles.values())), titles.items(), strict=True):
        with tab:
            _typical(store, found.typical[found.typical["kind"] == kind], kind)
            _groups(found.features[found.features["kind"] == kind], kind)


def _typical(store: Store, typical: pd.DataFrame, kind: int) -> None:
    rows = tuple(int(row) for row in typical["row"])
    context = answers.context(store, answers.key(store), rows)
    tokens = typical[["row", "distance"]].rename(columns={"distance": "change"})
    lines = tokens.merge(context, on="row")
    st.dataframe(
        charts.in_context(lines).drop(columns="row"),
        hide_index=True,
        key=f"typical_{kind}",
        column_config={
            "change": st.column_config.NumberColumn("from the centre", format="%.2f"),
            "text": st.column_config.TextColumn(
                "most typical tokens, ⟦marked⟧ in their text", width="large"
            ),
        },
    )


def _groups(lines: pd.DataFrame, kind: int) -> None:
    if lines.empty:
        st.caption("No group has clearly more or fewer of its tokens in this kind than others.")
        return
    lines = lines.reset_index(drop=True)
    event = st.dataframe(
        lines[["feature", "token_group", "ratio", "share", "rest_share", "q_value", "n_tokens"]],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key=f"profile_{kind}",
        column_config={
            "token_group": st.column_config.TextColumn("group", width="medium"),
            "ratio": st.column_config.NumberColumn("times the others'", format="%.2f"),
            "share": st.column_config.NumberColumn("of its tokens", format="percent"),
            "rest_share": st.column_config.NumberColumn("of all others", format="percent"),
            "q_value": st.column_config.NumberColumn("q", format="%.2g"),
            "n_tokens": st.column_config.NumberColumn("tokens", format="localized"),
        },
    )
    st.caption(
        "Groups with more, then with fewer of their tokens in this kind than others have. q: the "
        "share of false lines to expect up to this one. Groups overlap. Tick a line to take the "
        "group to Trajectories."
    )
    for at in event["selection"]["rows"][:1]:
        line = lines.iloc[at]
        selected_groups.offer(Chosen(str(line["clause"]), name=str(line["token_group"])))


CURVES, RHO = "alike in their curves", "Rho-1's four categories"
STABLE = "as many as are stable"


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Kinds of trajectories")
    st.caption(
        "A mean hides that some tokens were learned early, some late, and some were forgotten. "
        "Here single tokens are sorted by how their own loss went."
    )
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where", "all_tokens")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            sorted_by = st.segmented_control(
                "Sorted into",
                [CURVES, RHO],
                default=CURVES,
                required=True,
                key="sorted_by",
                bind="query-params",
                persist_state="session",
            )
            if sorted_by == CURVES:
                compared, k = _how()
            else:
                log = st.toggle(
                    "Lines over the log of the step",
                    True,
                    key="rho_log",
                    bind="query-params",
                    persist_state="session",
                    help="Rho-1 fitted lines over the step, in a run that went on from a trained "
                    "model. Runs from nothing fall early, which the log suits.",
                )
    if where is None:
        return
    axis = display.training_axis(store)
    if sorted_by == CURVES:
        show_clusters(store, where, k, compared, axis)
    else:
        show_categories(store, where, log, axis)


def _how() -> tuple[str, int | None]:
    compared = st.segmented_control(
        "Compared by",
        COMPARED,
        default=COMPARED[0],
        required=True,
        key="kinds_compared",
        bind="query-params",
        persist_state="session",
        help="Shape: when a token was learned, not how hard it is (each curve less its mean, over "
        "its standard deviation). Level: the losses as they are.",
    )
    number = st.selectbox(
        "Number of kinds",
        [STABLE, *map(str, range(2, MOST + 1))],
        key="kinds_number",
        bind="query-params",
        persist_state="session",
        width=230,
    )
    return str(compared), None if number == STABLE else int(number)

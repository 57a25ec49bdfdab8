"""The Zoom page: how single tokens changed in a region of training."""

import pandas as pd
import streamlit as st

from queries import QueryError, Store, charts
from queries.catalog import sql_scripts
from queries.groups.templates import ChangedBetween, Rows, Template, TokenTypes, to_json
from queries.stats.changes import Zoom
from views import answers, selected_groups
from views.selected_groups import Chosen
from views.widgets import figure, group_panel, region
from views.widgets.figure import Figure
from views.widgets.region import Region

# Which groups moved unlike the rest in a region: a leaderboard, whose lines become groups.


def show_leaderboard(store: Store, region: Region) -> None:
    """A heading and a switch; the leaderboard once it is asked for, as it takes seconds."""
    st.subheader("Which groups moved unlike the rest?")
    if not st.toggle(
        "Compare the named groups, and bands, types and documents",
        key="explain",
        bind="query-params",
        persist_state="session",
    ):
        return
    try:
        found = answers.explain(store, answers.key(store), region)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    kinds = list(dict.fromkeys(found["kind"]))
    kind = st.pills(
        "Kind", kinds, key="explain_kind", selection_mode="multi", label_visibility="collapsed"
    )
    shown = found[found["kind"].isin(kind)] if kind else found
    shown = shown.reset_index(drop=True)
    event = st.dataframe(
        shown[["kind", "token_group", "difference", "standard_error", "q_value", "mean_change",
               "rest_change", "n_tokens", "n_docs"]],
        hide_index=True, on_select="rerun", selection_mode="single-row", key="explain_table",
        column_config={
            "token_group": st.column_config.TextColumn("group", width="medium"),
            "difference": st.column_config.NumberColumn("unlike the rest (nats)", format="%+.3f"),
            "standard_error": st.column_config.NumberColumn("standard error", format="%.3f"),
            "q_value": st.column_config.NumberColumn("q", format="%.2g"),
            "mean_change": st.column_config.NumberColumn("its change", format="%+.3f"),
            "rest_change": st.column_config.NumberColumn("the rest's", format="%+.3f"),
            "n_tokens": "tokens", "n_docs": "documents",
        },
    )  # fmt: skip
    st.caption(
        f"{len(found):,} groups, the surest first. q: the share of false lines to expect among "
        "those up to it. Groups overlap: a line tells where a change is to be seen, not why. Tick "
        "a line to take it to Trajectories."
    )
    for at in event["selection"]["rows"][:1]:
        line = shown.iloc[at]
        selected_groups.offer(Chosen(str(line["clause"]), name=str(line["token_group"])))


# The tokens that a zoom picks out, in lists, and how a list becomes a group.

_CHANGE = st.column_config.NumberColumn("change (nats)", format="%+.2f")


def offer_tokens(template: Template, name: str) -> None:
    """A link that takes the group to the Trajectories page."""
    selected_groups.offer(Chosen(built=to_json(template), name=name))


def occurrences(store: Store, zoom: Zoom, name: str, title: str) -> None:
    """One list of token occurrences, each in its text."""
    tokens = getattr(zoom, name).drop_duplicates("row")[["row", "change"]]
    if tokens.empty:
        st.info("No token of the group changed in this direction.")
        return
    rows = tuple(int(row) for row in tokens["row"])
    context = answers.context(store, answers.key(store), rows)
    shown = charts.in_context(tokens.merge(context, on="row"))
    event = st.dataframe(
        shown,
        hide_index=True,
        key=f"{name}_table",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "change": _CHANGE,
            "text": st.column_config.TextColumn("text, the ⟦token⟧ marked", width="large"),
        },
    )
    for at in event["selection"]["rows"][:1]:
        _offer_text(int(shown["row"].iloc[at]), zoom)
    offer_tokens(Rows(rows), f"{title}, {zoom.first:,} to {zoom.last:,}")


def _offer_text(row: int, zoom: Zoom) -> None:
    st.page_link(
        st.session_state["pages"]["text"],
        label=f"Read row {row:,} in its document",
        icon=":material/article:",
        query_params={
            "token": str(row),
            "colour": "change",
            "first": str(zoom.first),
            "last": str(zoom.last),
        },
    )


def types(store: Store, zoom: Zoom, where: str, min_count: int, k: int) -> None:
    """The token types that fell and rose most, by their mean."""
    region = (zoom.first, zoom.last)
    try:
        found = answers.type_changes(store, answers.key(store), region, where, min_count)
    except QueryError as error:
        st.info(str(error))
        return
    sides = {
        "Most decreased": found[found["change"] < 0].head(k),
        "Most increased": found[found["change"] > 0].tail(k).iloc[::-1],
    }
    for tab, (title, side) in zip(st.tabs(list(sides)), sides.items(), strict=True):
        with tab:
            _types(side, f"{title} types, {zoom.first:,} to {zoom.last:,}", title)
    st.caption(f"{len(found):,} token types occur at least {min_count:,} times in the group.")


def _types(side: pd.DataFrame, name: str, key: str) -> None:
    if side.empty:
        st.info("No token type changed in this direction.")
        return
    st.dataframe(
        side.assign(token_str="⟦" + side["token_str"] + "⟧"),
        hide_index=True,
        key=f"{key}_types",
        column_config={
            "token_id": "token id",
            "token_str": "⟦token⟧",
            "n_tokens": "occurrences",
            "change": st.column_config.NumberColumn("mean change (nats)", format="%+.3f"),
            "standard_deviation": st.column_config.NumberColumn("their spread", format="%.3f"),
        },
    )
    offer_tokens(TokenTypes(tuple(int(i) for i in side["token_id"])), name)


# A second region of training: do the same tokens change again, more than chance would have it?


def show_overlap(
    store: Store, chosen: Region, where: str, k: int, min_count: int | None, default: Region
) -> None:
    """The region's widgets, and what its most changed tokens share with the first one's."""
    st.subheader("The same tokens in a second region?")
    second = region.choose(store, "Second region", "second_", default)
    try:
        shared = answers.overlap(store, answers.key(store), chosen, second, where, k, min_count)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.dataframe(
        shared,
        hide_index=True,
        column_config={
            "set_in_first": f"in {chosen[0]:,} to {chosen[1]:,}, most",
            "set_in_second": f"in {second[0]:,} to {second[1]:,}, most",
            "k_first": "n first",
            "k_second": "n second",
            "shared": "shared",
            "expected": st.column_config.NumberColumn("by chance", format="%.2f"),
            "p_value": st.column_config.NumberColumn("p (chance)", format="%.2g"),
            "expected_usual": st.column_config.NumberColumn("usual", format="%.2f"),
            "p_usual": st.column_config.NumberColumn("p (usual)", format="%.2g"),
            "n_regions": None,
        },
    )
    st.caption(
        "By chance: what two lists of these sizes would share if drawn at random. Usual: if each "
        "token moved in the second region as it does in other regions of its width, since some "
        "tokens always move more. p: how often as many or more would be shared."
    )
    if chosen[1] == second[0]:
        st.caption(
            f"Both regions hold step {second[0]:,}, whose noise alone makes tokens move and move "
            "back: begin the second one a step later to be rid of that."
        )


AROUND, WHOLE = "around the region", "whole run"
OCCURRENCES, TYPES = "occurrences", "types"
WIDE = 20  # times its first step: a region whose early part a linear axis would squeeze
LINES = 5  # trajectories of each list in the chart
LISTS = {"decreased": "Most decreased", "increased": "Most increased", "random": "Random"}


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Zoom")
    st.caption("Which tokens changed between two checkpoints, and did the same ones change back?")
    rise, recovery = answers.suggested_regions(store, answers.key(store))
    region.take_event(store)
    chosen = region.choose(store, "Region", "", rise)
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where", "all_tokens")
        k, unit, min_count = _lists_of()
    if where is None:
        return
    try:
        zoom = answers.zoom(store, answers.key(store), chosen, where, k, seed=0)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    _histogram(store, zoom, where)
    _trajectories(store, zoom)
    st.subheader("Tokens in their text" if unit == OCCURRENCES else "Token types")
    if unit == OCCURRENCES:
        for tab, name in zip(st.tabs(list(LISTS.values())), LISTS, strict=True):
            with tab:
                occurrences(store, zoom, name, LISTS[name])
    else:
        types(store, zoom, where, min_count, k)
    show_leaderboard(store, chosen)
    show_overlap(store, chosen, where, k, min_count if unit == TYPES else None, recovery)


def _lists_of() -> tuple[int, str, int]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        k = st.number_input(
            "Tokens in each list",
            1,
            1_000,
            50,
            key="k",
            bind="query-params",
            persist_state="session",
            width=170,
        )
        unit = st.segmented_control(
            "Lists of",
            [OCCURRENCES, TYPES],
            default=OCCURRENCES,
            required=True,
            key="lists_of",
            bind="query-params",
            persist_state="session",
            help="An occurrence is one token at one place of the text; a type is all occurrences "
            "of the same token, by their mean change.",
        )
        min_count = 20
        if unit == TYPES:
            min_count = st.number_input(
                "Occurrences of a type, at least",
                1,
                100_000,
                20,
                key="min_count",
                bind="query-params",
                persist_state="session",
                width=230,
            )
    return int(k), str(unit), int(min_count)


def _histogram(store: Store, zoom: Zoom, where: str) -> None:
    change = zoom.changes["change"]
    st.subheader(f"Change in loss from step {zoom.first:,} to {zoom.last:,}")
    event = figure.show(
        Figure(
            f"Change in loss from step {zoom.first:,} to {zoom.last:,}",
            charts.histogram(zoom.histogram),
            zoom.histogram,
            sql_scripts.histogram_sql(store, zoom.first, zoom.last, where),
            f"Of {len(change):,} tokens, {(change < 0).mean():.1%} fell and "
            f"{(change > 0).mean():.1%} rose. Mean change {change.mean():+.3f} nats, median "
            f"{change.median():+.3f}. Drag over the bars to choose tokens.",
        ),
        "histogram",
        on_select="rerun",
        selection_mode=charts.BRUSH,
    )
    brushed = event["selection"].get(charts.BRUSH, {}).get("low")
    if brushed:
        low, high = (float(f"{end:.4g}") for end in sorted(brushed))
        group = ChangedBetween(zoom.first, zoom.last, low, high)
        offer_tokens(group, f"Changed by {low:+g} to {high:+g}")


def _trajectories(store: Store, zoom: Zoom) -> None:
    st.subheader("Losses of single tokens")
    span = st.segmented_control(
        "Steps shown",
        [AROUND, WHOLE],
        default=AROUND,
        required=True,
        key="span",
        bind="query-params",
        persist_state="session",
    )
    heads = [_head(getattr(zoom, name)).assign(token_list=title) for name, title in LISTS.items()]
    frame = pd.concat(heads)
    ends = (zoom.first, zoom.last)
    shown = region.surroundings(frame, ends) if span == AROUND else frame
    wide = span == WHOLE or zoom.last > WIDE * max(zoom.first, 1)
    axis = charts.LOG_LIKE if wide else charts.LINEAR
    figure.show(
        Figure(
            "Losses of single tokens",
            charts.token_trajectories(shown, axis, ends),
            frame,
            sql_scripts.token_trajectories_sql(frame["row"].unique()),
            f"The first {LINES} tokens of each list below; the region is shaded.",
        ),
        "token_trajectories",
    )


def _head(trajectories: pd.DataFrame) -> pd.DataFrame:
    return trajectories[trajectories["row"].isin(trajectories["row"].unique()[:LINES])]

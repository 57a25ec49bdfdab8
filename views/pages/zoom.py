"""The Zoom page: how single tokens changed in a region of training."""

from typing import Any

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.analyses.explain import FALSE_RATE
from queries.catalog import sql_scripts
from queries.charts import changes
from queries.charts.theme import LINEAR, SYMLOG
from queries.groups.templates import ChangedBetween, Rows, Template, TokenTypes, to_json
from queries.report.numbers import signed
from queries.stats.changes import Zoom
from queries.stats.two_way import Claim
from views import answers, state
from views.selected_groups import SelectedGroup
from views.state import Region
from views.widgets import figure, group_panel, region, token_table
from views.widgets.figure import Figure

AROUND, WHOLE = "around the region", "whole run"
OCCURRENCES, TYPES = "occurrences", "types"
WIDE = 20
"""A region whose last step is this many times its first one gets a symlog axis."""
DRAWN = 5
"""Trajectories of each list in the chart."""
CLAIMS: dict[Claim, str] = {
    "both": "other documents and words",
    "documents": "other documents",
    "types": "other words in these documents",
}
LISTS = {"decreased": "Most decreased", "increased": "Most increased", "random": "Random"}


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Zoom")
    st.caption("Which tokens changed between two checkpoints, and did the same ones change back?")
    rise, recovery = answers.suggested_regions(store)
    region.jump_to_event(store)
    selected = region.choose(store, "Region", "region", rise)
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where")
        k, unit, min_count = _list_options()
    if where is None:
        return
    try:
        zoom = answers.zoom(store, *selected, where, k)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    _histogram(store, zoom, where)
    _trajectories(zoom)
    if unit == OCCURRENCES:
        _occurrences(store, zoom)
    else:
        _types(store, zoom, where, min_count, k)
    _leaderboard(store, selected)
    _overlap(store, selected, where, k, min_count if unit == TYPES else None, recovery)


def _list_options() -> tuple[int, str, int]:
    """How many tokens, occurrences or types, and how often a type occurs."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        k = st.number_input(
            "Tokens per list",
            1,
            1_000,
            50,
            key="k",
            bind="query-params",
            persist_state="session",
            width=170,
        )
        unit = st.segmented_control(
            "Rank",
            [OCCURRENCES, TYPES],
            default=OCCURRENCES,
            required=True,
            key="lists_of",
            bind="query-params",
            persist_state="session",
            help="An occurrence is one token in one place in the text. A type is all occurrences "
            "of the same token, ranked by their mean change.",
        )
        min_count = 20
        if unit == TYPES:
            min_count = st.number_input(
                "Minimum occurrences of a type",
                1,
                100_000,
                20,
                key="min_count",
                bind="query-params",
                persist_state="session",
                width=230,
            )
    return int(k), str(unit), int(min_count)


# ---- how much all tokens changed


def _histogram(store: Store, zoom: Zoom, where: str) -> None:
    change = zoom.changes["change"]
    title = f"Change in loss from step {zoom.first:,} to {zoom.last:,}"
    st.subheader(title)
    brushed = figure.show(
        Figure(
            title,
            changes.histogram(zoom.histogram),
            zoom.histogram,
            sql_scripts.histogram(store, (zoom.first, zoom.last), where),
            f"Of {len(change):,} tokens, {(change < 0).mean():.1%} fell and "
            f"{(change > 0).mean():.1%} rose. Mean change {signed(change.mean(), 3)} nats, median "
            f"{signed(change.median(), 3)}. Drag over the bars to select tokens.",
        ),
        "histogram",
        brush="low",
    )
    if brushed:
        low, high = (float(f"{end:.4g}") for end in brushed)
        group = ChangedBetween(zoom.first, zoom.last, low, high)
        _offer(group, f"Changed by {low:+g} to {high:+g}".replace("-", "−"))


def _trajectories(zoom: Zoom) -> None:
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
    frame = pd.concat(
        [_head(getattr(zoom, name)).assign(token_list=title) for name, title in LISTS.items()]
    )
    ends, width = (zoom.first, zoom.last), zoom.last - zoom.first
    near = frame["checkpoint"].between(zoom.first - width, zoom.last + width)
    shown = frame[near] if span == AROUND else frame
    wide = span == WHOLE or zoom.last > WIDE * max(zoom.first, 1)
    figure.show(
        Figure(
            "Losses of single tokens",
            changes.token_trajectories(shown, ends, SYMLOG if wide else LINEAR),
            frame,
            sql_scripts.token_trajectories(frame["row"].unique()),
            f"The first {DRAWN} tokens of each list below. The region is shaded.",
        ),
        "token_trajectories",
    )


def _head(trajectories: pd.DataFrame) -> pd.DataFrame:
    return trajectories[trajectories["row"].isin(trajectories["row"].unique()[:DRAWN])]


# ---- which tokens changed most


def _occurrences(store: Store, zoom: Zoom) -> None:
    st.subheader("Tokens in their text")
    for tab, (name, title) in zip(st.tabs(list(LISTS.values())), LISTS.items(), strict=True):
        with tab:
            _occurrence_list(store, zoom, name, title)


def _occurrence_list(store: Store, zoom: Zoom, name: str, title: str) -> None:
    tokens = getattr(zoom, name).drop_duplicates("row")[["row", "change"]]
    if tokens.empty:
        st.info("No token of the group changed in this direction.")
        return
    rows = tuple(int(row) for row in tokens["row"])
    shown = tokens.merge(answers.context(store, rows), on="row")
    row = token_table.show(shown, "change", "change (nats)", f"{name}_table")
    if row is not None:
        _offer_text(row, zoom)
    _offer(Rows(rows), f"{title}, {zoom.first:,} to {zoom.last:,}")


def _offer(template: Template, name: str) -> None:
    state.offer(SelectedGroup(built=to_json(template), name=name))


def _offer_text(row: int, zoom: Zoom) -> None:
    """A link to the token on the Text page."""
    st.page_link(
        st.session_state["pages"]["text"],
        label=f"Read row {row:,} in its document",
        icon=":material/article:",
        query_params=state.link(token=row, region=(zoom.first, zoom.last)) | {"colour": "change"},
    )


def _types(store: Store, zoom: Zoom, where: str, min_count: int, k: int) -> None:
    """The token types whose mean fell and rose most."""
    st.subheader("Token types")
    try:
        found = answers.type_changes(
            store, (zoom.first, zoom.last), where=where, min_count=min_count
        ).frame
    except QueryError as error:
        st.info(str(error))
        return
    sides = {
        "Most decreased": found[found["change"] < 0].head(k),
        "Most increased": found[found["change"] > 0].tail(k).iloc[::-1],
    }
    for tab, (title, side) in zip(st.tabs(list(sides)), sides.items(), strict=True):
        with tab:
            _type_list(side, f"{title} types, {zoom.first:,} to {zoom.last:,}", title)
    st.caption(f"{len(found):,} token types occur at least {min_count:,} times in the group.")


def _type_list(side: pd.DataFrame, name: str, key: str) -> None:
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
            "standard_deviation": st.column_config.NumberColumn(
                "standard deviation", format="%.3f"
            ),
        },
    )
    _offer(TokenTypes(tuple(int(i) for i in side["token_id"])), name)


# ---- which groups changed differently


def _leaderboard(store: Store, selected: Region) -> None:
    """A switch, and the groups that changed differently once it is on, as it takes seconds."""
    st.subheader("Which groups changed differently?")
    if not st.toggle(
        "Compare named groups, position and frequency bands, token types and documents",
        key="explain",
        bind="query-params",
        persist_state="session",
    ):
        return
    claim = st.segmented_control(
        "A difference would also hold for",
        CLAIMS,
        default="both",
        required=True,
        format_func=CLAIMS.__getitem__,
        key="explain_claim",
        bind="query-params",
        persist_state="session",
        help="A single token type says nothing about other words, and a single document nothing "
        "about other documents: they can be compared only if they are what the claim is about.",
    )
    try:
        found = answers.explain(store, selected, claim=claim).frame
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    kinds = st.pills(
        "Kind of group",
        list(dict.fromkeys(found["kind"])),
        key="explain_kind",
        selection_mode="multi",
        label_visibility="collapsed",
    )
    shown = (found[found["kind"].isin(kinds)] if kinds else found).reset_index(drop=True)
    selected_row = _leaderboard_table(shown)
    st.caption(
        f"{_tested(found)} q: the expected share of false positives among the rows up to this one. "
        "Groups overlap: a row says where a change is seen, not why. Select a row to show its "
        "group on Trajectories."
    )
    if selected_row is not None:
        row = shown.iloc[selected_row]
        state.offer(SelectedGroup(str(row["clause"]), name=str(row["token_group"])))


def _tested(found: pd.DataFrame) -> str:
    """How many groups were tested, and what could have been seen if none is claimed."""
    tested = found[found["verdict"] == ""]
    untested = len(found) - len(tested)
    text = f"{len(tested):,} groups were tested, most significant first."
    if untested:
        text += f" {untested:,} could not be: the reason is in the last column."
    if len(tested) and not (tested["q_value"] < FALSE_RATE).any():
        text += (
            " None differs with q below 0.05. Differences below "
            f"{tested['detectable'].median():.2f} nats (median over groups) would usually not be "
            "detected."
        )
    return text


def _leaderboard_table(shown: pd.DataFrame) -> int | None:
    """Draw the table; the index of the selected row."""
    columns: dict[str, Any] = {
        "kind": "kind",
        "token_group": st.column_config.TextColumn("group", width="medium"),
        "difference": st.column_config.NumberColumn("difference (nats)", format="%+.3f"),
        "standard_error": st.column_config.NumberColumn("standard error", format="%.3f"),
        "q_value": st.column_config.NumberColumn("q", format="%.2g"),
        "mean_change": st.column_config.NumberColumn("change of the group", format="%+.3f"),
        "rest_change": st.column_config.NumberColumn("change of the rest", format="%+.3f"),
        "n_tokens": "tokens",
        "n_docs": "source documents",
        "n_docs_effective": st.column_config.NumberColumn("effective documents", format="%.1f"),
        "n_types_effective": st.column_config.NumberColumn("effective types", format="%.1f"),
        "detectable": st.column_config.NumberColumn("detectable (nats)", format="%.3f"),
        "verdict": "verdict",
    }
    event = st.dataframe(
        shown[list(columns)],
        hide_index=True,
        on_select="rerun",
        selection_mode="single-row",
        key="explain_table",
        column_config=columns,
    )
    rows = event["selection"]["rows"]
    return rows[0] if rows else None


# ---- the same tokens in a second region


def _overlap(
    store: Store, first: Region, where: str, k: int, min_count: int | None, default: Region
) -> None:
    """A second region, and how many of the most changed tokens it shares with the first one."""
    st.subheader("The same tokens in a second region?")
    second = region.choose(store, "Second region", "second", default)
    try:
        shared = answers.overlap(store, first, second, where=where, k=k, min_count=min_count).frame
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    st.dataframe(
        shared,
        hide_index=True,
        column_config={
            "set_in_first": f"from {first[0]:,} to {first[1]:,}, most",
            "set_in_second": f"from {second[0]:,} to {second[1]:,}, most",
            "k_first": "n first",
            "k_second": "n second",
            "shared": "shared",
            "expected": st.column_config.NumberColumn("by chance", format="%.2f"),
            "expected_placebo": st.column_config.NumberColumn("in placebos", format="%.2f"),
            "p_placebo": st.column_config.NumberColumn("p (placebos)", format="%.2g"),
            "needed": st.column_config.NumberColumn("needed for p < 0.05", format="%d"),
            "n_placebos": None,
            "verdict": None,
        },
    )
    st.caption(
        "By chance: the tokens that two random lists of these sizes would share. Some tokens "
        "always change more, and noise moves them back, so lists overlap everywhere. In placebos: "
        "the mean of pairs of regions with the same widths and gap elsewhere in the run. p: the "
        f"rank among the placebos. {_placebos(shared)}"
    )
    if first[1] == second[0]:
        st.caption(
            f"Both regions contain step {second[0]:,}, whose noise alone makes tokens change and "
            "change back. To avoid this, start the second region one step later."
        )


def _placebos(shared: pd.DataFrame) -> str:
    row = shared.iloc[0]
    if row["verdict"]:
        return f"There is no p here: {row['verdict']}."
    n = int(row["n_placebos"])
    return f"With {n} placebos, no p can be below {1 / (n + 1):.2g}."

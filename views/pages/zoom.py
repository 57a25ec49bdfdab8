"""The Zoom page: the story of a spike, and how single tokens changed in a region of training.

In the order of the screen: the spike (rise and recovery), its story in one paragraph, the histogram
that filters the lines, lists and types next to it and below, the groups, the overlap, other runs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.analyses.compare import RunChanges
from queries.analyses.events import Spike
from queries.analyses.explain import FALSE_RATE
from queries.analyses.type_changes import by_type
from queries.catalog import sql_scripts
from queries.charts import changes
from queries.charts.theme import LINEAR, SYMLOG
from queries.groups.templates import ChangedBetween, Rows, Template, TokenTypes, to_json
from queries.report import SpikeStory, to_html
from queries.report.numbers import MINUS, share, signed
from queries.stats.changes import Zoom, next_region
from queries.stats.two_way import Claim
from views import answers, state
from views.selected_groups import SelectedGroup
from views.state import Region
from views.widgets import figure, group_panel, guesses, region, runs, token_table
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
KINDS = {"spike": "Spike", "hump": "Hump", "largest_rise": "Largest rise (may be noise)"}
SPARKLINE = "loss over the steps shown"


def page(store: Store, others: Sequence[Store]) -> None:
    """Draw the page."""
    st.title("Zoom")
    st.caption("What happened in a spike: which tokens changed, and did the same ones change back?")
    if len(store.steps) < 2:
        st.info("This store has one checkpoint, but a change needs two: score another one.")
        return
    spike = choose_spike(store)
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where")
        k, min_count = _list_options()
    if where is None:
        return
    try:
        zoom = answers.zoom(store, *spike.rise, where, k)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    top = st.container(border=True)
    _tokens(store, zoom, where, k, min_count)
    with top, st.spinner("Writing the story: groups and placebo regions are compared …"):
        story = answers.story(store, spike, where, k)
    with top:
        _story(story)
    _leaderboard(store, story)
    _overlap(store, story, where, k, min_count)
    _other_runs(store, others, spike.rise, where, k)


# ---- the spike: a rise, and the recovery from it


def choose_spike(store: Store) -> Spike:
    """Draw the detected spikes and the steps of both regions; the spike that they make."""
    found = answers.spikes(store)
    now = state.current()
    rise, recovery = answers.suggested_regions(store)
    if found:
        rise, recovery = found[0].rise, found[0].recovery
    if now.region:
        rise, recovery = now.region, None
        recovery = next((s.recovery for s in found if s.rise == now.region), None)
    _offer_spikes(found, (rise, now.second or recovery))
    left, right = st.columns(2)
    with left:
        rise = region.choose(store, "Rise", "region", rise)
    default = recovery or next_region(store.steps, rise[1], store.steps[-1])
    with right:
        if default is None and now.second is None:
            st.caption("The region ends with the run, so there is no recovery to compare with.")
            second = None
        else:
            second = region.choose(store, "Recovery", "second", default or rise)
    same = (s for s in found if (s.rise, s.recovery) == (rise, second))
    return next(same, Spike("region", rise, second, 0.0, np.nan))


def _offer_spikes(found: list[Spike], shown: tuple[Region, Region | None]) -> None:
    """One button for each spike: a click sets both regions."""
    if not found:
        return
    key = "spike"
    at = [n for n, spike in enumerate(found) if (spike.rise, spike.recovery) == shown]
    st.session_state[key] = at[0] if at else None

    def choose() -> None:
        n = st.session_state[key]
        spike = found[n if n is not None else at[0]]
        state.change(region=spike.rise, second=spike.recovery)

    st.pills(
        "Detected spikes of the mean loss: click one to see its story",
        range(len(found)),
        key=key,
        format_func=lambda n: _spike_title(found[n]),
        on_change=choose,
    )


def _spike_title(spike: Spike) -> str:
    """Spike: rises from step 1,380 to 1,640, recovers by 2,300 (+0.20 nats)"""
    text = f"{KINDS[spike.kind]}: rises from step {spike.rise[0]:,} to {spike.rise[1]:,}"
    if spike.recovery:
        text += f", recovers by {spike.recovery[1]:,}"
    return f"{text} ({signed(spike.size)} nats)"


def _list_options() -> tuple[int, int]:
    """How many tokens a list has, and how often a type occurs."""
    how: dict[str, Any] = {"bind": "query-params", "persist_state": "session", "width": 230}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        k = st.number_input("Tokens per list", 1, 1_000, 50, key="k", **how)
        label = "Minimum occurrences of a type"
        min_count = st.number_input(label, 1, 100_000, 20, key="min_count", **how)
    return int(k), int(min_count)


def _story(story: SpikeStory) -> None:
    """The paragraph, and the whole story as a file."""
    title, button = st.columns([3, 1], vertical_alignment="center")
    title.subheader(story.title)
    button.download_button(
        "Save the story",
        lambda: to_html(story.report()).encode(),
        f"{story.title.lower().replace(' ', '-').replace(',', '')}.html",
        "text/html",
        icon=":material/save:",
        key="save_story",
        on_click="ignore",
        help="One HTML page: the paragraph, charts, lists in their text, groups and overlap.",
    )
    st.markdown(group_panel.escaped(story.paragraph))


# ---- the tokens: the histogram's brush filters everything here, without the rest of the page


@st.fragment
def _tokens(store: Store, zoom: Zoom, where: str, k: int, min_count: int) -> None:
    left, right = st.columns(2, gap="medium")
    with left:
        between = _histogram(store, zoom, where)
    shown = store.narrow(zoom, between, k) if between else zoom
    texts = _in_text(store, shown)
    with right:
        steps = _trajectories(store, shown, texts)
    _filtered(shown, zoom, between)
    _occurrences(store, shown, texts, steps)
    _types(store, shown, min_count, k, steps)


def _histogram(store: Store, zoom: Zoom, where: str) -> tuple[float, float] | None:
    """The brushed ends in nats, if any."""
    change = zoom.changes["change"]
    title = f"Change in loss from step {zoom.first:,} to {zoom.last:,}"
    st.markdown(f"##### {title}")
    brushed = figure.show(
        Figure(
            title,
            changes.histogram(zoom.histogram),
            zoom.histogram,
            sql_scripts.histogram(store, (zoom.first, zoom.last), where),
            f"{len(change):,} tokens: {share((change < 0).mean(), 1)} fell, "
            f"{share((change > 0).mean(), 1)} rose. Mean {signed(change.mean(), 3)} nats, median "
            f"{signed(change.median(), 3)}. Drag over the bars to filter the lines, lists and "
            "types; double-click to reset.",
        ),
        "histogram",
        brush="low",
        same=(answers.key(store), zoom.first, zoom.last, where),
        narrow=True,
    )
    return (float(f"{brushed[0]:.4g}"), float(f"{brushed[-1]:.4g}")) if brushed else None


def _filtered(shown: Zoom, zoom: Zoom, between: tuple[float, float] | None) -> None:
    """What is filtered, and the brushed tokens as a group."""
    if between is None:
        return
    low, high = between
    name = f"Changed by {low:+g} to {high:+g}".replace("-", MINUS)
    st.markdown(f"**{name} nats**: {len(shown.changes):,} of {len(zoom.changes):,} tokens")
    _offer(ChangedBetween(zoom.first, zoom.last, low, high), name)


def _in_text(store: Store, zoom: Zoom) -> pd.DataFrame:
    """The tokens of the three lists in their text: `Store.context`, each once."""
    rows = np.unique(np.concatenate([found["row"].unique() for found in zoom.lists.values()]))
    return answers.context(store, tuple(int(row) for row in rows), before=35, after=45)


def _trajectories(store: Store, zoom: Zoom, texts: pd.DataFrame) -> list[int]:
    """The first tokens of each list; the steps that are shown."""
    st.markdown("##### Losses of single tokens")
    span = st.segmented_control(
        "Steps shown",
        [AROUND, WHOLE],
        default=AROUND,
        required=True,
        key="span",
        bind="query-params",
        persist_state="session",
        label_visibility="collapsed",
    )
    frame = pd.concat(
        [_head(zoom.lists[name]).assign(token_list=title) for name, title in LISTS.items()]
    )
    frame = frame.merge(texts.assign(text=token_table.marked(texts))[["row", "text"]], on="row")
    ends, width = (zoom.first, zoom.last), zoom.last - zoom.first
    steps = [s for s in store.steps if zoom.first - width <= s <= zoom.last + width]
    steps = steps if span == AROUND else store.steps
    shown = frame[frame["checkpoint"].isin(steps)]
    wide = span == WHOLE or zoom.last > WIDE * max(zoom.first, 1)
    if frame.empty:
        st.info("No token changed by as much.")
        return steps
    figure.show(
        Figure(
            "Losses of single tokens",
            changes.token_trajectories(shown, ends, SYMLOG if wide else LINEAR),
            frame,
            sql_scripts.token_trajectories(frame["row"].unique()),
            f"The first {DRAWN} tokens of each list below; the region is shaded. Point anywhere: "
            "the nearest line shows its token in its text.",
        ),
        "token_trajectories",
        narrow=True,
    )
    return steps


def _head(trajectories: pd.DataFrame) -> pd.DataFrame:
    return trajectories[trajectories["row"].isin(trajectories["row"].unique()[:DRAWN])]


def _occurrences(store: Store, zoom: Zoom, texts: pd.DataFrame, steps: list[int]) -> None:
    st.subheader("Tokens in their text")
    for tab, (name, title) in zip(st.tabs(list(LISTS.values())), LISTS.items(), strict=True):
        with tab:
            _occurrence_list(store, zoom, texts, steps, name, title)


def _occurrence_list(
    store: Store, zoom: Zoom, texts: pd.DataFrame, steps: list[int], name: str, title: str
) -> None:
    tokens = zoom.lists[name].drop_duplicates("row")[["row", "change"]]
    if tokens.empty:
        st.info("No token of the group changed in this direction.")
        return
    rows = tuple(int(row) for row in tokens["row"])
    shown = tokens.merge(texts, on="row")
    shown["losses"] = token_table.sparklines(store, shown["row"].to_numpy(), steps)
    row = token_table.show(shown, "change", "change (nats)", f"{name}_table")
    if row is not None:
        guesses.show(store, row, (zoom.first, zoom.last))
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


def _types(store: Store, zoom: Zoom, min_count: int, k: int, steps: list[int]) -> None:
    """The token types whose mean fell and rose most."""
    st.subheader("Token types")
    try:
        found = by_type(zoom.changes, min_count)
    except QueryError as error:
        st.info(str(error))
        return
    sides = {
        "Most decreased": found[found["change"] < 0].head(k),
        "Most increased": found[found["change"] > 0].tail(k).iloc[::-1],
    }
    for tab, (title, side) in zip(
        st.tabs([f"{s} types" for s in sides]), sides.items(), strict=True
    ):
        with tab:
            name = f"{title} types, {zoom.first:,} to {zoom.last:,}"
            _type_list(_with_losses(store, zoom, side, steps), name, title)
    st.caption(f"{len(found):,} token types occur at least {min_count:,} times among these tokens.")


def _with_losses(store: Store, zoom: Zoom, side: pd.DataFrame, steps: list[int]) -> pd.DataFrame:
    """With the mean loss of each type's occurrences at the steps shown."""
    own = zoom.changes[zoom.changes["token_id"].isin(side["token_id"])]
    places = pd.Series(np.arange(len(side)), index=side["token_id"])
    of_row = places.reindex(own["token_id"]).to_numpy()
    lines = token_table.mean_sparklines(store, own["row"].to_numpy(), of_row, len(side), steps)
    return side.assign(losses=lines.to_numpy())


def _type_list(side: pd.DataFrame, name: str, key: str) -> None:
    if side.empty:
        st.info("No token type changed in this direction.")
        return
    st.dataframe(
        side.assign(token_str="⟦" + side["token_str"] + "⟧"),
        hide_index=True,
        key=f"{key}_types",
        column_order=[
            "token_str",
            "change",
            "losses",
            "n_tokens",
            "standard_deviation",
            "token_id",
        ],
        column_config={
            "token_id": "token id",
            "token_str": "⟦token⟧",
            "losses": st.column_config.LineChartColumn(f"mean {SPARKLINE}", width=180),
            "n_tokens": "occurrences",
            "change": st.column_config.NumberColumn("mean change (nats)", format="%+.3f"),
            "standard_deviation": st.column_config.NumberColumn(
                "standard deviation", format="%.3f"
            ),
        },
    )
    _offer(TokenTypes(tuple(int(i) for i in side["token_id"])), name)


# ---- which groups changed differently


def _leaderboard(store: Store, story: SpikeStory) -> None:
    """The groups that changed differently in the rise, most significant first."""
    st.subheader("Which groups changed differently?")
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
        rise = story.spike.rise
        found = story.groups if claim == "both" else answers.explain(store, rise, claim=claim).frame
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    if found.empty:
        st.info("No group has enough tokens to be compared.")
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
        "n_tokens": st.column_config.NumberColumn("tokens", format="localized"),
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


# ---- the same tokens in the recovery


def _overlap(store: Store, story: SpikeStory, where: str, k: int, min_count: int) -> None:
    """How many of the most changed tokens of the rise are those of the recovery."""
    st.subheader("Do the same tokens change back?")
    first, second = story.spike.rise, story.spike.recovery
    if second is None:
        st.info("There is no recovery to compare with.")
        return
    unit = st.segmented_control(
        "Compare",
        [OCCURRENCES, TYPES],
        default=OCCURRENCES,
        required=True,
        key="lists_of",
        bind="query-params",
        persist_state="session",
        help="An occurrence is one token in one place in the text. A type is all occurrences "
        "of the same token, ranked by their mean change.",
    )
    shared = story.overlap
    if unit == TYPES:
        try:
            found = answers.overlap(store, first, second, where=where, k=k, min_count=min_count)
            shared = found.frame
        except QueryError as error:
            st.error(str(error), icon=":material/error:")
            return
    _overlap_table(shared, k)
    st.caption(
        f"Lists of {k:,}, from {first[0]:,} to {first[1]:,} and from {second[0]:,} to "
        f"{second[1]:,}. In placebos: the mean of pairs of regions with the same widths and gap "
        "elsewhere in the run, which overlap because some tokens always change more and noise "
        f"moves them back. p: the rank among the placebos. {_placebos(shared)} By chance: what two "
        "random lists would share, which is far too little to compare with."
    )


def _overlap_table(shared: pd.DataFrame, k: int) -> None:
    """The placebos stand next to the count that they are compared with, and are never cut."""
    words = {"decreased": "fell", "increased": "rose"}
    pairs = [
        f"{words[a]}, then {words[b]}"
        for a, b in zip(shared["set_in_first"], shared["set_in_second"], strict=True)
    ]
    number = st.column_config.NumberColumn
    columns: dict[str, Any] = {
        "pair": st.column_config.TextColumn("changed most", width=130),
        "shared": number("shared", width=70),
        "expected_placebo": number("in placebos", format="%.2f", width=95),
        "p_placebo": number("p (placebos)", format="%.2g", width=100),
        "needed": number("needed for p < 0.05", format="%d", width=150),
        "expected": number("by chance", format="%.2f", width=85),
    }
    shown = shared.assign(pair=pairs)
    if (shown["k_first"].min(), shown["k_second"].min()) != (k, k):
        columns |= {
            "k_first": number("n first", width=70),
            "k_second": number("n second", width=80),
        }
    st.dataframe(shown[list(columns)], hide_index=True, column_config=columns, key="overlap_table")


def _placebos(shared: pd.DataFrame) -> str:
    row = shared.iloc[0]
    if row["verdict"]:
        return f"There is no p here: {row['verdict']}."
    n = int(row["n_placebos"])
    return f"With {n} placebos, no p can be below {1 / (n + 1):.2g}."


# ---- the same region in other runs


def _other_runs(store: Store, others: Sequence[Store], rise: Region, where: str, k: int) -> None:
    """How the tokens changed in other runs, and buttons that open these."""
    if not others:
        return
    st.subheader("The same region in other runs")
    chosen = runs.choose(
        store, others, "Compare with runs", "Stores of the same tokens, such as other seeds.", True
    )
    stores = [store, *chosen]
    found = answers.run_changes(stores, *rise, where, k)
    names = runs.distinct_names([str(run.path) for run in [store, *others]])
    if found.lacking:
        lacking = ", ".join(names[path] for path in found.lacking)
        st.info(f"Without the checkpoints {rise[0]:,} and {rise[1]:,}: {lacking}.")
    if len(found.frame) > 1:
        _run_histograms(found, names, rise)
    with st.container(horizontal=True):
        for run in chosen:
            path = str(run.path)
            st.button(
                f"Zoom into {names[path]}",
                icon=":material/open_in_new:",
                key=f"open_{path}",
                on_click=_open,
                args=(path, [str(other.path) for other in [store, *chosen]]),
                help="Opens this run in the place of the present one.",
            )


def _open(path: str, shown: Sequence[str]) -> None:
    """Open another store; the one that was open is among the runs that are compared with it."""
    st.session_state["store"] = path
    state.change(runs=tuple(other for other in shown if other != path))


def _run_histograms(found: RunChanges, names: dict[str, str], rise: Region) -> None:
    title = f"Change from step {rise[0]:,} to {rise[1]:,} in {len(found.frame)} runs"
    chance = found.k**2 / found.n_tokens
    figure.show(
        Figure(
            title,
            changes.histograms(found.histogram.assign(run=found.histogram["run"].map(names))),
            found.histogram,
            "",
            f"Shared: tokens among the {found.k} most changed of this run and of the open one; two "
            f"random lists would share {chance:.2g}. Correlation: of the tokens' changes with "
            "those in the open run. Groups are evaluated in the open run.",
        ),
        "run_changes",
    )
    number = st.column_config.NumberColumn
    st.dataframe(
        found.frame.assign(
            run=found.frame["run"].map(names), share_rose=100 * found.frame["share_rose"]
        ),
        hide_index=True,
        key="run_changes_table",
        column_config={
            "mean_change": number("mean change (nats)", format="%+.3f"),
            "share_rose": number("tokens that rose", format="%.1f%%"),
            "correlation": number("correlation", format="%.2f"),
            "shared_decreased": number("shared, most decreased"),
            "shared_increased": number("shared, most increased"),
        },
    )

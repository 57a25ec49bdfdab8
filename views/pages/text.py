"""The Text page: read a doc token by token, and see how each token was learned.

In the order of the screen: the open doc, what colours its tokens, the text with the selected token
next to it, a search, the largest values.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from queries import QueryError, Store, text
from queries.catalog import sql_scripts
from queries.charts import changes
from queries.report.numbers import MINUS
from queries.text import DocText, Rank
from views import answers, state
from views.components import reader
from views.components.reader import Film, Paint
from views.widgets import figure, group_panel, guesses, region, token_table
from views.widgets.figure import Figure

_OPENED = "opened_token"
"""The session's key of the token whose doc is open."""
LOSS, CHANGE, GROUP = "loss", "change", "group"
NOTE = "95% of the text's tokens are in this range; values beyond it have the colour of its ends"
FOUND = 50
"""Rows of the search's table."""
LARGEST = 8
"""Rows of each list of largest values."""
HERE, EVERYWHERE = "this doc", "the whole text"
FACTS = {
    "position": ("position", "How many tokens the model saw before it in this doc."),
    "token_id": ("token id", "Its number in the tokenizer's vocabulary."),
    "prev_token_str": ("preceding token", "The token before it."),
    "word": ("word", "The word that it belongs to; none for punctuation."),
    "word_part": ("part of its word", "0 is the word's first token."),
    "seen_before": ("seen before", "How often the same token occurred earlier in this doc."),
    "bigram_seen_before": (
        "bigram seen before",
        "How often it and the token before it occurred earlier in this doc.",
    ),
    "trigram_seen_before": (
        "trigram seen before",
        "How often it and the two tokens before it occurred earlier in this doc: how much copying "
        "can help.",
    ),
    "corpus_count": ("in the text", "How often the token occurs in the whole text."),
    "row": ("row", "Its number in the store, the same at every checkpoint."),
}
"""Columns of a token: their label and meaning."""


@dataclass(frozen=True)
class Shade:
    """What colours the tokens: its kind, its steps (one for a loss, two for a change), a group."""

    kind: str
    steps: tuple[int, ...]
    group: str | None = None

    @property
    def what(self) -> str:
        """The value of a token, in words."""
        if len(self.steps) == 1:
            return f"loss at step {self.steps[0]:,}"
        return f"change in loss from step {self.steps[0]:,} to {self.steps[1]:,}"


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Text")
    st.caption("How well each token of a text is predicted, and how that changed in training.")
    number = choose_doc(store)
    shade = choose_shade(store)
    if shade is None:
        return
    doc = answers.doc(store, number)
    try:
        colours = paint(store, shade, doc)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    row = selected()
    if row is not None and row not in doc.tokens["row"].to_numpy():
        select(row := None)  # it is a token of another store
    reading, aside = st.columns([3, 2], gap="medium")
    with reading:
        show_text(store, shade, doc, colours, row)
    with aside:
        if row is None:
            st.info(
                "Select a token to see its whole trajectory here: click it, or move with the arrow "
                "keys and press Enter.",
                icon=":material/ads_click:",
            )
        else:
            show_token(store, shade, doc, row)
    show_search(store)
    show_largest(store, shade, doc)


def _title(shade: Shade, doc: DocText) -> str:
    colours = f"membership in the group {shade.group}" if shade.group else shade.what
    return f"{doc.source}, part {doc.part}: {len(doc.tokens):,} tokens by {colours}"


# ---- the open doc and its selected token, in the session and in the URL


def choose_doc(store: Store) -> int:
    """Draw the widgets that choose a doc; its number."""
    docs = answers.docs(store)
    _follow_link(docs, store)
    sources = docs["source"].drop_duplicates().tolist()
    _keep_within("source", sources)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.selectbox(
            "Source document",
            sources,
            key="source",
            bind="query-params",
            persist_state="session",
            on_change=select,
            args=(None,),
            help="One text of the corpus: the unit that bands treat as sampled. Type to search.",
        )
        parts = docs.loc[docs["source"] == source, "part"].tolist()
        _keep_within("part", parts)
        part = st.selectbox(
            "Part",
            parts,
            key="part",
            bind="query-params",
            persist_state="session",
            on_change=select,
            args=(None,),
            width=110,
            help="A source document longer than the context is cut into parts, numbered from 0. "
            "Each part is one doc: what the model saw at once, with nothing before it.",
        )
        here = docs.index[(docs["source"] == source) & (docs["part"] == part)][0]
        _step(docs, here - 1, "Previous", "chevron_left")
        _step(docs, here + 1, "Next", "chevron_right")
    return int(docs["doc"][here])


def selected() -> int | None:
    """The row of the selected token, which can be in another doc."""
    return state.current().token


def select(row: int | None) -> None:
    """Select a token of the open doc; None for no token."""
    st.session_state[_OPENED] = row
    state.change(token=row)


def open_at(doc: int, row: int | None, docs: pd.DataFrame) -> None:
    """Open a doc and select one of its tokens; call it before the widgets are drawn."""
    found = docs[docs["doc"] == doc].iloc[0]
    st.session_state["source"], st.session_state["part"] = found["source"], int(found["part"])
    select(row)


def _keep_within(key: str, options: list[str] | list[int]) -> None:
    """Reset a choice that another store or source document has and this one has not."""
    if st.session_state.get(key, options[0]) not in options:
        st.session_state[key] = options[0]


def _step(docs: pd.DataFrame, at: int, label: str, icon: str) -> None:
    there = 0 <= at < len(docs)
    doc = int(docs["doc"][at]) if there else 0
    st.button(
        label,
        icon=f":material/{icon}:",
        key=f"{label}_doc",
        disabled=not there,
        on_click=open_at,
        args=(doc, None, docs),
    )


def _follow_link(docs: pd.DataFrame, store: Store) -> None:
    """A token that another page, a link or the history selected opens its doc."""
    row = selected()
    if row is not None and row != st.session_state.get(_OPENED):
        open_at(answers.doc_of_token(store, row), row, docs)


# ---- colours


def choose_shade(store: Store) -> Shade | None:
    """Draw the widgets; None and a message if a choice is invalid."""
    how, which = st.columns([2, 5], vertical_alignment="bottom")
    kind = how.segmented_control(
        "Colour by",
        [LOSS, CHANGE, GROUP],
        default=CHANGE,
        required=True,
        key="colour",
        bind="query-params",
        persist_state="session",
        help="Loss: how badly a token was predicted at a step. Change: how its loss changed "
        "between two steps. Group: whether it belongs to a group of tokens.",
    )
    if kind == LOSS:
        step = which.selectbox(
            "Step",
            store.steps,
            len(store.steps) - 1,
            key="step",
            bind="query-params",
            persist_state="session",
        )
        return Shade(LOSS, (int(step),))
    rise, _ = answers.suggested_regions(store)
    with which:
        steps = region.choose(store, "Change", "region", rise)
    if kind == CHANGE:
        return Shade(CHANGE, steps)
    group = group_panel.one(store, "Group", "focus")
    return None if group is None else Shade(GROUP, steps, group)


def paint(store: Store, shade: Shade, doc: DocText) -> Paint:
    """The colours of a doc. Raises QueryError."""
    values, reach = answers.doc_values(store, shade.steps)
    rows = doc.tokens["row"].to_numpy()
    members = np.zeros(len(rows), dtype=bool)
    if shade.group is not None:
        members = np.isin(rows, answers.members(store, shade.group))
    legend, note = _legend(store, shade, reach, members)
    ((color, _),) = state.looks(group_panel.chosen("focus"))
    return Paint(shade.kind, values[rows], members, reach, legend, note, shade.steps, color)


def show_text(store: Store, shade: Shade, doc: DocText, colours: Paint, row: int | None) -> None:
    """The doc in colour, with a slider of all checkpoints and links to its source's other parts."""
    docs = answers.docs(store)
    parts = docs[docs["source"] == doc.source].set_index("part")["doc"]
    near = {"before": (doc.part - 1, "continued from"), "after": (doc.part + 1, "continues in")}
    neighbours = {
        end: (int(parts[part]), f"{words} part {part}")
        for end, (part, words) in near.items()
        if part in parts
    }
    since = shade.steps[0] if len(shade.steps) == 2 else None
    film = Film(store.steps, answers.losses(store, doc.doc), since)
    reader.show(
        doc,
        colours,
        _title(shade, doc),
        row,
        select,
        film,
        neighbours,
        lambda to: open_at(to, None, docs),
    )


def _legend(store: Store, shade: Shade, reach: float, members: np.ndarray) -> tuple[list[str], str]:
    if shade.kind == GROUP:
        title = group_panel.chosen("focus").title(store)
        return [f"in the group {title}"], f"{members.sum():,} of the doc's {len(members):,} tokens"
    if shade.kind == LOSS:
        return ["loss 0", f"{reach:.2f} nats"], NOTE
    return [f"fell by {reach:.2f} nats", f"rose by {reach:.2f} nats"], NOTE


# ---- the selected token


def show_token(store: Store, shade: Shade, doc: DocText, row: int) -> None:
    """The token's value and its rank, its loss over the whole run, and its facts."""
    facts = answers.token(store, row)
    token = str(facts["token_str"])
    quoted = visible(token).replace("`", "'")
    st.markdown(f"##### The token `{quoted}`")
    st.markdown(_value(store, shade, doc, row))
    guesses.show(store, row, shade.steps)
    _trajectory(store, shade, row, token)
    st.markdown(
        " · ".join(
            f"{label} `{_as_text(facts[column]).replace('`', chr(39))}`"
            for column, (label, _) in FACTS.items()
        ),
        help="  \n".join(f"**{label}**: {meaning}" for label, meaning in FACTS.values()),
    )


def visible(token: str) -> str:
    """A token in quotes, with signs for its line breaks, tabs, and spaces if it has only these."""
    shown = token.replace("\n", "↵").replace("\t", "⇥")
    return f"“{shown.replace(' ', '␣') if not shown.strip() else shown}”"


def _value(store: Store, shade: Shade, doc: DocText, row: int) -> str:
    values, _ = answers.doc_values(store, shade.steps)
    in_doc = text.rank(values, row, doc.tokens["row"].to_numpy())
    in_all = text.rank(values, row)
    value = f"{values[row]:.3f}" if len(shade.steps) == 1 else f"{values[row]:+.3f}"
    head = f"{shade.what.capitalize()}: **{value.replace('-', MINUS)} nats**"
    here = f"{_rank(shade, in_doc)} of this doc's {in_doc.of:,} tokens"
    return f"{head}, the {here} and the {_rank(shade, in_all)} of all {in_all.of:,}"


def _rank(shade: Shade, rank: Rank) -> str:
    sides = {-1: "largest fall", 0: "change (zero)", 1: "largest rise"}
    what = "highest" if len(shade.steps) == 1 else sides[rank.sign]
    nth = "" if rank.rank == 1 else f"{_ordinal(rank.rank)} "
    return f"{nth}{what}"


def _ordinal(n: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{'th' if n % 100 in (11, 12, 13) else ending}"


def _as_text(value: Any) -> str:
    if pd.isna(value):
        return "none"
    return visible(value) if isinstance(value, str) else f"{value:,}"


def _trajectory(store: Store, shade: Shade, row: int, token: str) -> None:
    frame = text.trajectory(store, row)
    at = frame[frame["checkpoint"].isin(shade.steps)]
    losses = ", ".join(
        f"{loss:.3f} nats at step {step:,}"
        for step, loss in zip(at["checkpoint"], at["loss"], strict=True)
    )
    figure.show(
        Figure(
            f"Loss of {visible(token)}, row {row}",
            changes.one_token(frame, shade.steps),
            frame,
            sql_scripts.token_trajectories([row]),
            f"The token's loss: {losses}.",
        ),
        "token",
        narrow=True,
    )


# ---- search, and the largest values


def show_search(store: Store) -> None:
    """A search of the whole text; a selected row is opened."""
    wanted = st.text_input(
        "Find a word or phrase in the whole text",
        key="find",
        bind="query-params",
        persist_state="session",
        type="search",
        placeholder="such as Congress, or the beginning of a word",
    )
    if not wanted.strip():
        return
    rows = answers.find(store, wanted)
    if not len(rows):
        st.info("Nothing in the text begins with this at the start of a token.")
        return
    values = store.matrix.column(store.steps[-1])
    first = tuple(int(row) for row in rows[:FOUND])
    shown = answers.context(store, first, before=25, after=45)
    shown = shown.assign(value=values[shown["row"]])
    more = f"; the first {FOUND} are shown" if len(rows) > FOUND else ""
    st.caption(f"{len(rows):,} places{more}. Select a row to go to its token.")
    _table(store, shown, "loss at the end (nats)", "%.2f", f"found_{wanted}")


def show_largest(store: Store, shade: Shade, doc: DocText) -> None:
    """Lists of the largest values of the doc or of the whole text; a selected row is opened."""
    st.subheader("Highest losses" if len(shade.steps) == 1 else "Largest changes")
    where = st.segmented_control(
        "Scope",
        [HERE, EVERYWHERE],
        default=HERE,
        required=True,
        key="largest_of",
        bind="query-params",
        persist_state="session",
    )
    in_doc = doc.doc if where == HERE else None
    low, high = answers.largest(store, shade.steps, LARGEST, in_doc)
    st.caption(f"Ranked by {shade.what}. Select a row to go to its token.")
    if len(shade.steps) == 1:
        _table(store, high, "loss (nats)", "%.2f", f"highest_{in_doc}_{shade.steps}")
        return
    for side, name in ((low, "Fell most"), (high, "Rose most")):
        st.markdown(f"**{name}**")
        _table(store, side, "change (nats)", "%+.2f", f"{name}_{in_doc}_{shade.steps}")


def _table(store: Store, side: pd.DataFrame, label: str, format: str, key: str) -> None:
    if side.empty:
        st.info("No token changed in this direction.")
        return
    docs = answers.docs(store)

    def go() -> None:
        for at in st.session_state[key]["selection"]["rows"]:
            open_at(int(side["doc"].iloc[at]), int(side["row"].iloc[at]), docs)

    rows = side["row"].to_numpy()
    side = side.assign(losses=token_table.sparklines(store, rows, store.steps).to_numpy())
    token_table.show(side, "value", label, key, format, on_select=go)

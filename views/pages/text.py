"""The Text page: read a doc token by token, see how each was learned."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from queries import QueryError, Store, charts
from queries import text as reading
from queries.catalog import sql_scripts
from queries.text import Place, Reading
from views import answers
from views.widgets import figure, group_panel, reader, region
from views.widgets.figure import Figure
from views.widgets.reader import Paint

# Which doc is open and which of its tokens is selected: in the session and in the URL.

TOKEN = "token"


def choose_doc(store: Store) -> int:
    """Draw what chooses a doc; its number."""
    docs = answers.docs(store, answers.key(store))
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
            help="Type to search.",
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
            help="A source document longer than a context window is scored in parts: the first "
            "is 0. A part is a doc of its own, and the model saw nothing before it.",
        )
        here = docs.index[(docs["source"] == source) & (docs["part"] == part)][0]
        _step(docs, here - 1, "Previous", "chevron_left")
        _step(docs, here + 1, "Next", "chevron_right")
    return int(docs["doc"][here])


def selected() -> int | None:
    """The row of the selected token; it may be of another doc."""
    row: int | None = st.session_state.get("selected_token")
    return row


def select(row: int | None) -> None:
    """Of the doc that is open; None for no token."""
    st.session_state["selected_token"] = row
    if row is None:
        st.query_params.pop(TOKEN, None)
    else:
        st.query_params[TOKEN] = str(row)


def open_at(doc: int, row: int | None, docs: pd.DataFrame) -> None:
    """Open a doc, with one of its tokens selected; to be called before the widgets are drawn."""
    line = docs[docs["doc"] == doc].iloc[0]
    st.session_state["source"], st.session_state["part"] = line["source"], int(line["part"])
    select(row)


def _keep_within(key: str, options: list[Any]) -> None:
    """What was chosen in another store or source document may not be there in this one."""
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
    """A token that the URL names opens its doc; a selected one is kept in the URL."""
    named = st.query_params.get(TOKEN, "")
    short = named.isdecimal() and len(named) < 19  # longer ones are no row of any store
    row = int(named) if short and int(named) < store.manifest.n_tokens else None
    if row is not None and row != selected():
        open_at(answers.token(store, answers.key(store), row)["doc"], row, docs)
    elif named and row is None:
        st.query_params.pop(TOKEN)
    elif not named and selected() is not None:
        select(selected())


# What the tokens of the Text page are coloured by: loss at a step, change, or membership.

LOSS, CHANGE, GROUP = "loss", "change", "group"
NOTE = "95 % of the text's tokens are within; stronger ones have the last colour"


@dataclass(frozen=True)
class Shade:
    """The kind, the steps that it looks at (one for a loss, two for a change), and a group."""

    kind: str
    steps: tuple[int, ...]
    group: str | None = None

    @property
    def what(self) -> str:
        """The number that belongs to a token, in words."""
        if len(self.steps) == 1:
            return f"loss at step {self.steps[0]:,}"
        return f"change in loss from step {self.steps[0]:,} to {self.steps[1]:,}"


def choose_shade(store: Store) -> Shade | None:
    """Draw the choices; None, and a sentence, where they make no sense."""
    kind = st.segmented_control(
        "Colour by",
        [LOSS, CHANGE, GROUP],
        default=CHANGE,
        required=True,
        key="colour",
        bind="query-params",
        persist_state="session",
        help="Loss: how badly a token was predicted at a step. Change: how its loss moved between "
        "two steps. Group: whether it belongs to a group of tokens.",
    )
    if kind == LOSS:
        step = st.selectbox(
            "Step",
            store.steps,
            len(store.steps) - 1,
            key="step",
            bind="query-params",
            persist_state="session",
        )
        return Shade(LOSS, (int(step),))
    rise, _ = answers.suggested_regions(store, answers.key(store))
    steps = region.choose(store, "Change", "", rise)
    if kind == CHANGE:
        return Shade(CHANGE, steps)
    group = group_panel.one(store, "Group", "member", "copyable")
    return None if group is None else Shade(GROUP, steps, group)


def paint(store: Store, shade: Shade, found: Reading) -> Paint:
    """The colours of a doc. Raises QueryError."""
    values, reach = answers.values(store, answers.key(store), shade.steps)
    rows = found.tokens["row"].to_numpy()
    members = np.zeros(len(rows), dtype=bool)
    if shade.group is not None:
        members = np.isin(rows, answers.members(store, answers.key(store), shade.group))
    legend, note = _legend(shade, reach, members)
    return Paint(shade.kind, values[rows], members, reach, legend, note)


def _legend(shade: Shade, reach: float, members: np.ndarray) -> tuple[list[str], str]:
    if shade.kind == GROUP:
        return ["in the group"], f"{members.sum():,} of the doc's {len(members):,} tokens"
    if shade.kind == LOSS:
        return ["loss 0", f"{reach:.2f} nats"], NOTE
    return [f"fell by {reach:.2f} nats", f"rose by {reach:.2f} nats"], NOTE


# The largest values of the doc and of the whole text; a chosen line opens that token.

K = 8
HERE, EVERYWHERE = "this doc", "the whole text"


def show_largest(store: Store, shade: Shade, found: Reading) -> None:
    """Draw the lists."""
    st.subheader("Highest losses" if len(shade.steps) == 1 else "Largest changes")
    where = st.segmented_control(
        "Of",
        [HERE, EVERYWHERE],
        default=HERE,
        required=True,
        key="largest_of",
        bind="query-params",
        persist_state="session",
    )
    in_doc = found.doc if where == HERE else None
    low, high = answers.largest(store, answers.key(store), shade.steps, K, in_doc)
    st.caption(f"By {shade.what}. Tick a line to go to its token.")
    if len(shade.steps) == 1:
        _table(store, high, "loss (nats)", f"highest_{in_doc}_{shade.steps}")
        return
    for side, name in ((low, "Fell most"), (high, "Rose most")):
        st.markdown(f"**{name}**")
        _table(store, side, "change (nats)", f"{name}_{in_doc}_{shade.steps}")


def _table(store: Store, side: pd.DataFrame, value: str, key: str) -> None:
    if side.empty:
        st.info("No token changed in this direction.")
        return
    every = answers.docs(store, answers.key(store))

    def go() -> None:
        for at in st.session_state[key]["selection"]["rows"]:
            open_at(int(side["doc"].iloc[at]), int(side["row"].iloc[at]), every)

    st.dataframe(
        charts.in_context(side.rename(columns={"value": "change"})),
        hide_index=True,
        on_select=go,
        selection_mode="single-row",
        key=key,
        height="content",
        column_config={
            "row": None,
            "source": None if side["doc"].nunique() == 1 else "source",
            "change": st.column_config.NumberColumn(
                value, format="%.2f" if value.startswith("loss") else "%+.2f"
            ),
            "text": st.column_config.TextColumn("text, the ⟦token⟧ marked", width="large"),
        },
    )


# What is known of one token: its facts, and its loss over the whole run.

_FACTS = (
    ("position", "position", "How many tokens the model saw before it in this doc."),
    ("token id", "token_id", "Its number in the tokenizer's vocabulary."),
    ("after", "prev_token_str", "The token before it."),
    ("word", "word", "The word that it is of; none for punctuation."),
    ("part of its word", "word_part", "0 is the word's first token."),
    ("seen before", "seen_before", "How many times the same token stood in this doc before."),
    (
        "pair seen",
        "bigram_seen_before",
        "How many times it and the one before stood in this doc before.",
    ),
    (
        "three seen",
        "trigram_seen_before",
        "How many times it and the two before stood in this doc before: what copying can help.",
    ),
    ("in the text", "corpus_count", "How many times the token stands in the whole text."),
    ("row", "row", "Its number in the store, the same in every checkpoint."),
)
_SIDES = {-1: "largest fall", 0: "change, which is none,", 1: "largest rise"}


def show_token(store: Store, shade: Shade, found: Reading, row: int) -> None:
    """Facts above the chart."""
    facts = answers.token(store, answers.key(store), row)
    text = str(facts["token_str"])
    quoted = visible(text).replace("`", "'")
    st.subheader(f"The token `{quoted}`")
    st.markdown(_value(store, shade, found, row))
    with st.container(horizontal=True, gap="medium"):
        for name, column, meaning in _FACTS:
            value = _told(facts[column]).replace("`", "'")
            st.markdown(f":gray[{name}]  \n`{value}`", help=meaning, width="content")
    _trajectory(store, shade, row, text)


def visible(token: str) -> str:
    """A token in quotes, its blanks and line ends seen."""
    shown = token.replace("\n", "↵").replace("\t", "⇥")
    return f"“{shown.replace(' ', '␣') if not shown.strip() else shown}”"


def _value(store: Store, shade: Shade, found: Reading, row: int) -> str:
    values, _ = answers.values(store, answers.key(store), shade.steps)
    in_doc = reading.place(values, row, found.tokens["row"].to_numpy())
    in_all = reading.place(values, row)
    value = f"{values[row]:.3f}" if len(shade.steps) == 1 else f"{values[row]:+.3f}"
    head = f"{shade.what.capitalize()}: **{value.replace('-', '−')} nats**"
    here = f"{_rank(shade, in_doc)} of this doc's {in_doc.of:,} tokens"
    return f"{head}, the {here} and the {_rank(shade, in_all)} of all {in_all.of:,}"


def _rank(shade: Shade, place: Place) -> str:
    what = "highest" if len(shade.steps) == 1 else _SIDES[place.sign]
    nth = "" if place.rank == 1 else f"{_ordinal(place.rank)} "
    return f"{nth}{what}"


def _ordinal(n: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n:,}{'th' if n % 100 in (11, 12, 13) else ending}"


def _told(value: object) -> str:
    if pd.isna(value):
        return "none"
    return visible(value) if isinstance(value, str) else f"{value:,}"


def _trajectory(store: Store, shade: Shade, row: int, text: str) -> None:
    frame = reading.trajectory(store, row)
    at = frame[frame["checkpoint"].isin(shade.steps)]
    told = ", ".join(
        f"{loss:.3f} nats at step {step:,}"
        for step, loss in zip(at["checkpoint"], at["loss"], strict=True)
    )
    figure.show(
        Figure(
            f"Loss of {visible(text)}, row {row}",
            charts.one_token(frame, shade.steps),
            frame,
            sql_scripts.token_trajectories_sql([row]),
            f"The token's loss: {told}.",
        ),
        "token",
    )


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Text")
    st.caption("How well each token of a text is predicted, and how that changed in training.")
    doc = choose_doc(store)
    shown = choose_shade(store)
    if shown is None:
        return
    found = answers.doc(store, answers.key(store), doc)
    try:
        painted = paint(store, shown, found)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    colours = f"membership of the group {shown.group}" if shown.group else shown.what
    title = f"{found.source}, part {found.part}: {len(found.tokens):,} tokens by {colours}"
    row = selected()
    if row is not None and row not in found.tokens["row"].to_numpy():
        select(row := None)  # it is of another store
    reader.show(found, painted, title, row, select)
    if row is None:
        st.caption(
            "Choose a token to see its whole trajectory: click it, or move with the arrow "
            "keys and press Enter."
        )
    else:
        show_token(store, shown, found, row)
    show_largest(store, shown, found)

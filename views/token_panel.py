"""What is known of one token: its facts, and its loss over the whole run."""

import pandas as pd
import streamlit as st

from queries import Store, behind, reading
from queries.reading import Place, Reading
from views import answers, charts, figure, text_answers
from views.figure import Figure
from views.shade import Shade

_FACTS = (
    ("position", "position", "How many tokens the model saw before it in this doc."),
    ("token id", "token_id", "Its number in the tokenizer's vocabulary."),
    ("after", "prev_token_str", "The token before it."),
    ("word", "word", "The word that it is of; none for punctuation."),
    ("part of its word", "word_part", "0 is the word's first token."),
    ("seen before", "seen_before", "How many times the same token stood in this doc before."),
    ("pair seen", "bigram_seen_before",
     "How many times it and the one before stood in this doc before."),
    ("three seen", "trigram_seen_before",
     "How many times it and the two before stood in this doc before: what copying can help."),
    ("in the text", "corpus_count", "How many times the token stands in the whole text."),
    ("row", "row", "Its number in the store, the same in every checkpoint."),
)  # fmt: skip
_SIDES = {-1: "largest fall", 0: "change, which is none,", 1: "largest rise"}


def show(store: Store, shade: Shade, found: Reading, row: int) -> None:
    """Facts above the chart."""
    facts = text_answers.token(store, answers.key(store), row)
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
    values, _ = text_answers.values(store, answers.key(store), shade.steps)
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
    told = ", ".join(f"{loss:.3f} nats at step {step:,}" for step, loss in
                     zip(at["checkpoint"], at["loss"], strict=True))  # fmt: skip
    figure.show(
        Figure(f"Loss of {visible(text)}, row {row}", charts.one_token(frame, shade.steps), frame,
               behind.token_trajectories_sql([row]), f"The token's loss: {told}."),
        "token",
    )  # fmt: skip

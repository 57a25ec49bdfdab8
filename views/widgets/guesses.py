"""What the model guessed in the place of one token, before and after."""

from collections.abc import Hashable, Sequence
from typing import Any

import streamlit as st

from queries import Store
from views import answers


def show(store: Store, row: int, steps: Sequence[int]) -> None:
    """One line for each of the steps; nothing if the store has no predictions."""
    if len(store.measures) == 1:
        return
    found = answers.predicted(store, row, tuple(steps)).to_dict("records")
    guessed = {guess["checkpoint"]: guess for guess in found}
    lines = [_line(step, guessed.get(step)) for step in steps]
    st.markdown("\n".join(["**The model's first guess**", *lines]))


def _line(step: int, guess: dict[Hashable, Any] | None) -> str:
    if guess is None:
        return f"- Step {step:,}: no predictions"
    top = _quoted(guess["top_str"])
    first = f"- Step {step:,}: {top} with a probability of {percent(guess['top_probability'])}"
    if guess["rank"] == 0:
        return f"{first}, which is the token"
    types = "type" if guess["rank"] == 1 else "types"
    return (
        f"{first}; the token has {percent(guess['probability'])}, and {guess['rank']:,} token "
        f"{types} had more"
    )


def percent(share: float) -> str:
    """`43.9%`, or `0.0012%` for a small share."""
    return f"{share:.1%}" if share >= 0.001 else f"{100 * share:.1g}%"


def _quoted(text: object) -> str:
    if not isinstance(text, str):
        return "a type without a text"
    shown = text.replace("\n", "↵").replace("\t", "⇥").replace("`", "'")
    return f"`“{shown}”`"

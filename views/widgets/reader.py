"""The reader: a component that shows a doc's tokens in colour and tells which one was picked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from queries.text import Reading

_HTML = """
<div class="reader">
  <div class="legend"></div>
  <div class="text" role="listbox" aria-orientation="horizontal"></div>
  <div class="tip" role="tooltip" hidden></div>
</div>
"""


def _beside(ending: str) -> str:
    return Path(__file__).with_suffix(ending).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "token_trails_reader", html=_HTML, css=_beside(".css"), js=_beside(".js")
)


@dataclass(frozen=True)
class Paint:
    """What colours the tokens of a doc, and how the legend reads."""

    kind: str
    """loss, change or group."""
    values: np.ndarray
    """In nats, one per token of the doc."""
    members: np.ndarray
    """bool, one per token of the doc; of kind group."""
    reach: float
    """Where the colours end, in nats."""
    legend: Sequence[str]
    note: str


def show(
    found: Reading, paint: Paint, title: str, selected: int | None, pick: Callable[[int], None]
) -> None:
    """Draw the doc; `pick` is called with the row of a token that is chosen."""
    pieces = found.tokens
    tokens = [
        [row, before, token, value, member]
        for row, before, token, value, member in zip(
            pieces["row"].tolist(),
            pieces["before"],
            pieces["token"],
            paint.values.round(3).tolist(),
            paint.members.tolist(),
            strict=True,
        )
    ]

    def picked() -> None:
        row = st.session_state["reader"].picked
        if row is not None:
            pick(int(row))

    _COMPONENT(
        key="reader",
        data={
            "key": f"{found.doc}",
            "title": title,
            "kind": paint.kind,
            "tokens": tokens,
            "after": found.after,
            "reach": paint.reach,
            "legend": list(paint.legend),
            "note": paint.note,
            "selected": selected,
        },
        on_picked_change=picked,
    )

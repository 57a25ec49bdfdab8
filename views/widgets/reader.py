"""The reader: a component that shows a doc's tokens in colour and reports the selected one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import streamlit as st

from queries.text import DocText

_HTML = """
<div class="reader">
  <div class="legend"></div>
  <div class="text" role="listbox" aria-orientation="horizontal"></div>
  <div class="tip" role="tooltip" hidden></div>
</div>
"""


def _asset(ending: str) -> str:
    return Path(__file__).with_suffix(ending).read_text(encoding="utf-8")


_COMPONENT = st.components.v2.component(
    "token_trails_reader", html=_HTML, css=_asset(".css"), js=_asset(".js")
)


@dataclass(frozen=True)
class Paint:
    """The colours of a doc's tokens, and the legend."""

    kind: str
    """loss, change or group."""
    values: np.ndarray
    """In nats, one per token of the doc."""
    members: np.ndarray
    """bool, one per token of the doc; for the kind "group"."""
    reach: float
    """The value at which the colours saturate, in nats."""
    legend: Sequence[str]
    note: str


def show(
    doc: DocText, paint: Paint, title: str, selected: int | None, select: Callable[[int], None]
) -> None:
    """Draw the doc; `select` is called with the row of the token that the user selects."""
    pieces = doc.tokens
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

    def on_selected() -> None:
        row = st.session_state["reader"].token
        if row is not None:
            select(int(row))

    _COMPONENT(
        key="reader",
        data={
            "key": f"{doc.doc}",
            "title": title,
            "kind": paint.kind,
            "tokens": tokens,
            "after": doc.after,
            "reach": paint.reach,
            "legend": list(paint.legend),
            "note": paint.note,
            "selected": selected,
        },
        on_token_change=on_selected,
    )

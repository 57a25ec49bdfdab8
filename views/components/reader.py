"""The reader: a component that shows a doc's tokens in colour and reports the selected one."""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from queries.text import DocText
from views.components import component

_HTML = """
<div class="reader">
  <div class="legend"></div>
  <div class="player" hidden>
    <button type="button" class="play" aria-label="Play through training">▶</button>
    <input type="range" class="step" min="0" step="1" aria-label="Training step">
    <output class="at"></output>
    <button type="button" class="back" hidden>Back to the chosen steps</button>
  </div>
  <div class="pane">
    <button type="button" class="neighbour before" hidden></button>
    <div class="text" role="listbox" aria-orientation="horizontal"></div>
    <button type="button" class="neighbour after" hidden></button>
  </div>
  <div class="tip" role="tooltip" hidden></div>
</div>
"""


_COMPONENT = component(__file__, _HTML)


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
    steps: Sequence[int]
    """One for a loss, two for a change."""
    color: str
    """Of the members of the group, as #rrggbb."""


@dataclass(frozen=True)
class Film:
    """A doc's losses at every checkpoint, sent to the browser once so that it can play them."""

    steps: Sequence[int]
    losses: np.ndarray
    """Nats, float32 (tokens, steps)."""
    since: int | None
    """The step whose losses are subtracted; None to show the losses themselves."""

    def data(self) -> dict[str, object]:
        """Sixteen bits a loss, step by step: a thousandth of a nat is exact enough for colours."""
        top = float(self.losses.max()) or 1.0
        levels = np.round(self.losses.T / top * 65_535).astype("<u2")
        return {
            "steps": list(self.steps),
            "top": top,
            "losses": base64.b64encode(levels.tobytes()).decode(),
            "since": self.since,
        }


def show(
    doc: DocText,
    paint: Paint,
    title: str,
    selected: int | None,
    select: Callable[[int], None],
    film: Film | None = None,
    neighbours: Mapping[str, tuple[int, str]] | None = None,
    go: Callable[[int], None] | None = None,
) -> None:
    """Draw the doc; `select` is called with the row of the token that the user selects.

    With a film there is a slider of training steps. `neighbours` are the docs "before" and "after"
    this one in its source document, with a label: `go` is called with the doc that was clicked.
    """
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

    def on_go() -> None:
        to = st.session_state["reader"].go
        if to is not None and go:
            go(int(to))

    _COMPONENT(
        key="reader",
        data={
            "key": f"{doc.doc}",
            "title": title,
            "kind": paint.kind,
            "color": paint.color,
            "tokens": tokens,
            "after": doc.after,
            "reach": paint.reach,
            "steps": list(paint.steps),
            "legend": list(paint.legend),
            "note": paint.note,
            "selected": selected,
            "film": film.data() if film else None,
            "neighbours": {end: [*facts] for end, facts in (neighbours or {}).items()},
        },
        on_token_change=on_selected,
        on_go_change=on_go,
    )

"""The rail: a component with one line for each group, which reports what the user does to it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import streamlit as st

from views.components import component

_COMPONENT = component(__file__, '<div class="rail" role="list" aria-label="Groups"></div>')


@dataclass(frozen=True)
class Row:
    """One line of the rail."""

    number: int
    """Of the group (`SelectedGroup.number`)."""
    title: str
    tip: str
    """What the pointer shows."""
    color: str
    dash: bool
    size: str
    note: str
    """What to be careful about; empty for nothing."""
    muted: bool
    baseline: bool


def show(rows: Sequence[Row], act: Callable[[int, str, str], None]) -> None:
    """Draw the rail; `act` is called with a group's number, what to do, and the new colour.

    What to do: change, baseline, mute, isolate, remove or colour.
    """

    def on_action() -> None:
        action: dict[str, Any] | None = st.session_state["rail"].action
        if action:
            act(int(action["number"]), str(action["does"]), str(action["value"]))

    _COMPONENT(key="rail", data={"rows": [asdict(row) for row in rows]}, on_action_change=on_action)

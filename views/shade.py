"""What the tokens of the Text page are coloured by: loss at a step, change, or membership."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from queries import Store
from queries.reading import Reading
from views import answers, group_panel, region, text_answers
from views.reader import Paint

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


def choose(store: Store) -> Shade | None:
    """Draw the choices; None, and a sentence, where they make no sense."""
    kind = st.segmented_control(
        "Colour by", [LOSS, CHANGE, GROUP], default=CHANGE, required=True, key="colour",
        bind="query-params", persist_state="session",
        help="Loss: how badly a token was predicted at a step. Change: how its loss moved between "
        "two steps. Group: whether it belongs to a group of tokens.",
    )  # fmt: skip
    if kind == LOSS:
        step = st.selectbox("Step", store.steps, len(store.steps) - 1, key="step",
                            bind="query-params", persist_state="session")  # fmt: skip
        return Shade(LOSS, (int(step),))
    rise, _ = answers.suggested_regions(store, answers.key(store))
    steps = region.choose(store, "Change", "", rise)
    if kind == CHANGE:
        return Shade(CHANGE, steps)
    group = group_panel.one(store, "Group", "member", "copyable")
    return None if group is None else Shade(GROUP, steps, group)


def paint(store: Store, shade: Shade, found: Reading) -> Paint:
    """The colours of a doc. Raises QueryError."""
    values, reach = text_answers.values(store, answers.key(store), shade.steps)
    rows = found.tokens["row"].to_numpy()
    members = np.zeros(len(rows), dtype=bool)
    if shade.group is not None:
        members = np.isin(rows, text_answers.members(store, answers.key(store), shade.group))
    legend, note = _legend(shade, reach, members)
    return Paint(shade.kind, values[rows], members, reach, legend, note)


def _legend(shade: Shade, reach: float, members: np.ndarray) -> tuple[list[str], str]:
    if shade.kind == GROUP:
        return ["in the group"], f"{members.sum():,} of the doc's {len(members):,} tokens"
    if shade.kind == LOSS:
        return ["loss 0", f"{reach:.2f} nats"], NOTE
    return [f"fell by {reach:.2f} nats", f"rose by {reach:.2f} nats"], NOTE

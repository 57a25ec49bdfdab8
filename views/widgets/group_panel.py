"""The groups of a page: one line each, with its colour, what it counts, and ways to change it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.charts import look
from views import answers, selected_groups
from views.selected_groups import Chosen
from views.widgets import group_dialog

FEW_DOCS = 10


@dataclass(frozen=True)
class Line:
    """A group that can be drawn: unique title, clause, colour, dashes, its trajectory."""

    title: str
    clause: str
    color: str
    dash: list[int]
    frame: pd.DataFrame


def panel(
    store: Store, parameter: str, defaults: Sequence[str], smooth: float | None
) -> list[Line]:
    """Draw the lines and what adds to them; returns the groups that are whole."""
    groups = selected_groups.groups(parameter, defaults)
    drawn: list[Line] = []
    with st.container(border=True, gap="xsmall"):
        for place in range(len(groups)):
            made = _line(store, parameter, groups, place, smooth)
            if made:
                drawn.append(_unlike(made, drawn))
        if not groups:
            st.info("No group yet: add one to see how its tokens were learned.")
        if st.button("Add group", icon=":material/add:", key=f"{parameter}_add"):
            group_dialog.show(store, parameter, None)
    return drawn


def one(store: Store, label: str, parameter: str, default: str) -> str | None:
    """One group, with a button to change it; its clause, or None, and a sentence, if it is none."""
    if not selected_groups.groups(parameter, [default]):  # a link that names none
        selected_groups.keep(parameter, [Chosen(default)])
    group = selected_groups.groups(parameter, [default])[0]
    text, button = st.columns([9, 2], vertical_alignment="center")
    if button.button(
        "Change",
        icon=":material/edit:",
        key=f"{parameter}_change",
        help=f"{label}: choose another group",
    ):
        group_dialog.show(store, parameter, 0)
    try:
        found = answers.preview(store, answers.key(store), group.clause)
    except QueryError as error:
        text.error(str(error), icon=":material/error:")
        return None
    facts = _facts(group.clause, found.n_tokens, found.n_docs)
    text.markdown(f"{label}: **{_plain(group.title(store))}**  \n{facts}")
    return group.clause


def _line(
    store: Store, parameter: str, groups: list[Chosen], place: int, smooth: float | None
) -> Line | None:
    """One group's line; None, and a sentence, where the group is none."""
    group = groups[place]
    key = f"{parameter}_{group.number}"
    color, dash = look(place)
    swatch, text, buttons = st.columns([0.5, 7.5, 3.4], vertical_alignment="center")
    picked = swatch.color_picker(
        "Colour", group.color or color, key=f"{key}_{color}", label_visibility="collapsed"
    )
    if picked != (group.color or color):
        groups[place] = replace(group, color=picked)
        selected_groups.keep(parameter, groups)
    with buttons.container(horizontal=True, horizontal_alignment="right", gap="small"):
        _buttons(store, parameter, groups, place, key)
    try:
        frame = answers.trajectory(store, answers.key(store), group.clause, smooth)
    except QueryError as error:
        text.markdown(f"**{_plain(group.title(store))}**")
        text.error(str(error), icon=":material/error:")
        return None
    title = group.title(store)
    facts = _facts(group.clause, int(frame["n_tokens"].iloc[0]), int(frame["n_docs"].iloc[0]))
    text.markdown(f"**{_plain(title)}**{_role(place, groups)}  \n{facts}")
    return Line(title, group.clause, picked, dash, frame)


def _buttons(store: Store, parameter: str, groups: list[Chosen], place: int, key: str) -> None:
    if place and st.button("Make baseline", key=f"{key}_first", type="tertiary"):
        groups.insert(0, groups.pop(place))
        selected_groups.keep(parameter, groups)
        st.rerun()
    if st.button(
        "Change", key=f"{key}_edit", type="tertiary", help="Change the group, or look at its tokens"
    ):
        group_dialog.show(store, parameter, place)
    if st.button("Remove", key=f"{key}_remove", type="tertiary"):
        groups.pop(place)
        selected_groups.keep(parameter, groups)
        st.rerun()


def _role(place: int, groups: list[Chosen]) -> str:
    return "  :gray-badge[baseline]" if place == 0 and len(groups) > 1 else ""


def _facts(group: str, n_tokens: int, n_docs: int) -> str:
    docs = f"{n_docs:,} source document{'' if n_docs == 1 else 's'}"
    counts = f":gray[{n_tokens:,} tokens in {docs}]"
    if n_docs < 2:
        counts += " · :orange[one document alone gives no band]"
    elif n_docs < FEW_DOCS:
        counts += " · :orange[so few documents make the band itself uncertain]"
    clause = selected_groups.shortened(group, 110).replace("`", "'")
    return f"`{clause}` · {counts}"


def _unlike(line: Line, others: list[Line]) -> Line:
    """Its title with a number where another group has it, as charts tell groups by their titles."""
    titles = [other.title for other in others]
    title, n = line.title, 2
    while title in titles:
        title, n = f"{line.title} ({n})", n + 1
    return replace(line, title=title)


def _plain(text: str) -> str:
    """A title as it is, not as Markdown."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#+-.!|$~:<>" else c for c in text)

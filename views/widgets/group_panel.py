"""The groups of a page: one row each, with its colour, its size, and buttons that change it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.charts.curves import as_group
from queries.charts.theme import look
from queries.stats.bands import cannot_tell
from views import answers, selected_groups
from views.selected_groups import SelectedGroup
from views.widgets import group_dialog

FEW_DOCS = 10
"""Effective source documents below which a band is wide."""


@dataclass(frozen=True)
class GroupCurve:
    """A group as it is drawn; `title` is unique on its page."""

    title: str
    clause: str
    color: str
    dash: list[int]
    frame: pd.DataFrame
    """Its trajectory, as `Store.trajectory`."""

    def styled(self, frame: pd.DataFrame) -> pd.DataFrame:
        """`frame` with the group's title, colour and dashes."""
        return as_group(frame, self.title, self.color, self.dash)


def panel(
    store: Store, parameter: str, defaults: Sequence[str], smooth: float | None
) -> list[GroupCurve]:
    """Draw the rows and a button that adds a group; returns the valid groups."""
    groups = selected_groups.groups(parameter, defaults)
    curves: list[GroupCurve] = []
    with st.container(border=True, gap="xsmall"):
        for place in range(len(groups)):
            curve = _row(store, parameter, groups, place, smooth)
            if curve:
                curves.append(_with_unique_title(curve, curves))
        if not groups:
            st.info("No group yet: add one to see how its tokens were learned.")
        if st.button("Add group", icon=":material/add:", key=f"{parameter}_add"):
            group_dialog.show(store, parameter, None)
    return curves


def one(store: Store, label: str, parameter: str, default: str) -> str | None:
    """One group and a button that changes it; its clause, None and a message if it is invalid."""
    if not selected_groups.groups(parameter, [default]):  # a link without a group
        selected_groups.keep(parameter, [SelectedGroup(default)])
    group = selected_groups.groups(parameter, [default])[0]
    text, button = st.columns([9, 2], vertical_alignment="center")
    if button.button(
        "Change",
        icon=":material/edit:",
        key=f"{parameter}_change",
        help=f"{label}: select another group",
    ):
        group_dialog.show(store, parameter, 0)
    try:
        preview = answers.preview(store, group.clause)
    except QueryError as error:
        text.error(str(error), icon=":material/error:")
        return None
    facts = _facts(group.clause, preview.n_tokens, preview.n_docs, preview.n_docs_effective)
    text.markdown(f"{label}: **{_escaped(group.title(store))}**  \n{facts}")
    return group.clause


def _row(
    store: Store, parameter: str, groups: list[SelectedGroup], place: int, smooth: float | None
) -> GroupCurve | None:
    """One group's row; None and a message if the group is invalid."""
    group = groups[place]
    color, dash = look(place)
    swatch, text, buttons = st.columns([0.8, 6.5, 4.2], vertical_alignment="center")
    key = f"{parameter}_{group.number}"
    selected = swatch.color_picker(
        "Colour", group.color or color, key=f"{key}_{color}", label_visibility="collapsed"
    )
    if selected != (group.color or color):
        groups[place] = replace(group, color=selected)
        selected_groups.keep(parameter, groups)
    with buttons.container(horizontal=True, horizontal_alignment="right", gap="small"):
        _buttons(store, parameter, groups, place)
    title = group.title(store)
    try:
        frame = answers.trajectory(store, group.clause, smooth)
    except QueryError as error:
        text.markdown(f"**{_escaped(title)}**")
        text.error(str(error), icon=":material/error:")
        return None
    n_tokens, n_docs = int(frame["n_tokens"].iloc[0]), int(frame["n_docs"].iloc[0])
    facts = _facts(group.clause, n_tokens, n_docs, float(frame["n_docs_effective"].iloc[0]))
    text.markdown(f"**{_escaped(title)}**{_badge(place, groups)}  \n{facts}")
    return GroupCurve(title, group.clause, selected, dash, frame)


def _buttons(store: Store, parameter: str, groups: list[SelectedGroup], place: int) -> None:
    key = f"{parameter}_{groups[place].number}"
    if place and st.button("Make baseline", key=f"{key}_first", type="tertiary"):
        groups.insert(0, groups.pop(place))
        selected_groups.keep(parameter, groups)
        st.rerun()
    if st.button(
        "Change", key=f"{key}_edit", type="tertiary", help="Change the group, or see its tokens"
    ):
        group_dialog.show(store, parameter, place)
    if st.button("Remove", key=f"{key}_remove", type="tertiary"):
        groups.pop(place)
        selected_groups.keep(parameter, groups)
        st.rerun()


def _badge(place: int, groups: list[SelectedGroup]) -> str:
    return "  :gray-badge[baseline]" if place == 0 and len(groups) > 1 else ""


def _facts(group: str, n_tokens: int, n_docs: int, effective: float) -> str:
    docs = f"{n_docs:,} source document{'' if n_docs == 1 else 's'}"
    counts = f":gray[{n_tokens:,} tokens in {docs}]"
    if verdict := cannot_tell(effective):
        counts += f" · :orange[no band, {verdict}]"
    elif effective < FEW_DOCS:
        counts += f" · :orange[only {effective:.1f} effective source documents: a wide band]"
    clause = selected_groups.shortened(group, 110).replace("`", "'")
    return f"`{clause}` · {counts}"


def _with_unique_title(curve: GroupCurve, others: list[GroupCurve]) -> GroupCurve:
    """With a number after a title that another group has: charts identify groups by titles."""
    titles = [other.title for other in others]
    title, n = curve.title, 2
    while title in titles:
        title, n = f"{curve.title} ({n})", n + 1
    return replace(curve, title=title)


def _escaped(text: str) -> str:
    """A title without effect as Markdown."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#+-.!|$~:<>" else c for c in text)

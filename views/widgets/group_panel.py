"""The groups of a page: one row each, with its colour, its size, and buttons that change it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.charts.curves import as_group
from queries.stats.bands import cannot_tell
from views import answers, selected_groups, state
from views.selected_groups import SelectedGroup
from views.state import State
from views.widgets import group_dialog

OneSlot = Literal["where", "focus", "baseline"]
"""A field of the state that is one group."""
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


def panel(store: Store, smooth: float | None) -> list[GroupCurve]:
    """Draw the rows and a button that adds a group; returns the valid groups that are not muted."""
    groups = state.current().groups
    curves: list[GroupCurve] = []
    with st.container(border=True, gap="xsmall"):
        for place in range(len(groups)):
            curve = _row(store, groups, place, smooth)
            if curve and not groups[place].muted:
                curves.append(_with_unique_title(curve, curves))
        if not groups:
            st.info("No group yet: add one to see how its tokens were learned.")
        if st.button("Add group", icon=":material/add:", key="add_group"):
            group_dialog.show(store, "groups")
    return curves


def one(store: Store, label: str, slot: OneSlot) -> str | None:
    """One group of the state and how to change it; its clause, or None and a message.

    The select box offers the chosen groups of all pages, and for `where` all tokens.
    """
    now = state.current()
    group = {"where": now.where, "focus": now.focused, "baseline": _baseline(now)}[slot]
    options = {g.url(): g for g in _options(now, slot, group)}
    selected = next(url for url, g in options.items() if g.key == group.key)
    key = f"{slot}_choice"
    st.session_state[key] = selected
    choice, button, facts = st.columns([5, 1.6, 6], vertical_alignment="bottom")
    choice.selectbox(
        label,
        list(options),
        key=key,
        format_func=lambda url: options[url].title(store),
        on_change=lambda: _choose(slot, options[st.session_state[key]]),
    )
    if button.button("Change", key=f"{slot}_change", help=f"{label}: select another group"):
        if slot == "baseline":
            group_dialog.show(store, "groups", 0 if now.groups else None)
        else:
            group_dialog.show(store, slot)
    try:
        preview = answers.preview(store, group.clause)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return None
    counts = (preview.n_tokens, preview.n_docs, preview.n_docs_effective)
    facts.markdown(_facts(group.clause, *counts))
    return group.clause


def _baseline(now: State) -> SelectedGroup:
    return now.baseline or SelectedGroup(state.DEFAULT_GROUPS[0])


def _options(now: State, slot: OneSlot, group: SelectedGroup) -> list[SelectedGroup]:
    """The groups to choose from, each once: `group`, the chosen ones, and all tokens."""
    found = [SelectedGroup(state.ALL_TOKENS)] if slot == "where" else []
    found += [*now.groups, group]
    return list({g.key: g for g in reversed(found)}.values())[::-1]


def _choose(slot: OneSlot, group: SelectedGroup) -> None:
    if slot == "baseline":
        others = tuple(g for g in state.current().groups if g.key != group.key)
        state.change(groups=(group, *others))
    else:
        state.change(**{slot: replace(group, look=None)})


def _row(
    store: Store, groups: tuple[SelectedGroup, ...], place: int, smooth: float | None
) -> GroupCurve | None:
    """One group's row; None and a message if the group is invalid."""
    group = groups[place]
    swatch, text, buttons = st.columns([0.8, 6.5, 4.2], vertical_alignment="center")
    key = f"group_{group.number}"
    selected = swatch.color_picker(
        "Colour", group.shown_color, key=f"{key}_colour", label_visibility="collapsed"
    )
    if selected != group.shown_color:
        group = replace(group, color=selected)
        state.change(groups=(*groups[:place], group, *groups[place + 1 :]))
    with buttons.container(horizontal=True, horizontal_alignment="right", gap="small"):
        _buttons(store, groups, place)
    title = group.title(store)
    try:
        frame = answers.trajectory(store, group.clause, smooth)
    except QueryError as error:
        text.markdown(f"**{escaped(title)}**")
        text.error(str(error), icon=":material/error:")
        return None
    n_tokens, n_docs = int(frame["n_tokens"].iloc[0]), int(frame["n_docs"].iloc[0])
    facts = _facts(group.clause, n_tokens, n_docs, float(frame["n_docs_effective"].iloc[0]))
    text.markdown(f"**{escaped(title)}**{_badge(place, groups)}  \n{facts}")
    return GroupCurve(title, group.clause, group.shown_color, group.dash, frame)


def _buttons(store: Store, groups: tuple[SelectedGroup, ...], place: int) -> None:
    key = f"group_{groups[place].number}"
    others = (*groups[:place], *groups[place + 1 :])
    if place and st.button("Make baseline", key=f"{key}_first", type="tertiary"):
        state.change(groups=(groups[place], *others))
        st.rerun()
    if st.button(
        "Change", key=f"{key}_edit", type="tertiary", help="Change the group, or see its tokens"
    ):
        group_dialog.show(store, "groups", place)
    if st.button("Remove", key=f"{key}_remove", type="tertiary"):
        state.change(groups=others)
        st.rerun()


def _badge(place: int, groups: Sequence[SelectedGroup]) -> str:
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


def escaped(text: str) -> str:
    """A title without effect as Markdown."""
    return "".join(f"\\{c}" if c in r"\`*_{}[]()#+-.!|$~:<>" else c for c in text)

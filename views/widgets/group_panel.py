"""The groups of a page: the rail of all chosen groups, and the select box of a single one."""

from dataclasses import dataclass, replace
from typing import Literal

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.charts.curves import FEWEST_DOCS, as_group
from queries.engine.measures import MeasureName
from queries.stats.bands import cannot_tell
from views import answers, selected_groups, state
from views.components import rail
from views.components.rail import Row
from views.selected_groups import SelectedGroup
from views.state import State
from views.widgets import group_dialog

_TO_CHANGE = "group_to_change"
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


def panel(store: Store, smooth: float | None, measure: MeasureName = "loss") -> list[GroupCurve]:
    """Draw the rail and a button that adds a group; the valid groups that are not muted."""
    groups = state.current().groups
    rows: list[Row] = []
    curves: list[GroupCurve] = []
    errors: list[str] = []
    for place, group in enumerate(groups):
        try:
            frame = answers.trajectory(store, group.clause, smooth, measure)
        except QueryError as error:
            rows.append(_row(store, group, place, None, str(error)))
            errors.append(f"{escaped(group.title(store))}: {escaped(str(error))}")
            continue
        rows.append(_row(store, group, place, frame))
        if not group.muted:
            curve = GroupCurve(
                group.title(store), group.clause, group.shown_color, group.dash, frame
            )
            curves.append(_with_unique_title(curve, curves))
    rail.show(rows, _act)
    for message in errors:
        st.error(message, icon=":material/error:")
    if not groups:
        st.info("No group yet: add one to see how its tokens were learned.")
    if st.button("Add group", icon=":material/add:", key="add_group"):
        group_dialog.show(store, "groups")
    changed = st.session_state.pop(_TO_CHANGE, None)
    for place, group in enumerate(groups):
        if group.number == changed:
            group_dialog.show(store, "groups", place)
    return curves


def _row(
    store: Store, group: SelectedGroup, place: int, frame: pd.DataFrame | None, error: str = ""
) -> Row:
    tip, size, note = group.clause, "", error
    if frame is not None:
        n_docs, effective = int(frame["n_docs"].iloc[0]), float(frame["n_docs_effective"].iloc[0])
        size = f"{int(frame['n_tokens'].iloc[0]):,}"
        docs = f"{n_docs:,} source document{'' if n_docs == 1 else 's'}"
        tip = f"{selected_groups.shortened(group.clause, 400)}\n{size} tokens in {docs}"
        note = _doubt(effective)
    return Row(
        group.number,
        group.title(store),
        tip,
        group.shown_color,
        group.dash != [1, 0],
        size,
        note,
        group.muted,
        place == 0 and len(state.current().groups) > 1,
    )


def _doubt(effective: float) -> str:
    """What the number of effective source documents means for the band."""
    if verdict := cannot_tell(effective):
        return f"no band, {verdict}"
    if effective < FEWEST_DOCS:
        return (
            f"{effective:.1f} effective source documents: its band is not drawn, at least "
            f"{FEWEST_DOCS} are needed"
        )
    if effective < FEW_DOCS:
        return f"only {effective:.1f} effective source documents: a wide band"
    return ""


def _act(number: int, does: str, value: str) -> None:
    """What the user did in the rail to the group with this number."""
    groups = state.current().groups
    group = next((g for g in groups if g.number == number), None)
    if group is None:  # it was removed in the meantime
        return
    others = tuple(g for g in groups if g.number != number)
    if does == "change":
        st.session_state[_TO_CHANGE] = number
    elif does == "baseline":
        state.change(groups=(replace(group, muted=False), *others))
    elif does == "remove":
        state.change(groups=others)
    elif does == "isolate":
        alone = not group.muted and all(g.muted for g in others)
        state.change(
            groups=tuple(replace(g, muted=not alone and g.number != number) for g in groups)
        )
    else:
        changed = replace(group, muted=not group.muted)
        if does == "colour":
            changed = replace(group, color=value)
        state.change(groups=tuple(changed if g.number == number else g for g in groups))


def one(store: Store, label: str, slot: OneSlot) -> str | None:
    """One group of the state and how to change it; its clause, or None and a message.

    The select box offers the chosen groups of all pages, and for `where` all tokens.
    """
    now = state.current()
    group = chosen(slot)
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


def chosen(slot: OneSlot) -> SelectedGroup:
    """The group that `one` shows."""
    now = state.current()
    if slot == "baseline":
        return now.baseline or SelectedGroup(state.DEFAULT_GROUPS[0])
    return now.where if slot == "where" else now.focused


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


def _facts(group: str, n_tokens: int, n_docs: int, effective: float) -> str:
    docs = f"{n_docs:,} source document{'' if n_docs == 1 else 's'}"
    counts = f":gray[{n_tokens:,} tokens in {docs}]"
    if doubt := _doubt(effective):
        counts += f" · :orange[{doubt}]"
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

"""Add or change a group: a named one, a built one, or SQL; a preview is shown before it is used."""

from dataclasses import replace
from typing import Literal

import streamlit as st

from queries import GroupError, QueryError, Store
from queries.groups.templates import to_json
from queries.text import Preview
from views import answers, state
from views.selected_groups import SelectedGroup
from views.widgets import builder, token_table

NAMED, BUILD, WRITE = "Named group", "Build", "Write SQL"
EXAMPLE = "word in ('Washington', 'Lincoln')"
_COUNT = "dialog_count"
Slot = Literal["groups", "where", "focus"]
"""The field of the state that the dialog changes."""


def show(store: Store, slot: Slot, place: int | None = None) -> None:
    """Open the dialog on a field of the state; of `groups`, on the one at `place` or a new one."""
    now = state.current()
    group = {"where": now.where, "focus": now.focused, "groups": SelectedGroup()}[slot]
    if place is not None:
        group = now.groups[place]
    st.session_state[_COUNT] = st.session_state.get(_COUNT, 0) + 1  # fresh widgets each time
    builder.start(store, group.built)
    adds = slot == "groups" and place is None
    title = "Add a group of tokens" if adds else "Change the group"
    st.dialog(title, width="large")(_dialog)(store, slot, place, group)


def _dialog(store: Store, slot: Slot, place: int | None, group: SelectedGroup) -> None:
    key = f"dialog_{st.session_state[_COUNT]}"
    ways = [NAMED, BUILD, WRITE]
    way = st.segmented_control(
        "How",
        ways,
        default=_way(store, group),
        required=True,
        key=f"{key}_way",
        label_visibility="collapsed",
    )
    made = {NAMED: _named, BUILD: _built, WRITE: _written}[str(way)](store, group, key)
    found = _preview(store, made) if made else None
    name = st.text_input(
        "Display name (optional)",
        group.name,
        key=f"{key}_name",
        placeholder=made.title(store) if made and found else "",
    )
    label = "Add" if slot == "groups" and place is None else "Use"
    if st.button(label, type="primary", disabled=found is None, key=f"{key}_use") and made:
        _use(slot, place, replace(made, name=name.strip(), color=group.color, look=group.look))
    if made and found and way != NAMED:
        _offer_to_save(store, made, key)


def _way(store: Store, group: SelectedGroup) -> str:
    if group.built:
        return BUILD
    return NAMED if not group.text or group.text.strip() in store.named_groups else WRITE


def _named(store: Store, group: SelectedGroup, key: str) -> SelectedGroup | None:
    groups = store.named_groups
    names = list(groups)
    at = names.index(group.text) if group.text in names else 0
    name = st.selectbox(
        "Named group", names, at, key=f"{key}_named", format_func=lambda n: groups[n].title
    )
    st.code(groups[name].clause, language="sql", wrap_lines=True)
    st.session_state[f"{key}_sql"] = groups[name].clause  # where “Write SQL” starts
    if groups[name].description:
        st.caption(groups[name].description)
    if name in store.groups.own:
        _offer_to_change(store, name, key)
    return SelectedGroup(name)


def _built(store: Store, group: SelectedGroup, key: str) -> SelectedGroup | None:
    template = builder.build(store)
    if template is None:
        return None
    st.caption(template.sentence())
    st.code(template.sql(), language="sql", wrap_lines=True)
    st.session_state[f"{key}_sql"] = template.sql()  # where “Write SQL” starts
    return SelectedGroup(built=to_json(template))


def _written(store: Store, group: SelectedGroup, key: str) -> SelectedGroup | None:
    st.session_state.setdefault(f"{key}_sql", group.text or EXAMPLE)
    text = st.text_area(
        "A condition in SQL",
        key=f"{key}_sql",
        height=110,
        help="One boolean expression over the columns of `tokens`, such as is_word_start and "
        "position < 100. Ctrl+Enter shows a preview.",
    )
    with st.expander("Columns and functions"):
        st.caption("Columns: " + ", ".join(f"`{c}`" for c in answers.token_columns(store)))
        st.caption(
            "Functions: DuckDB's and "
            + ", ".join(f"`{f}`" for f in store.functions)
            + " (`loss_at(row, step)` is a token's loss at a checkpoint)."
        )
    return SelectedGroup(text)


def _preview(store: Store, group: SelectedGroup) -> Preview | None:
    """The group's size and some of its tokens; None and a message if it is invalid."""
    try:
        found = answers.preview(store, group.clause)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return None
    docs = f"{found.n_docs:,} source document{'' if found.n_docs == 1 else 's'}"
    st.markdown(f"**{found.n_tokens:,}** tokens in **{docs}**, such as:")
    st.dataframe(
        token_table.in_text(found.sample).drop(columns="row"),
        hide_index=True,
        column_config={"text": st.column_config.TextColumn(token_table.TEXT, width="large")},
    )
    return found


def _use(slot: Slot, place: int | None, group: SelectedGroup) -> None:
    groups = list(state.current().groups)
    if slot == "where":
        state.change(where=replace(group, look=None))
    elif slot == "focus":
        group = replace(group, look=None)
        known = group.key in [other.key for other in groups]
        state.change(focus=group, groups=tuple(groups if known else [*groups, group]))
    else:
        place = len(groups) if place is None else place
        state.change(groups=(*groups[:place], group, *groups[place + 1 :]))
    st.rerun()


def _offer_to_save(store: Store, group: SelectedGroup, key: str) -> None:
    with st.expander("Save as a named group of this store"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = st.text_input("Name in SQL", key=f"{key}_keep", placeholder="my_group")
            title = st.text_input("Title", key=f"{key}_title", placeholder="My group")
            if not st.button("Save", key=f"{key}_save", disabled=not name.strip()):
                return
        try:
            store.groups.save(name.strip(), group.clause, title)
        except (GroupError, OSError) as error:
            st.error(str(error), icon=":material/error:")
        else:
            st.success(f"Saved as the named group {name.strip()}.")


def _offer_to_change(store: Store, name: str, key: str) -> None:
    with st.expander("Rename or delete"):
        with st.container(horizontal=True, vertical_alignment="bottom"):
            new = st.text_input("New name", name, key=f"{key}_{name}_new")
            renamed = st.button("Rename", key=f"{key}_{name}_rename", disabled=new == name)
            deleted = st.button("Delete", key=f"{key}_{name}_delete")
        try:
            if renamed:
                store.groups.rename(name, new.strip())
            elif deleted:
                store.groups.delete(name)
        except (GroupError, OSError) as error:
            st.error(str(error), icon=":material/error:")
        else:
            if renamed or deleted:
                st.rerun(scope="fragment")

"""The group builder: conditions chosen with the mouse, joined by and, or and not."""

from typing import Any

import streamlit as st

from queries import GroupError, Store
from queries.templates import And, Not, Or, Template, Written, from_json
from queries.templates.data import to_data
from views import conditions
from views.fitting import fits

ALL, ANY = "all of them", "any of them"
_KEPT = "builder_conditions"


def start(store: Store, built: str) -> None:
    """Begin with the group of such JSON, or with one condition where there is none."""
    template = from_json(built) if built else None
    whole = template if isinstance(template, And | Or) else None
    parts = whole.of if whole else [template] if template else []
    st.session_state[_KEPT] = [_as_row(store, n, part) for n, part in enumerate(parts)] or [_row(0)]
    st.session_state["builder_joined"] = ANY if isinstance(whole, Or) else ALL


def build(store: Store) -> Template | None:
    """The conditions' widgets; the group that they make, or None, with a sentence."""
    rows: list[dict[str, Any]] = st.session_state[_KEPT]
    made = [_condition(store, row, alone=len(rows) == 1) for row in rows]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button("Add condition", icon=":material/add:", type="tertiary"):
            rows.append(_row(max(row["n"] for row in rows) + 1))
            st.rerun(scope="fragment")
        if len(rows) > 1:
            st.segmented_control("A token must meet", [ALL, ANY], required=True,
                                 key="builder_joined")  # fmt: skip
    parts = tuple(part for part in made if part is not None)
    if len(parts) < len(rows):
        return None
    if len(parts) == 1:
        return parts[0]
    return Or(parts) if st.session_state["builder_joined"] == ANY else And(parts)


def _condition(store: Store, row: dict[str, Any], alone: bool) -> Template | None:
    key = f"builder_{row['n']}"
    with st.container(border=True):
        kind, negated, fields, remove = st.columns([3, 1.1, 6, 0.6], vertical_alignment="bottom")
        titles = list(conditions.KINDS)
        chosen = kind.selectbox(
            "Condition", titles, index=titles.index(row["title"]), key=f"{key}_kind",
            label_visibility="collapsed",
        )  # fmt: skip
        opposite = negated.checkbox("not", value=row["negated"], key=f"{key}_not")
        if not alone and remove.button("", icon=":material/close:", key=f"{key}_remove",
                                       type="tertiary", help="Remove this condition"):  # fmt: skip
            st.session_state[_KEPT].remove(row)
            st.rerun(scope="fragment")
        values = row["values"] if chosen == row["title"] else {}
        try:
            with fields:
                made = conditions.KINDS[chosen](store, values, f"{key}_{chosen}")
        except GroupError as error:
            st.caption(f":red[{error}]")
            return None
    return Not(made) if opposite else made


def _row(n: int) -> dict[str, Any]:
    first = next(iter(conditions.KINDS))
    return {"n": n, "title": first, "negated": False, "values": {}}


def _as_row(store: Store, n: int, part: Template) -> dict[str, Any]:
    """A template as the widgets' start; what they cannot show as it is, is shown as SQL."""
    negated = isinstance(part, Not)
    inner = part.of if isinstance(part, Not) else part
    data = to_data(inner)
    title = conditions.title(data) if fits(store, data) else None
    if title is None:
        title, data = conditions.SQL, to_data(Written(inner.sql()))
    return {"n": n, "title": title, "negated": negated, "values": data}

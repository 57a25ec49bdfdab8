"""The group builder: conditions set with widgets, combined with and, or and not.

First the widgets of each kind of condition, then the list of conditions.
"""

from collections.abc import Callable
from typing import Any

import streamlit as st

from queries import GroupError, Store
from queries.groups.templates import (
    And,
    Changed,
    Docs,
    Frequency,
    Not,
    Or,
    Pattern,
    Position,
    PositionRange,
    Previous,
    SeenBefore,
    Sources,
    Template,
    WordPart,
    Words,
    WordStart,
    Written,
    from_json,
)
from queries.groups.templates.data import to_data
from views import answers

Values = dict[str, Any]
Condition = Callable[[Store, Values, str], Template]
"""Draws the widgets of a condition: their initial values, and the prefix of their keys."""
SQL = "SQL"
_SEEN = {
    "token": "the token",
    "bigram": "the token and the one before",
    "trigram": "the token and the two before",
}
_TEXTS = {"token_str": "token, with its leading space", "word": "word"}
_HOW = {"fell": "fell", "rose": "rose", "moved": "fell or rose"}


def _number(label: str, key: str, value: int, least: int = 0) -> int:
    return int(st.number_input(label, min_value=least, value=value, step=1, key=key))


def _maybe(label: str, key: str, value: int | None) -> int | None:
    found = st.number_input(
        label, min_value=0, value=value, step=1, key=key, placeholder="no limit"
    )
    return None if found is None else int(found)


def _position(store: Store, values: Values, key: str) -> Template:
    return Position(_number("position in the doc", key, values.get("position", 500)))


def _range(store: Store, values: Values, key: str) -> Template:
    with st.container(horizontal=True):
        first = _number("from", f"{key}_first", values.get("first", 1))
        longest = store.manifest.context_length
        return PositionRange(first, _number("to", f"{key}_last", values.get("last", longest)))


def _word_start(store: Store, values: Values, key: str) -> Template:
    st.caption("first token of its word")
    return WordStart()


def _words(store: Store, values: Values, key: str) -> Template:
    text = st.text_input(
        "words, separated by commas",
        ", ".join(values.get("words", ())),
        key=key,
        placeholder="Washington, Lincoln",
    )
    return Words(tuple(word.strip() for word in text.split(",") if word.strip()))


def _pattern(store: Store, values: Values, key: str) -> Template:
    with st.container(horizontal=True):
        column = st.selectbox(
            "matches the",
            list(_TEXTS),
            key=f"{key}_column",
            index=list(_TEXTS).index(values.get("column", "token_str")),
            format_func=lambda name: _TEXTS[name],
            width=230,
        )
        pattern = st.text_input(
            "regular expression (matches anywhere)",
            values.get("pattern", "^ [A-Z]"),
            key=f"{key}_pattern",
        )
    return Pattern(pattern, column)


def _frequency(store: Store, values: Values, key: str) -> Template:
    with st.container(horizontal=True):
        least = _number("occurrences in the text, at least", f"{key}_least", values.get("least", 1))
        return Frequency(least, _maybe("at most", f"{key}_most", values.get("most")))


def _seen(store: Store, values: Values, key: str) -> Template:
    with st.container(horizontal=True):
        what = st.selectbox(
            "seen before in the doc",
            list(_SEEN),
            key=f"{key}_what",
            index=list(_SEEN).index(values.get("what", "token")),
            format_func=lambda name: _SEEN[name],
        )
        return SeenBefore(what, _number("times, at least", f"{key}_n", values.get("least", 1)))


def _sources(store: Store, values: Values, key: str) -> Template:
    names = answers.sources(store)
    selected = [name for name in values.get("sources", ()) if name in names]
    return Sources(tuple(st.multiselect("source documents", names, selected, key=key)))


def _docs(store: Store, values: Values, key: str) -> Template:
    numbers = list(range(store.manifest.n_docs))
    selected = [doc for doc in values.get("docs", ()) if doc in numbers]
    return Docs(
        tuple(st.multiselect("docs (windows that the model saw)", numbers, selected, key=key))
    )


def _previous(store: Store, values: Values, key: str) -> Template:
    text = st.text_input(
        "preceding tokens, each in double quotes",
        _quoted(values.get("tokens", (" the",))),
        key=key,
        help='With the leading space, as in " the"; separate several by commas.',
    )
    return Previous(tuple(text.split('"')[1::2]))


def _word_part(store: Store, values: Values, key: str) -> Template:
    with st.container(horizontal=True):
        first = _number(
            "part of its word, from (0 is the first part)", f"{key}_first", values.get("first", 1)
        )
        return WordPart(first, _maybe("to", f"{key}_last", values.get("last")))


def _changed(store: Store, values: Values, key: str) -> Template:
    steps = store.steps
    (rise, _) = answers.suggested_regions(store)
    ends = [_near(steps, values.get(n, d)) for n, d in zip(("first", "last"), rise, strict=True)]
    with st.container(horizontal=True):
        how = st.selectbox(
            "the loss",
            list(_HOW),
            key=f"{key}_how",
            width=120,
            index=list(_HOW).index(values.get("how", "rose")),
            format_func=lambda name: _HOW[name],
        )
        least = st.number_input(
            "by more than (nats)",
            min_value=0.0,
            step=0.5,
            key=f"{key}_least",
            value=float(values.get("least", 1.0)),
            width=130,
        )
        first = st.selectbox("from step", steps, ends[0], key=f"{key}_first", width=110)
        last = st.selectbox("to step", steps, ends[1], key=f"{key}_last", width=110)
    return Changed(int(first), int(last), float(least), how)


def _named(store: Store, values: Values, key: str) -> Template:
    groups = store.named_groups
    name = st.selectbox("named group", list(groups), key=key, format_func=lambda n: groups[n].title)
    return Written(groups[name].clause)


def _function(store: Store, values: Values, key: str) -> Template:
    names = [name for name in store.functions if name != "loss_at"]
    columns = answers.token_columns(store)
    with st.container(horizontal=True):
        name = st.selectbox("Python function", names, key=f"{key}_name")
        column = st.selectbox("of", columns, columns.index("token_str"), key=f"{key}_column")
    return Written(f"{name}({column})")


def _sql(store: Store, values: Values, key: str) -> Template:
    return Written(
        st.text_area("SQL condition", values.get("condition", "is_word_start"), key=key, height=70)
    )


KINDS: dict[str, Condition] = {
    "Position": _position,
    "Positions from … to": _range,
    "Start of a word": _word_start,
    "Words": _words,
    "Regular expression": _pattern,
    "Frequency in the text": _frequency,
    "Seen before": _seen,
    "Source document": _sources,
    "Doc": _docs,
    "Preceding token": _previous,
    "Part of a word": _word_part,
    "Loss changed": _changed,
    "Named group": _named,
    "Python function": _function,
    SQL: _sql,
}
_TITLES = {
    "position": "Position",
    "position_range": "Positions from … to",
    "words": "Words",
    "word_start": "Start of a word",
    "pattern": "Regular expression",
    "docs": "Doc",
    "frequency": "Frequency in the text",
    "seen_before": "Seen before",
    "sources": "Source document",
    "previous": "Preceding token",
    "word_part": "Part of a word",
    "changed": "Loss changed",
    "written": SQL,
}


def title(data: Values) -> str | None:
    """The title in KINDS of a template, given as data; None for one that combines others."""
    return _TITLES.get(data["kind"])


def _near(steps: list[int], wanted: int) -> int:
    """The index of the checkpoint that is nearest to a step."""
    return min(range(len(steps)), key=lambda at: abs(steps[at] - wanted))


def _quoted(texts: tuple[str, ...]) -> str:
    return ", ".join(f'"{text}"' for text in texts)


LARGEST = 2**53 - 1
"""The largest integer of a browser."""


def fits(store: Store, data: dict[str, Any]) -> bool:
    """Whether the widgets for a template, given as data, would return the same template."""
    if any(isinstance(v, int) and v > LARGEST for v in data.values()):
        return False
    match data["kind"]:
        case "words":
            return all("," not in word and word == word.strip() for word in data["words"])
        case "previous":
            return all('"' not in token for token in data["tokens"])
        case "changed":
            return {data["first"], data["last"]} <= set(store.steps)
        case "docs":
            return bool(max(data["docs"]) < store.manifest.n_docs)
        case "sources":
            return set(data["sources"]) <= set(store.sources)
        case _:
            return True


ALL, ANY = "all of these", "any of these"
_CONDITIONS = "builder_conditions"


def start(store: Store, built: str) -> None:
    """Begin with the group of this JSON, or with one default condition if it is empty."""
    template = from_json(built) if built else None
    whole = template if isinstance(template, And | Or) else None
    parts = whole.of if whole else [template] if template else []
    st.session_state[_CONDITIONS] = [_as_row(store, n, part) for n, part in enumerate(parts)] or [
        _row(0)
    ]
    st.session_state["builder_joined"] = ANY if isinstance(whole, Or) else ALL


def build(store: Store) -> Template | None:
    """Draw the conditions; returns their group, or None and a message if one is invalid."""
    rows: list[dict[str, Any]] = st.session_state[_CONDITIONS]
    made = [_condition(store, row, alone=len(rows) == 1) for row in rows]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if st.button("Add condition", icon=":material/add:", type="tertiary"):
            rows.append(_row(max(row["n"] for row in rows) + 1))
            st.rerun(scope="fragment")
        if len(rows) > 1:
            st.segmented_control(
                "A token must meet", [ALL, ANY], required=True, key="builder_joined"
            )
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
        titles = list(KINDS)
        selected = kind.selectbox(
            "Condition",
            titles,
            index=titles.index(row["title"]),
            key=f"{key}_kind",
            label_visibility="collapsed",
        )
        opposite = negated.checkbox("not", value=row["negated"], key=f"{key}_not")
        if not alone and remove.button(
            "",
            icon=":material/close:",
            key=f"{key}_remove",
            type="tertiary",
            help="Remove this condition",
        ):
            st.session_state[_CONDITIONS].remove(row)
            st.rerun(scope="fragment")
        values = row["values"] if selected == row["title"] else {}
        try:
            with fields:
                made = KINDS[selected](store, values, f"{key}_{selected}")
        except GroupError as error:
            st.caption(f":red[{error}]")
            return None
    return Not(made) if opposite else made


def _row(n: int) -> dict[str, Any]:
    first = next(iter(KINDS))
    return {"n": n, "title": first, "negated": False, "values": {}}


def _as_row(store: Store, n: int, part: Template) -> dict[str, Any]:
    """A template as initial values; one that the widgets cannot represent is shown as SQL."""
    negated = isinstance(part, Not)
    inner = part.of if isinstance(part, Not) else part
    data = to_data(inner)
    name = title(data) if fits(store, data) else None
    if name is None:
        name, data = SQL, to_data(Written(inner.sql()))
    return {"n": n, "title": name, "negated": negated, "values": data}

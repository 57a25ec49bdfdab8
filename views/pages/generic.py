"""The page of an analysis that has none of its own: widgets, chart, tables, script, downloads.

It reads the arguments from the registry, so a new analysis needs no page to appear in the app.
"""

import inspect
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.analyses.base import Argument, Result
from queries.analyses.registry import Analysis
from views import answers
from views.state import Region
from views.widgets import figure, group_panel, region, runs
from views.widgets.figure import Figure

EFFECTS = {"save", "overwrite"}
"""Arguments that change the store, which the command line offers."""
_BOUND: dict[str, Any] = {"bind": "query-params", "persist_state": "session"}


def page(store: Store, analysis: Analysis, others: Sequence[Store]) -> None:
    """Draw the page; `others` are stores of the same tokens, such as other seeds."""
    st.title(analysis.title)
    st.caption(analysis.sentence)
    stores = [store]
    if _takes_stores(analysis):
        stores += _runs(store, others, "text" if analysis.of_same_text else "tokens")
        if len(stores) < 2:
            return
    with st.container(border=True):
        arguments = {
            argument.name: _value(store, analysis, argument)
            for argument in analysis.arguments
            if argument.role != "store" and argument.name not in EFFECTS
        }
    if any(_is_invalid(argument, arguments) for argument in analysis.arguments):
        return  # its widget says why
    try:
        result = answers.analysis(stores, analysis.name, arguments)
        _draw(analysis, result)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")


def _is_invalid(argument: Argument, values: Mapping[str, Any]) -> bool:
    """Whether the argument is a group, and not one that can be used."""
    can_be_none = argument.default is None and not argument.required
    return argument.role == "group" and values[argument.name] is None and not can_be_none


def _draw(analysis: Analysis, result: Result) -> None:
    shown = Figure(
        analysis.title, result.chart(), result.frame, result.script(), "", result.language
    )
    figure.show(shown, analysis.name)
    names = list(result.tables)
    if len(names) < 2:
        _table(result.frame)
        return
    name = st.segmented_control(
        "Table", names, default=names[0], required=True, key=f"{analysis.name}_table", **_BOUND
    )
    _table(result.tables[str(name)](result))


def _table(frame: pd.DataFrame) -> None:
    """Probabilities with two digits, other fractions with three decimals."""
    numbers = frame.select_dtypes("float").columns
    formats = {name: "%.2g" if str(name).startswith(("p_", "q_")) else "%.3f" for name in numbers}
    formats |= {
        name: "localized"
        for name in frame.select_dtypes("integer").columns
        if not str(name).endswith("_id")
    }
    columns = {name: st.column_config.NumberColumn(format=how) for name, how in formats.items()}
    st.dataframe(frame, hide_index=True, column_config=columns)


# ---- several stores


def _takes_stores(analysis: Analysis) -> bool:
    """Whether the function's first argument is a sequence of stores."""
    first = next(iter(inspect.signature(analysis.function).parameters.values()))
    return get_origin(first.annotation) is Sequence


def _runs(store: Store, others: Sequence[Store], shared: str) -> list[Store]:
    if not others:
        st.info(
            f"This needs several runs scored on the same {shared}. Open their stores together: "
            "`token-trails app STORE STORE`."
        )
        return []
    return runs.choose(
        store, others, "Runs", "Stores of the same tokens, such as other seeds.", True
    )


# ---- a widget for each argument


def _value(store: Store, analysis: Analysis, argument: Argument) -> Any:
    key = f"{analysis.name}_{argument.name}"
    if argument.role == "group":
        return _group(store, argument, key)
    if argument.role == "region":
        return _region(store, argument)
    label = _sentence(argument.help)
    kind = _without_none(argument.type)
    how: dict[str, Any] = {"key": key, **_BOUND}
    if kind is bool:
        return st.toggle(label, argument.default, **how)
    if kind in (int, float):
        return st.number_input(label, value=argument.default, width=480, **how)
    if get_origin(kind) is Literal:
        return st.segmented_control(
            label, get_args(kind), default=argument.default, required=True, **how
        )
    if get_origin(kind) in (Sequence, tuple):
        columns = answers.token_columns(store)
        default = [*(argument.default or ())]
        options = list(dict.fromkeys([*default, *columns]))
        return tuple(st.multiselect(label, options, default, accept_new_options=True, **how))
    return st.text_input(label, argument.default or "", **how) or None


def _group(store: Store, argument: Argument, key: str) -> str | None:
    """A group; an optional one has a switch."""
    label = _sentence(argument.help)
    optional = argument.default is None and not argument.required
    if optional and not st.toggle(label, key=f"{key}_on", **_BOUND):
        return None
    if argument.default == "true":
        return group_panel.one(store, label, "where")
    return group_panel.one(store, label, "baseline" if argument.name == "baseline" else "focus")


def _region(store: Store, argument: Argument) -> Region:
    """The region that all pages share, or the second one."""
    first, second = answers.suggested_regions(store)
    default = (second or first) if argument.name.startswith("second") else first
    if argument.default is not None:
        default = (store.steps[0], store.steps[-1])
    label = argument.name.replace("_", " ").capitalize()
    slot: region.Slot = "second" if argument.name.startswith("second") else "region"
    return region.choose(store, label, slot, default)


def _without_none(kind: Any) -> Any:
    """X for X | None."""
    if get_origin(kind) in (Union, types.UnionType):
        return next(part for part in get_args(kind) if part is not type(None))
    return kind


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]

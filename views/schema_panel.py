"""What can be named in SQL: tables with their columns, macros, named groups."""

import pandas as pd
import streamlit as st

from queries import Store, dictionary
from views import answers

MACROS, GROUPS = "macros", "named groups"


@st.cache_data(max_entries=16, show_spinner=False)
def _columns(_store: Store, store_key: object) -> pd.DataFrame:
    """`dictionary.columns`."""
    return dictionary.columns(_store)


def show(store: Store, height: int) -> None:
    """A choice of tables, and what is in the chosen one."""
    columns = _columns(store, answers.key(store))
    there = columns["relation"].unique()
    shown = st.selectbox("What there is to ask", [*there, MACROS, GROUPS], key="schema")
    if shown == MACROS:
        told = "Tables that take arguments. A group is the name of any named group."
        table = pd.DataFrame(dictionary.MACROS.items(), columns=["call", "meaning"])
    elif shown == GROUPS:
        told = "Each is a view: the lines of tokens that are in the group."
        groups = store.named_groups.values()
        table = pd.DataFrame([(g.name, g.title) for g in groups], columns=["name", "meaning"])
    else:
        told = f"{dictionary.RELATIONS[shown]}."
        table = columns[columns["relation"] == shown][["column", "type", "meaning"]]
    st.caption(told.capitalize() if told[0].islower() else told)
    wide = {"meaning": st.column_config.TextColumn(width="medium")}
    st.dataframe(table, hide_index=True, height=height, column_config=wide)

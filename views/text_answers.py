"""Answers that the Text page asks for, cached across reruns and sessions."""

import numpy as np
import pandas as pd
import streamlit as st

from queries import Store, reading
from queries.reading import Reading
from views.answers import ENTRIES


@st.cache_data(max_entries=16, show_spinner=False)
def members(_store: Store, store_key: object, clause: str) -> np.ndarray:
    """`Store.members`."""
    return _store.members(clause)


@st.cache_data(max_entries=16, show_spinner=False)
def docs(_store: Store, store_key: object) -> pd.DataFrame:
    """`reading.docs`."""
    return reading.docs(_store)


@st.cache_data(max_entries=ENTRIES, show_spinner=False)
def doc(_store: Store, store_key: object, number: int) -> Reading:
    """`reading.reading`."""
    return reading.reading(_store, number)


@st.cache_data(max_entries=16, show_spinner="Looking at every token …")
def values(_store: Store, store_key: object, steps: tuple[int, ...]) -> tuple[np.ndarray, float]:
    """`reading.values`, and their `reading.reach`."""
    found = reading.values(_store, steps)
    return found, reading.reach(found)


@st.cache_data(max_entries=ENTRIES, show_spinner=False)
def largest(
    _store: Store, store_key: object, steps: tuple[int, ...], k: int, in_doc: int | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`reading.largest` of a doc, or of all."""
    found, _ = values(_store, store_key, steps)
    rows = None
    if in_doc is not None:
        rows = doc(_store, store_key, in_doc).tokens["row"].to_numpy()
    return reading.largest(_store, found, k, rows)


@st.cache_data(max_entries=ENTRIES, show_spinner=False)
def token(_store: Store, store_key: object, row: int) -> dict[str, object]:
    """`reading.token`."""
    return reading.token(_store, row)

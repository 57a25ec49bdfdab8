"""The Text page."""

import streamlit as st

from queries import Store


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Text")

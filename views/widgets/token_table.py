"""A table of token occurrences, each in its text, of which one row can be selected."""

from collections.abc import Callable

import pandas as pd
import streamlit as st

TEXT = "text, the ⟦token⟧ marked"


def in_text(tokens: pd.DataFrame, *values: str) -> pd.DataFrame:
    """`values`, text (the token marked), source, position, row.

    `tokens` has `values` and the columns of `Store.context`.
    """
    text = tokens["before"] + "⟦" + tokens["token"] + "⟧" + tokens["after"]
    shown = tokens.assign(text=text.str.replace(r"\s+", " ", regex=True))
    return shown[[*values, "text", "source", "position", "row"]]


def show(
    tokens: pd.DataFrame,
    value: str,
    label: str,
    key: str,
    format: str = "%+.2f",
    on_select: Callable[[], None] | None = None,
) -> int | None:
    """Draw `in_text(tokens, value)`; the row (a token's number) that is selected, or None.

    With `on_select` that function is called instead, before the page is drawn again.
    """
    shown = in_text(tokens, value)
    event = st.dataframe(
        shown,
        hide_index=True,
        key=key,
        on_select=on_select or "rerun",
        selection_mode="single-row",
        height="content" if len(shown) < 12 else "auto",
        column_config={
            value: st.column_config.NumberColumn(label, format=format),
            "text": st.column_config.TextColumn(TEXT, width="large"),
            "source": None if on_select and shown["source"].nunique() == 1 else "source",
            "row": None if on_select else "row",
        },
    )
    selected = event["selection"]["rows"]
    return int(shown["row"].iloc[selected[0]]) if selected else None

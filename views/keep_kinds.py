"""Kinds of tokens kept as a feature of the store, from where each kind is a group."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from views import chosen
from views.chosen import Chosen


def offer(
    store: Store,
    rows: pd.Series,
    values: pd.Series,
    titles: Mapping[int | str, str],
    description: str,
    name: str,
) -> None:
    """A field and a button to keep `values` of `rows`; once kept, a link for each kind.

    `titles` are the kinds' by their value, `name` is what the feature may be called.
    """
    st.subheader("Use them as groups")
    kept = _kept(store, description)
    if kept:
        st.caption(f"Kept as the column `{kept}` of the tokens: every group can ask for it.")
        for value, title in titles.items():
            chosen.offer(Chosen(f"{kept} = {_literal(value)}", name=title))
        return
    st.caption(
        "Kept as a feature, they are a column of the tokens: in groups of the app, in SQL and on "
        "the command line. Each kind can then be drawn on Trajectories."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        asked = st.text_input("Name of the column", name, key=f"keep_{name}", width=230)
        there = asked.strip() in set(store.features.all()["name"])
        overwrite = there and st.checkbox(
            f"Replace the feature {asked.strip()}", key=f"keep_{name}_overwrite"
        )
        pressed = st.button("Keep as a feature", icon=":material/save:", key=f"keep_{name}_save")
    if not pressed:
        return
    try:
        store.features.save(asked.strip(), values, description, rows=rows, overwrite=overwrite)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
    else:
        st.rerun()


def _kept(store: Store, description: str) -> str | None:
    """The feature that holds these very kinds; a new checkpoint may have changed them since."""
    features = store.features.all()
    same = features[features["problem"].isna() & (features["description"] == description)]
    return str(same["name"].iloc[0]) if len(same) else None


def _literal(value: int | str) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)

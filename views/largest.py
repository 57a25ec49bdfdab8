"""The largest values of the doc and of the whole text; a chosen line opens that token."""

import pandas as pd
import streamlit as st

from queries import Store
from queries.reading import Reading
from views import answers, charts, docs, text_answers
from views.shade import Shade

K = 8
HERE, EVERYWHERE = "this doc", "the whole text"


def show(store: Store, shade: Shade, found: Reading) -> None:
    """Draw the lists."""
    st.subheader("Highest losses" if len(shade.steps) == 1 else "Largest changes")
    where = st.segmented_control(
        "Of", [HERE, EVERYWHERE], default=HERE, required=True, key="largest_of",
        bind="query-params", persist_state="session",
    )  # fmt: skip
    in_doc = found.doc if where == HERE else None
    low, high = text_answers.largest(store, answers.key(store), shade.steps, K, in_doc)
    st.caption(f"By {shade.what}. Tick a line to go to its token.")
    if len(shade.steps) == 1:
        _table(store, high, "loss (nats)", f"highest_{in_doc}_{shade.steps}")
        return
    for side, name in ((low, "Fell most"), (high, "Rose most")):
        st.markdown(f"**{name}**")
        _table(store, side, "change (nats)", f"{name}_{in_doc}_{shade.steps}")


def _table(store: Store, side: pd.DataFrame, value: str, key: str) -> None:
    if side.empty:
        st.info("No token changed in this direction.")
        return
    every = text_answers.docs(store, answers.key(store))

    def go() -> None:
        for at in st.session_state[key]["selection"]["rows"]:
            docs.open_at(int(side["doc"].iloc[at]), int(side["row"].iloc[at]), every)

    st.dataframe(
        charts.in_context(side.rename(columns={"value": "change"})),
        hide_index=True, on_select=go, selection_mode="single-row", key=key, height="content",
        column_config={
            "row": None,
            "source": None if side["doc"].nunique() == 1 else "source",
            "change": st.column_config.NumberColumn(
                value, format="%.2f" if value.startswith("loss") else "%+.2f"
            ),
            "text": st.column_config.TextColumn("text, the ⟦token⟧ marked", width="large"),
        },
    )  # fmt: skip

"""The tokens that a zoom picks out, in lists, and how a list becomes a group."""

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.templates import Rows, Template, TokenTypes, to_json
from queries.zoom import Zoom
from views import answers, charts, chosen
from views.chosen import Chosen

_CHANGE = st.column_config.NumberColumn("change (nats)", format="%+.2f")


def offer(template: Template, name: str) -> None:
    """A link that takes the group to the Trajectories page."""
    chosen.offer(Chosen(built=to_json(template), name=name))


def occurrences(store: Store, zoom: Zoom, name: str, title: str) -> None:
    """One list of token occurrences, each in its text."""
    tokens = getattr(zoom, name).drop_duplicates("row")[["row", "change"]]
    if tokens.empty:
        st.info("No token of the group changed in this direction.")
        return
    rows = tuple(int(row) for row in tokens["row"])
    context = answers.context(store, answers.key(store), rows)
    shown = charts.in_context(tokens.merge(context, on="row"))
    event = st.dataframe(
        shown, hide_index=True, key=f"{name}_table", on_select="rerun",
        selection_mode="single-row",
        column_config={
            "change": _CHANGE,
            "text": st.column_config.TextColumn("text, the ⟦token⟧ marked", width="large"),
        },
    )  # fmt: skip
    for at in event["selection"]["rows"][:1]:
        _offer_text(int(shown["row"].iloc[at]), zoom)
    offer(Rows(rows), f"{title}, {zoom.first:,} to {zoom.last:,}")


def _offer_text(row: int, zoom: Zoom) -> None:
    st.page_link(
        st.session_state["pages"]["text"],
        label=f"Read row {row:,} in its document",
        icon=":material/article:",
        query_params={"token": str(row), "colour": "change", "first": str(zoom.first),
                      "last": str(zoom.last)},
    )  # fmt: skip


def types(store: Store, zoom: Zoom, where: str, min_count: int, k: int) -> None:
    """The token types that fell and rose most, by their mean."""
    region = (zoom.first, zoom.last)
    try:
        found = answers.type_changes(store, answers.key(store), region, where, min_count)
    except QueryError as error:
        st.info(str(error))
        return
    sides = {"Most decreased": found[found["change"] < 0].head(k),
             "Most increased": found[found["change"] > 0].tail(k).iloc[::-1]}  # fmt: skip
    for tab, (title, side) in zip(st.tabs(list(sides)), sides.items(), strict=True):
        with tab:
            _types(side, f"{title} types, {zoom.first:,} to {zoom.last:,}", title)
    st.caption(f"{len(found):,} token types occur at least {min_count:,} times in the group.")


def _types(side: pd.DataFrame, name: str, key: str) -> None:
    if side.empty:
        st.info("No token type changed in this direction.")
        return
    st.dataframe(
        side.assign(token_str="⟦" + side["token_str"] + "⟧"), hide_index=True, key=f"{key}_types",
        column_config={
            "token_id": "token id", "token_str": "⟦token⟧", "n_tokens": "occurrences",
            "change": st.column_config.NumberColumn("mean change (nats)", format="%+.3f"),
            "standard_deviation": st.column_config.NumberColumn("their spread", format="%.3f"),
        },
    )  # fmt: skip
    offer(TokenTypes(tuple(int(i) for i in side["token_id"])), name)

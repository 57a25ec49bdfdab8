"""Which groups moved unlike the rest in a region: a leaderboard, whose lines become groups."""

import streamlit as st

from queries import QueryError, Store
from views import answers, chosen
from views.chosen import Chosen
from views.region import Region


def offer(store: Store, region: Region) -> None:
    """A heading and a switch; the leaderboard once it is asked for, as it takes seconds."""
    st.subheader("Which groups moved unlike the rest?")
    if not st.toggle("Compare the named groups, and bands, types and documents", key="explain",
                     bind="query-params", persist_state="session"):  # fmt: skip
        return
    try:
        found = answers.explain(store, answers.key(store), region)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    kinds = list(dict.fromkeys(found["kind"]))
    kind = st.pills("Kind", kinds, key="explain_kind", selection_mode="multi",
                    label_visibility="collapsed")  # fmt: skip
    shown = found[found["kind"].isin(kind)] if kind else found
    shown = shown.reset_index(drop=True)
    event = st.dataframe(
        shown[["kind", "token_group", "difference", "standard_error", "q_value", "mean_change",
               "rest_change", "n_tokens", "n_docs"]],
        hide_index=True, on_select="rerun", selection_mode="single-row", key="explain_table",
        column_config={
            "token_group": st.column_config.TextColumn("group", width="medium"),
            "difference": st.column_config.NumberColumn("unlike the rest (nats)", format="%+.3f"),
            "standard_error": st.column_config.NumberColumn("standard error", format="%.3f"),
            "q_value": st.column_config.NumberColumn("q", format="%.2g"),
            "mean_change": st.column_config.NumberColumn("its change", format="%+.3f"),
            "rest_change": st.column_config.NumberColumn("the rest's", format="%+.3f"),
            "n_tokens": "tokens", "n_docs": "documents",
        },
    )  # fmt: skip
    st.caption(
        f"{len(found):,} groups, the surest first. q: the share of false lines to expect among "
        "those up to it. Groups overlap: a line tells where a change is to be seen, not why. Tick "
        "a line to take it to Trajectories."
    )
    for at in event["selection"]["rows"][:1]:
        line = shown.iloc[at]
        chosen.offer(Chosen(str(line["clause"]), name=str(line["token_group"])))

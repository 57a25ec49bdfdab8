"""The Tour page: the report's findings as places to begin, on whatever store is open."""

from dataclasses import dataclass

import streamlit as st

from queries import QueryError, Store
from views import answers, selected_groups


@dataclass(frozen=True)
class Finding:
    """A question that the report asked, and the groups that answer it; the baseline first."""

    title: str
    told: str
    groups: tuple[str, ...]


FINDINGS = (
    Finding(
        "Does context help? The 500th token against the 50th",
        "Olsson et al. saw the loss at the 500th token fall away from that at the 50th when "
        "induction heads form: the in-context score. A difference below zero, whose band keeps "
        "clear of zero, is what to look for.",
        ("position_50", "position_500"),
    ),
    Finding(
        "Which part of a word is hard? Word starts against continuations",
        "The first token of a word has to be guessed, the rest can be spelled: continuations are "
        "learned early, word starts late.",
        ("word_start", "word_continuation"),
    ),
    Finding(
        "Are names learned later? Presidents' surnames against all tokens",
        "The report compared six surnames with everything else. Rare words are learned later than "
        "frequent ones, whatever they name: compare with tokens as rare before believing more.",
        ("all_tokens", "surnames_presidents"),
    ),
    Finding(
        "When does copying form? Copyable tokens against all others",
        "Copyable: the last three tokens stood together earlier in the doc, so that looking back "
        "would give the answer.",
        ("not_copyable", "copyable"),
    ),
)


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Tour")
    st.caption(
        "Averages at the end of training say little about how a model learned. Every token's loss "
        "at every checkpoint is kept here, so ask how any group of tokens was learned."
    )
    for finding in FINDINGS:
        _offer(store, finding)
    _spike(store)


def _offer(store: Store, finding: Finding) -> None:
    with st.container(border=True):
        st.markdown(f"**{finding.title}**")
        st.caption(finding.told)
        try:
            counts = [
                answers.preview(store, answers.key(store), g).n_tokens for g in finding.groups
            ]
        except QueryError:
            names = " or ".join(
                selected_groups.group_title(store, group) for group in finding.groups
            )
            st.caption(f":orange[This store's text has no token of {names}.]")
            return
        st.page_link(
            st.session_state["pages"]["trajectories"],
            label=f"Show it ({' and '.join(f'{count:,}' for count in counts)} tokens)",
            icon=":material/show_chart:",
            query_params={selected_groups.TRAJECTORIES: list(finding.groups)},
        )


def _spike(store: Store) -> None:
    with st.container(border=True):
        st.markdown("**What happens in a loss spike? Zoom into the largest rise**")
        st.caption(
            "When the mean loss rises, some tokens get worse by many nats, others better. Which "
            "ones, and do the same ones recover?"
        )
        if len(store.steps) < 2:
            st.caption(":orange[This store has one checkpoint: a change needs two.]")
            return
        (first, last), _ = answers.suggested_regions(store, answers.key(store))
        st.page_link(
            st.session_state["pages"]["zoom"],
            label=f"Zoom into steps {first:,} to {last:,}",
            icon=":material/zoom_in:",
            query_params={"first": str(first), "last": str(last)},
        )

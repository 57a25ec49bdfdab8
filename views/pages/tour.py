"""The Tour page: the report's findings as five questions to start with, for the open store."""

from dataclasses import dataclass

import streamlit as st

from queries import QueryError, Store
from views import answers, selected_groups, state
from views.selected_groups import SelectedGroup


@dataclass(frozen=True)
class Finding:
    """A question of the report, and the groups that answer it, in the order of the title."""

    title: str
    text: str
    groups: tuple[str, ...]


_NUMBERS = {4: "four", 5: "five", 6: "six"}
FINDINGS = (
    Finding(
        "Does context help? The 500th token vs. the 50th",
        "Olsson et al. saw the loss at the 500th token fall below that at the 50th as induction "
        "heads formed: this difference is the in-context score. Look for a difference below zero "
        "whose band excludes zero.",
        ("position_500", "position_50"),
    ),
    Finding(
        "Which part of a word is hard? Word continuations vs. word starts",
        "The first token of a word has to be guessed; the rest can be spelled out. So "
        "continuations are learned early, and word starts late.",
        ("word_continuation", "word_start"),
    ),
    Finding(
        "Are names learned later? Presidents' surnames vs. all tokens",
        "The report compared six surnames with all other tokens. Rare words are learned later than "
        "frequent ones, whatever they mean, so also compare with tokens that are equally rare.",
        ("surnames_presidents", "all_tokens"),
    ),
    Finding(
        "When does copying emerge? Copyable tokens vs. all others",
        "Copyable: the last three tokens occurred together earlier in the doc, so that looking "
        "back would give the answer.",
        ("copyable", "not_copyable"),
    ),
)


CARD = """<style>
.st-key-tour [class*="st-key-card_"] { position: relative; }
.st-key-tour [class*="st-key-card_"]:has(a):hover { border-color: var(--st-primary-color); }
.st-key-tour [class*="st-key-card_"] a::after { content: ""; position: absolute; inset: 0; }
.st-key-tour [class*="st-key-card_"] :is(div, a) { position: static; }
</style>"""
"""The link of a card covers the whole card, so that a click anywhere follows it."""


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Tour")
    st.caption(
        "Averages at the end of training say little about how a model learned. Token Trails keeps "
        "the loss of every token at every checkpoint, so you can see how any group of tokens was "
        f"learned. Start with {_NUMBERS[len(FINDINGS) + 1]} questions."
    )
    with st.container(key="tour"):
        st.html(CARD)
        for at, finding in enumerate(FINDINGS):
            with st.container(border=True, key=f"card_{at}"):
                _card(store, finding)
        with st.container(border=True, key="card_spike"):
            _spike_card(store)


def _card(store: Store, finding: Finding) -> None:
    st.markdown(f"**{finding.title}**")
    st.caption(finding.text)
    try:
        counts = [answers.preview(store, group).n_tokens for group in finding.groups]
    except QueryError:
        names = " or ".join(selected_groups.group_title(store, g) for g in finding.groups)
        st.caption(f":orange[This store's text has no token of {names}.]")
        return
    # The baseline is the first of the chosen groups, and the second one of the title.
    baseline_first = tuple(map(SelectedGroup, reversed(finding.groups)))
    st.page_link(
        st.session_state["pages"]["trajectories"],
        label=f"Show {counts[0]:,} vs. {counts[1]:,} tokens",
        icon=":material/show_chart:",
        query_params=state.link(groups=baseline_first),
    )


def _spike_card(store: Store) -> None:
    st.markdown("**What happens in a loss spike? The rise, the recovery, and their tokens**")
    st.caption(
        "When the mean loss rises, some tokens get worse by many nats and others get better. "
        "Which ones, and do the same ones recover?"
    )
    if len(store.steps) < 2:
        st.caption(":orange[This store has one checkpoint: a change needs two.]")
        return
    found = answers.spikes(store)
    if not found:
        st.caption(":orange[The mean loss of this store never rises.]")
        return
    spike = found[0]
    end = (spike.recovery or spike.rise)[1]
    st.page_link(
        st.session_state["pages"]["zoom"],
        label=f"Tell the story of steps {spike.rise[0]:,} to {end:,}",
        icon=":material/zoom_in:",
        query_params=state.link(region=spike.rise, second=spike.recovery),
    )

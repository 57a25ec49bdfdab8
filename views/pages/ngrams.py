"""The N-grams page: is the model learning n-gram statistics here, or something else?"""

import pandas as pd
import streamlit as st

from queries import QueryError, Store, charts, save_ngrams
from queries.analyses.ngrams import NAMES
from views import answers
from views.widgets import display, figure, group_panel
from views.widgets import display as spans
from views.widgets.figure import Figure, called

TITLES = {"unigram_loss": "unigrams", "bigram_loss": "bigrams"}


def page(store: Store) -> None:
    """Draw the page."""
    st.title("N-grams")
    st.caption(
        "Models first learn how frequent tokens are (unigrams), then what follows what (bigrams), "
        "then leave both behind (Chang and Bergen 2022). Each token's loss is compared with that "
        "of such simple models."
    )
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where", "all_tokens")
    if where is None:
        return
    axis = display.training_axis(store)
    try:
        found = answers.baselines(store, answers.key(store), where)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    call = called(store, "baselines", where)
    _told(store, found)
    _losses(store, found, axis, call)
    _correlations(store, found, axis, call)
    _whose(store)


def _told(store: Store, found: pd.DataFrame) -> None:
    """When the mean came down to each baseline, and when the losses were most like it."""
    for name, title in TITLES.items():
        level = found[name].iloc[0]
        below = found.loc[found["mean_loss"] <= level, "checkpoint"]
        reached = f"first at step {below.iloc[0]:,}" if len(below) else "never"
        told = f"- Down to the loss of **{title}** ({level:.3f} nats): **{reached}**. "
        st.markdown(told + _alike(store, found, name.removesuffix("_loss")))


def _alike(store: Store, found: pd.DataFrame, short: str) -> str:
    """When the tokens' losses were most like the baseline's, if they ever surely were."""
    r = found[f"{short}_correlation"]
    if r.isna().all():
        return ""
    at = r.idxmax()
    if not found[f"{short}_low"][at] > 0:
        return f"Token by token they are never surely alike (r at most {r[at]:.2f})."
    return (
        f"Most alike token by token at step {found['checkpoint'][at]:,} (r = {r[at]:.2f}); at "
        f"step {store.steps[-1]:,} r = {r.iloc[-1]:.2f}."
    )


def _losses(store: Store, found: pd.DataFrame, axis: str, call: str) -> None:
    st.subheader("Mean loss, and that of n-grams")
    lines = [_look(found, "the model", 0)]
    lines += [
        _look(
            found.assign(mean_loss=found[name], low=float("nan"), high=float("nan")),
            title,
            at,
            [6, 3],
        )
        for at, (name, title) in enumerate(TITLES.items(), 1)
    ]
    frame = spans.placed(store, pd.concat(lines, ignore_index=True), axis)
    chart = charts.curves(frame, axis, "mean_loss", "mean loss (nats)", height=340)
    figure.show(
        Figure(
            "Mean loss and that of n-grams",
            chart,
            found,
            call=call,
            caption="Dashed: the mean loss of these tokens under unigrams and bigrams "
            "(interpolated Kneser-Ney). To be as low as a baseline is no proof of having "
            "learned it: see below whether the same tokens are easy.",
        ),
        "ngram_losses",
    )


def _correlations(store: Store, found: pd.DataFrame, axis: str, call: str) -> None:
    st.subheader("Are the same tokens easy?")
    lines = []
    for at, (name, title) in enumerate(TITLES.items(), 1):
        short = name.removesuffix("_loss")
        columns = {
            f"{short}_correlation": "correlation",
            f"{short}_low": "low",
            f"{short}_high": "high",
        }
        lines.append(_look(found[["checkpoint", *columns]].rename(columns=columns), title, at))
    frame = spans.placed(store, pd.concat(lines, ignore_index=True), axis)
    chart = charts.curves(frame, axis, "correlation", "correlation with", height=300, nothing=0)
    figure.show(
        Figure(
            "Correlation with n-gram losses",
            chart,
            found,
            call=call,
            caption="Pearson's r of the tokens' losses with their n-gram losses. A rise and "
            "then a fall says that the model learned these statistics and then went on. Bands "
            "are 95 % intervals over source documents and take the n-grams as given, though "
            "they were estimated.",
        ),
        "ngram_correlations",
    )


def _whose(store: Store) -> None:
    """Which text the n-grams are of, and how to keep them."""
    there = store.features.all()
    there = there[there["name"].isin(NAMES) & there["problem"].isna()]
    if len(there) == len(NAMES):
        st.caption(f"The n-grams are features of this store: {there['description'].iloc[-1]}.")
        return
    st.caption(
        "The n-grams were estimated from the other documents of this very text, which is little to "
        "learn bigrams from: for a better baseline, `python -m ingest ngrams` takes another text. "
        "Kept as features, `unigram_loss` and `bigram_loss` are columns for groups and SQL."
    )
    if st.button("Keep these as features", icon=":material/save:", key="keep_ngrams"):
        try:
            save_ngrams(store)
        except QueryError as error:
            st.error(str(error), icon=":material/error:")
        else:
            st.rerun()


def _look(frame: pd.DataFrame, title: str, at: int, dash: list[int] | None = None) -> pd.DataFrame:
    color, usual = charts.look(at)
    return frame.assign(token_group=title, color=color, dash=[dash or usual] * len(frame))

"""The N-grams page: is the model learning n-gram statistics, or something else?"""

import pandas as pd
import streamlit as st

from queries import Ngrams, QueryError, Store
from queries.analyses.ngrams import NAMES, save_ngrams
from queries.charts import curves, theme
from views import answers, state
from views.widgets import figure, group_panel, training_axis
from views.widgets.figure import Figure, script_of

MODELS = {"unigram": "unigrams", "bigram": "bigrams"}


def page(store: Store) -> None:
    """Draw the page."""
    st.title("N-grams")
    st.caption(
        "Models first learn how frequent tokens are (unigrams), then loosely which token follows "
        "which (bigrams), and then move beyond both (Chang and Bergen 2022). Here each token's "
        "loss is compared with that of n-gram models."
    )
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where")
    if where is None:
        return
    axis = training_axis.choose(store)
    try:
        found = answers.ngrams(store, where)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    _findings(store, found.frame)
    _losses(store, found, axis)
    _correlations(store, found, axis)
    _source_of_ngrams(store)


def _findings(store: Store, found: pd.DataFrame) -> None:
    """When the mean loss reached each baseline, and when the losses were most similar."""
    for name, title in MODELS.items():
        level = found[f"{name}_loss"].iloc[0]
        below = found.loc[found["mean_loss"] <= level, "checkpoint"]
        when = f"at step {below.iloc[0]:,}" if len(below) else "at no checkpoint"
        st.markdown(
            f"- First matches the **{name}** loss ({level:.3f} nats) **{when}**. "
            + _most_similar(store, found, name, title)
        )


def _most_similar(store: Store, found: pd.DataFrame, name: str, title: str) -> str:
    """The step of the highest correlation, if one is significantly above zero."""
    r = found[f"{name}_correlation"]
    if r.isna().all():
        return ""
    at = int(r.argmax())
    if not found[f"{name}_low"].iloc[at] > 0:
        return (
            f"Token by token, the losses never correlate significantly with those of {title} "
            f"(r at most {r.max():.2f})."
        )
    return (
        f"Token by token, the losses are most similar to those of {title} at step "
        f"{found['checkpoint'].iloc[at]:,} (r = {r.max():.2f}); at step {store.steps[-1]:,} r = "
        f"{r.iloc[-1]:.2f}."
    )


def _losses(store: Store, result: Ngrams, axis: str) -> None:
    found = result.frame
    st.subheader("Mean loss of the model and of n-grams")
    own, *others = _looks()
    groups = [curves.as_group(found, "the model", *own)]
    for (name, title), (color, _) in zip(MODELS.items(), others, strict=True):
        level = found.assign(mean_loss=found[f"{name}_loss"], low=float("nan"), high=float("nan"))
        groups.append(curves.as_group(level, title, color, theme.DASHES[1]))
    frame = training_axis.placed(store, pd.concat(groups, ignore_index=True), axis)
    figure.show(
        Figure(
            "Mean loss of the model and of n-grams",
            curves.relative(frame, "mean_loss", "mean loss (nats)", None, axis, height=340),
            found,
            script_of(result),
            "Dashed: the mean loss of these tokens under unigrams and bigrams (interpolated "
            "Kneser-Ney). Reaching a baseline's loss does not prove that the model learned that "
            "baseline: see below whether the same tokens are easy.",
            result.language,
        ),
        "ngram_losses",
    )


def _correlations(store: Store, result: Ngrams, axis: str) -> None:
    found = result.frame
    st.subheader("Are the same tokens easy?")
    groups = []
    for (name, title), look in zip(MODELS.items(), _looks()[1:], strict=True):
        columns = {f"{name}_{part}": part for part in ("correlation", "low", "high")}
        frame = found[["checkpoint", *columns]].rename(columns=columns)
        groups.append(curves.as_group(frame, title, *look))
    frame = training_axis.placed(store, pd.concat(groups, ignore_index=True), axis)
    figure.show(
        Figure(
            "Correlation with n-gram losses",
            curves.relative(frame, "correlation", "correlation (Pearson's r)", 0, axis, height=300),
            found,
            script_of(result),
            "Pearson's r between the tokens' losses and their n-gram losses. A rise followed by a "
            "fall means that the model learned these statistics and then moved beyond them. Bands "
            "are 95% intervals over source documents. They treat the n-gram models as given, "
            "although these were estimated.",
            result.language,
        ),
        "ngram_correlations",
    )


def _looks() -> list[state.Look]:
    """Of the model, which has the colour of its tokens' group, and of the n-gram models."""
    return state.looks(group_panel.chosen("where"), len(MODELS))


def _source_of_ngrams(store: Store) -> None:
    """Which text the n-grams were estimated from, and how to save them."""
    features = store.features.all()
    saved = features[features["name"].isin(NAMES) & features["problem"].isna()]
    if len(saved) == len(NAMES):
        source = saved["description"].iloc[-1]
        st.caption(f"The n-grams are saved as features of this store: {source}.")
        return
    st.caption(
        "The n-grams were estimated from the other documents of this text, which is little data "
        "for bigrams. For a better baseline, `python -m ingest ngrams` takes another text. Saved "
        "as features, `unigram_loss` and `bigram_loss` are columns for groups and SQL."
    )
    if st.button("Save as features", icon=":material/save:", key="save_ngrams"):
        try:
            save_ngrams(store)
        except QueryError as error:
            st.error(str(error), icon=":material/error:")
        else:
            st.rerun()

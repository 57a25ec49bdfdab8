"""The Matched comparison page: a group and control tokens that are similar in given covariates."""

import pandas as pd
import streamlit as st

from queries import Matched, QueryError, Store
from queries.analyses.matched import DEFAULT
from queries.charts import analyses, curves, theme
from queries.report.numbers import signed
from views import answers, state
from views.widgets import figure, group_panel, training_axis
from views.widgets.figure import Figure, script_of

MANY = 0.2
"""A share of tokens without a control above which the others may be a different group."""
GROUP, MATCHED_GROUP, CONTROL, REST = "group", "matched_group", "control", "rest"
MEANS = {
    "group_mean": "group",
    "rest_mean": "rest",
    "matched_mean": "matched group",
    "control_mean": "controls",
}


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Matched comparison")
    st.caption(
        "A group differs from all other tokens in many ways: rare words are learned late, whatever "
        "they name. Here it is compared with control tokens that are equally rare, equally hard at "
        "the start, equally far into their doc, or similar in any other covariate."
    )
    with st.container(border=True):
        group = group_panel.one(store, "Group", "focus")
        among = group_panel.one(store, "Controls from", "where")
        on, bins = _covariates(store)
    if group is None or among is None:
        return
    axis = training_axis.choose(store)
    try:
        found = answers.matched(store, group, on=on, among=among, bins=bins)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    _findings(store, found)
    _curves(store, found, axis)
    _difference(store, found, axis)
    _balance(found)


def _covariates(store: Store) -> tuple[tuple[str, ...], int]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        on = st.multiselect(
            "Matched on",
            answers.matchable(store),
            list(DEFAULT),
            key="on",
            bind="query-params",
            persist_state="session",
            accept_new_options=True,
            help="Columns of the tokens, initial_loss (the level of a token's loss over the first "
            "third of the checkpoints), or any SQL expression over the columns, such as "
            "length(token_str): type it.",
        )
        bins = st.number_input(
            "Bins per numeric covariate",
            1,
            100,
            10,
            key="bins",
            bind="query-params",
            persist_state="session",
            width=190,
            help="Numbers are cut into this many quantiles of the group's values. Texts, booleans "
            "and numbers with few values are matched exactly. More bins give more similar "
            "controls, and leave more tokens without one.",
        )
    return tuple(on), int(bins)


def _findings(store: Store, found: Matched) -> None:
    """The difference at the last checkpoint, and the tokens to which it applies."""
    last = found.difference.iloc[-1]
    before = _difference_in_words(last["before"], last["before_low"], last["before_high"])
    if last["verdict"]:
        st.markdown(
            f"At step {store.steps[-1]:,} the group's mean loss is **{before}** that of the rest. "
            f"Matched tokens: {last['verdict']}."
        )
        return
    after = _difference_in_words(last["difference"], last["low"], last["high"])
    st.markdown(
        f"At step {store.steps[-1]:,} the group's mean loss is **{before}** that of the rest. For "
        f"the tokens that have controls it is **{after}** that of their controls. The second "
        "number excludes what the covariates above explain, but not what other covariates would "
        f"explain.{_not_detected(last)}"
    )
    n = int(found.trajectories["n_tokens"].iloc[0])
    if not found.n_unmatched:
        st.caption(f"All of the group's {n:,} tokens have controls.")
        return
    share = found.n_unmatched / n
    without = f"Of the group's {n:,} tokens, {found.n_unmatched:,} ({share:.1%}) have no control."
    if share > MANY:
        st.warning(
            f"{without} The comparison covers only the others: use fewer covariates or bins.",
            icon=":material/warning:",
        )
    else:
        st.caption(without)


def _difference_in_words(difference: float, low: float, high: float) -> str:
    way = "below" if difference < 0 else "above"
    band = "no band" if pd.isna(low) else f"95% band {signed(low, 3)} to {signed(high, 3)}"
    unclear = ", which includes zero" if low <= 0 <= high else ""
    return f"{abs(difference):.3f} nats {way} ({band}{unclear})"


def _not_detected(last: pd.Series) -> str:
    if not last["low"] <= 0 <= last["high"]:
        return ""
    return f" Less than {last['detectable']:.3f} nats would usually not be detected here."


def _curves(store: Store, found: Matched, axis: str) -> None:
    st.subheader("Mean loss")
    focus = group_panel.chosen("focus")
    own, controls, rest = state.looks(focus, 2)
    lines = {
        GROUP: (focus.title(store), own),
        CONTROL: ("its matched controls", controls),
        REST: ("the rest, unmatched", rest),
    }
    if found.n_unmatched:
        dash = theme.DASHES[2 if own[1] == theme.DASHES[1] else 1]
        lines[MATCHED_GROUP] = ("tokens of the group with controls", (own[0], dash))
    name_of = found.trajectories["token_group"]
    groups = [
        curves.as_group(found.trajectories[name_of == name], title, *look)
        for name, (title, look) in lines.items()
    ]
    frame = training_axis.placed(store, pd.concat(groups, ignore_index=True), axis)
    figure.show(
        Figure(
            "Mean loss of a group and its controls",
            curves.relative(frame, "mean_loss", "mean loss (nats)", None, axis, height=320),
            frame.drop(columns=["color", "dash", "at"]),
            script_of(found, "trajectories"),
            "Controls are weighted by the number of similar tokens in the group. Bands are 95% "
            "intervals over source documents; that of the controls takes the weights into account.",
            found.language,
        ),
        "matched_curves",
    )


def _difference(store: Store, found: Matched, axis: str) -> None:
    st.subheader("Difference: the group minus others")
    names = {"before": "difference", "before_low": "low", "before_high": "high"}
    before = found.difference[["checkpoint", *names]].rename(columns=names)
    after = found.difference[["checkpoint", *names.values()]]
    _, controls, rest = state.looks(group_panel.chosen("focus"), 2)
    groups = [
        curves.as_group(after, "minus its matched controls", *controls),
        curves.as_group(before, "minus the rest, unmatched", *rest),
    ]
    frame = training_axis.placed(store, pd.concat(groups, ignore_index=True), axis)
    figure.show(
        Figure(
            "Difference to the controls",
            curves.relative(frame, "difference", "difference (nats)", 0, axis),
            found.difference,
            script_of(found, "difference"),
            "Below zero, the group is predicted better. Where the two curves diverge, the "
            "covariates explain part of the unmatched difference.",
            found.language,
        ),
        "matched_difference",
    )


def _balance(found: Matched) -> None:
    st.subheader("Effect of the matching")
    figure.show(
        Figure(
            "Balance of the covariates",
            analyses.balance(found.balance),
            found.balance,
            script_of(found, "balance"),
            "Numbers: the difference of the means divided by the group's standard deviation; below "
            "0.1 (dashed) is usually considered balanced. Texts and booleans: the share that would "
            "have to change (total variation distance).",
            found.language,
        ),
        "balance",
    )
    numbers = found.balance.dropna(subset=["group_mean"])
    if len(numbers):
        st.dataframe(
            numbers[["covariate", *MEANS]],
            hide_index=True,
            column_config={
                **{
                    name: st.column_config.NumberColumn(f"mean, {title}", format="%.2f")
                    for name, title in MEANS.items()
                },
            },
        )

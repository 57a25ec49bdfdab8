"""The Fair comparison page: a group beside tokens that are like it in what would explain it."""

import pandas as pd
import streamlit as st

from queries import Matched, QueryError, Store, charts
from queries.analyses.matched import USUAL
from views import answers
from views.widgets import display, figure, group_panel
from views.widgets import display as spans
from views.widgets.figure import Figure, called

LOST = 0.2
"""A share of tokens without a control from which the rest may be another group altogether."""
GROUP, KEPT, CONTROL, REST = "group", "matched_group", "control", "rest"
_MEANS = {
    "group_mean": "group",
    "rest_mean": "rest",
    "matched_mean": "matched group",
    "control_mean": "controls",
}


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Fair comparison")
    st.caption(
        "A group differs from all other tokens in many ways: rare words are learned late, whatever "
        "they name. Here it is compared with tokens that are as rare, as hard at the start, as far "
        "into their doc, or alike in any other feature."
    )
    with st.container(border=True):
        group = group_panel.one(store, "Group", "compared", "copyable")
        among = group_panel.one(store, "Compared with other tokens of", "among", "all_tokens")
        on, bins = _features(store)
    if group is None or among is None:
        return
    axis = display.training_axis(store)
    try:
        found = answers.matched(store, answers.key(store), group, on, among, bins)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    call = called(store, "matched", group, on, among, bins)
    _told(store, found)
    _curves(store, found, axis, call)
    _difference(store, found, axis, call)
    _balance(found, call)


def _features(store: Store) -> tuple[tuple[str, ...], int]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        on = st.multiselect(
            "Alike in",
            answers.matchable(store, answers.key(store)),
            USUAL,
            key="alike_in",
            bind="query-params",
            persist_state="session",
            accept_new_options=True,
            help="Columns of the tokens, initial_loss (at the first checkpoint), or any SQL "
            "expression over the columns, such as length(token_str): type it.",
        )
        bins = st.number_input(
            "Bins of each number",
            1,
            100,
            10,
            key="bins",
            bind="query-params",
            persist_state="session",
            width=170,
            help="Numbers are cut into so many quantiles of the group's values; texts, truth "
            "values and numbers with few values are matched exactly. More bins: more alike, and "
            "more tokens without a control.",
        )
    return tuple(on), int(bins)


def _told(store: Store, found: Matched) -> None:
    """What is seen at the last checkpoint, and of whom it is true."""
    last = found.difference.iloc[-1]
    n = int(found.trajectories["n_tokens"].iloc[0])
    before = _beside(last["before"], last["before_low"], last["before_high"])
    after = _beside(last["difference"], last["low"], last["high"])
    st.markdown(
        f"At step {store.steps[-1]:,} the group's mean loss is **{before}** that of the rest and, "
        f"of the tokens that have controls, **{after}** that of their controls. What the features "
        "above explain is taken away from the second number; what was not named may still stand in "
        "it."
    )
    share = found.n_unmatched / n
    lost = f"Of the group's {n:,} tokens, {found.n_unmatched:,} ({share:.1%}) have no control."
    if not found.n_unmatched:
        lost = f"All of the group's {n:,} tokens have controls."
    if share > LOST:
        st.warning(
            f"{lost} The comparison is of the others alone: use fewer features or bins.",
            icon=":material/warning:",
        )
    else:
        st.caption(lost)


def _beside(difference: float, low: float, high: float) -> str:
    way = "below" if difference < 0 else "above"
    band = "no band" if pd.isna(low) else f"95 % band {low:+.3f} to {high:+.3f}"
    perhaps = ", so perhaps neither" if low <= 0 <= high else ""
    return f"{abs(difference):.3f} nats {way} ({band}{perhaps})"


def _curves(store: Store, found: Matched, axis: str, call: str) -> None:
    st.subheader("Mean loss")
    looks = {
        GROUP: ("the group", 0),
        CONTROL: ("its matched controls", 1),
        REST: ("the rest, unmatched", 6),
    }
    if found.n_unmatched:
        looks[KEPT] = ("of the group, tokens with controls", 7)
    frames = [
        _looking(found.trajectories[found.trajectories["token_group"] == name], *look)
        for name, look in looks.items()
    ]
    frame = spans.placed(store, pd.concat(frames, ignore_index=True), axis)
    chart = charts.curves(frame, axis, "mean_loss", "mean loss (nats)", height=320)
    figure.show(
        Figure(
            "Mean loss of a group and its controls",
            chart,
            _data(frame),
            caption="Controls count as often as the group has tokens like them. Bands are 95 % "
            "intervals over source documents, that of the controls with their weights.",
            call=f"{call}.trajectories",
        ),
        "fair_curves",
    )


def _difference(store: Store, found: Matched, axis: str, call: str) -> None:
    st.subheader("Difference: the group minus others")
    names = {"before": "difference", "before_low": "low", "before_high": "high"}
    before = found.difference[["checkpoint", *names]].rename(columns=names)
    after = found.difference[["checkpoint", *names.values()]]
    frames = [
        _looking(after, "minus its matched controls", 1),
        _looking(before, "minus the rest, unmatched", 6),
    ]
    frame = spans.placed(store, pd.concat(frames, ignore_index=True), axis)
    chart = charts.curves(frame, axis, "difference", "difference (nats)", nothing=0)
    figure.show(
        Figure(
            "Difference to the controls",
            chart,
            found.difference,
            caption="Below zero, the group is predicted better. Where the two lines come apart, "
            "the plain comparison was of the features, not of the group.",
            call=f"{call}.difference",
        ),
        "fair_difference",
    )


def _balance(found: Matched, call: str) -> None:
    st.subheader("What the matching changed")
    figure.show(
        Figure(
            "How alike group and controls are",
            charts.balance(found.balance),
            found.balance,
            caption="Of numbers, the difference of the means over the group's standard "
            "deviation: below 0.1 (dashed) is usually taken for balanced. Of texts and truth "
            "values, the share that would have to change (total variation distance).",
            call=f"{call}.balance",
        ),
        "balance",
    )
    numbers = found.balance.dropna(subset=["group_mean"])
    if len(numbers):
        st.dataframe(
            numbers[["feature", *_MEANS]],
            hide_index=True,
            column_config={
                name: st.column_config.NumberColumn(f"mean, {title}", format="%.2f")
                for name, title in _MEANS.items()
            },
        )


def _looking(frame: pd.DataFrame, title: str, look: int) -> pd.DataFrame:
    color, dash = charts.look(look)
    return frame.assign(token_group=title, color=color, dash=[dash] * len(frame))


def _data(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns=["color", "dash", "at"])

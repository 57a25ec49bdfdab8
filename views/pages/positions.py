"""The Positions page: does a longer context help, by how much, and since when?"""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from queries import QueryError, Store
from queries.charts import curves, heat_map, theme
from queries.engine.measures import Measure, measure_of
from queries.report.numbers import signed
from views import answers, state
from views.widgets import figure, group_panel, measure, runs, training_axis
from views.widgets.figure import Figure

BY_RUN = {
    "value": "",
    "less_mean": "minus the mean of its step",
    "difference": "difference from the open run",
}
"""What colours the maps of several runs; a value is named by its measure."""
COLOURS = ("value", "less_mean")
MINUS_MEAN = "minus the mean of its step"
LATE, EARLY, CONTEXT = 500, 50, 512
"""Olsson et al.'s positions, and the length of their context."""


def page(store: Store, others: Sequence[Store]) -> None:
    """Draw the page."""
    st.title("Loss by position and step")
    st.caption(
        "The more of a doc a model has seen, the better it can predict the rest. From which "
        "training step, from which position, and by how much?"
    )
    with st.container(border=True):
        where = group_panel.one(store, "Tokens", "where")
    if where is None:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        axis = training_axis.choose(store)
        measured = measure_of(measure.choose(store))
        chosen = runs.choose(
            store, others, "Compare with runs", "Stores of the same tokens, such as other seeds."
        )
    if chosen:
        _heat_maps(store, chosen, where, axis, measured)
    else:
        _heat_map(store, where, axis, measured)
    _slope(store, where, axis)
    _score(store, where, axis)


def _heat_map(store: Store, where: str, axis: str, measured: Measure) -> None:
    st.subheader(f"{measured.name.capitalize()} by position")
    colour = st.segmented_control(
        "Coloured by",
        COLOURS,
        default="value",
        format_func=lambda choice: measured.name if choice == "value" else MINUS_MEAN,
        required=True,
        key="colour",
        bind="query-params",
        persist_state="session",
        help="Minus the mean of its step: the effect of position, without what all tokens gain in "
        "training.",
    )
    found = answers.positions(store, where, measured.name)
    value = measured.mean if colour == "value" else "less_mean"
    figure.show(
        Figure(
            f"{measured.name.capitalize()} by position and step",
            heat_map.loss_by_position(
                training_axis.placed(store, found.frame, axis), axis, value, measured.name
            ),
            found.frame,
            found.script(),
            f"{measure.note(store, measured.name)} Two ranges per doubling of the position, each "
            f"with at least {found.frame['n_tokens'].min():,} tokens. Different positions hold "
            "different tokens "
            "(a doc's first words differ from its later ones), so not every difference between "
            "positions is an effect of the context.",
        ),
        "heat_map",
    )


def _heat_maps(
    store: Store, others: Sequence[Store], where: str, axis: str, measured: Measure
) -> None:
    """A heat map of each run, or of each other run minus the open one."""
    st.subheader(f"{measured.name.capitalize()} by position in {len(others) + 1} runs")
    kind = st.segmented_control(
        "Coloured by",
        BY_RUN,
        default="difference",
        format_func=lambda choice: measured.name if choice == "value" else BY_RUN[choice],
        required=True,
        key="by_run",
        bind="query-params",
        persist_state="session",
        help="Difference: each other run minus the open one, at the checkpoints that both have.",
    )
    lacking = [other for other in others if measured.name not in other.measures]
    stores = [store, *(other for other in others if other not in lacking)]
    names = runs.distinct_names([str(run.path) for run in [store, *others]])
    if lacking:
        st.info(
            f"No predictions, so no {measured.name}: "
            f"{', '.join(names[str(run.path)] for run in lacking)}."
        )
    own, *found = answers.positions_by_run(stores, where, measured.name)
    frames = dict(zip([names[str(run.path)] for run in stores], [own, *found], strict=True))
    title = names[str(store.path)]
    if kind == "difference":
        frames = {name: _minus(frames[name], own, measured) for name in list(frames)[1:]}
    for at, (name, frame) in enumerate(frames.items()):
        st.markdown(f"##### {f'{name} minus {title}' if kind == 'difference' else name}")
        if frame.empty:
            st.info("The two runs have no checkpoint in common.")
            continue
        run = stores[at + (kind == "difference")]
        _run_map(run, name, frame, axis, measured, (str(kind), title), at)


def _run_map(
    run: Store,
    name: str,
    frame: pd.DataFrame,
    axis: str,
    measured: Measure,
    shown: tuple[str, str],
    at: int,
) -> None:
    """One run's heat map; `shown` is the kind of value, and the name of the open run."""
    kind, minus = shown
    value = measured.mean if kind == "value" else kind
    caption = "Groups are evaluated in the open run."
    if kind == "difference":
        caption = f"Blue: lower in {name} than in {minus}; red: higher. {caption}"
    axis = axis if axis in state.axes(run) else theme.SYMLOG
    placed = training_axis.placed(run, frame, axis)
    figure.show(
        Figure(
            f"{measured.name.capitalize()} by position and step: {name}",
            heat_map.loss_by_position(placed, axis, value, measured.name, minus),
            frame,
            "",
            f"{measure.note(run, measured.name)} {caption}",
        ),
        f"heat_map_{at}",
    )


def _minus(frame: pd.DataFrame, own: pd.DataFrame, measured: Measure) -> pd.DataFrame:
    """With the column difference: a run minus the open one, where both have the checkpoint."""
    keys = ["first_position", "checkpoint"]
    both = frame.drop(columns="less_mean").merge(
        own[[*keys, measured.mean]].rename(columns={measured.mean: "open_run"}), on=keys
    )
    return both.assign(difference=both[measured.mean] - both["open_run"])


def _slope(store: Store, where: str, axis: str) -> None:
    st.subheader("Slope: change per doubling of the position")
    try:
        found = answers.position_slope(store, where=where)
    except QueryError as error:
        st.info(str(error))
        return
    figure.show(
        Figure(
            "Slope of the loss against the position",
            _curve(store, found.frame, "slope", "nats per doubling", axis),
            found.frame,
            found.script(),
            f"{_at_last_step(store, found.frame, 'slope', 'nats per doubling')} Below zero, later "
            "tokens are easier. This is one number for a curve that need not be straight: see the "
            "map above.",
        ),
        "slope",
    )


def _score(store: Store, where: str, axis: str) -> None:
    st.subheader("In-context score")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        late = _position_input(store, "Position", "late", LATE)
        early = _position_input(store, "minus position", "early", EARLY)
    try:
        found = answers.in_context_score(store, late=late, early=early, where=where)
    except QueryError as error:
        st.info(str(error))
        return
    figure.show(
        Figure(
            "In-context score",
            _curve(store, found.frame, "difference", "late minus early (nats)", axis),
            found.frame,
            found.script(),
            f"Mean loss at position {late:,} minus at position {early:,} (Olsson et al. 2022). "
            f"{_at_last_step(store, found.frame, 'difference', 'nats')} More negative means more "
            "in-context learning. Two positions have few tokens; the slope above uses all of them.",
        ),
        "score",
    )


def _position_input(store: Store, label: str, key: str, default: int) -> int:
    """A field; with a shorter context than Olsson et al.'s it starts at the same share of it."""
    longest = store.manifest.context_length
    position = st.number_input(
        label,
        1,
        longest,
        max(1, min(default, default * longest // CONTEXT)),
        key=key,
        bind="query-params",
        persist_state="session",
        width=180,
    )
    return int(position)


def _at_last_step(store: Store, found: pd.DataFrame, value: str, unit: str) -> str:
    last = found.iloc[-1]
    band = "no band"
    if pd.notna(last["low"]):
        band = f"95% band {signed(last['low'], 3)} to {signed(last['high'], 3)}"
    return f"At step {store.steps[-1]:,}: {signed(last[value], 3)} {unit} ({band})."


def _curve(store: Store, found: pd.DataFrame, value: str, title: str, axis: str) -> theme.Drawing:
    where = group_panel.chosen("where")
    (look,) = state.looks(where)
    frame = curves.as_group(found, where.title(store), *look)
    placed = training_axis.placed(store, frame, axis)
    return curves.relative(placed, value, title, 0, axis, height=250)

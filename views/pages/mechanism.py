"""The Mechanism page: probes of the attention heads, a group's curve, and which changes first."""

from typing import Any

import pandas as pd
import streamlit as st

from queries import Mechanism, QueryError, Store
from queries.analyses.mechanism import GAIN, GROUP, LOSSES, SCORE
from queries.charts import analyses, curves, theme
from queries.report.numbers import signed
from views import answers
from views.widgets import figure, group_panel, region, training_axis
from views.widgets.figure import Figure, script_of
from views.widgets.region import Region

TITLES = {LOSSES[0]: "first time", LOSSES[1]: "repeated", GAIN: "gain on repeats"}
SMALL = 0.02
"""A change of a score from 0 to 1 that is too small to date; a head has about 0.01 by chance."""
COMMAND = "python -m ingest run SOURCE --text TEXT --store DIR --probes"


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Mechanism")
    st.caption(
        "Heads that attend to what followed an earlier occurrence of the current token (induction "
        "heads) are thought to make copying possible. Do they appear when a group's loss falls, "
        "before, or after?"
    )
    probes = store.probes
    if probes is None or probes.empty:
        _without_probes(store)
        return
    with st.container(border=True):
        group = group_panel.one(store, "Group", "group_of_mechanism", "copyable")
        minus, baseline = _baseline(store)
        between = region.choose(store, "Window", "between_", (store.steps[0], store.steps[-1]))
    if group is None or (minus and baseline is None):
        return
    axis = training_axis.choose(store)
    try:
        found = answers.mechanism(store, group, baseline, between, len(probes))
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    lags = _lags(store, group, baseline, between, len(probes))
    _findings(lags)
    _curves(store, found, axis, minus)
    _lag_chart(found, lags)


def _baseline(store: Store) -> tuple[bool, str | None]:
    """Whether to subtract a baseline, and which one (None if it is invalid)."""
    minus = st.toggle(
        "Minus a baseline",
        True,
        key="minus",
        bind="query-params",
        persist_state="session",
        help="Removes what all tokens have in common.",
    )
    return minus, group_panel.one(store, "Baseline", "baseline", "not_copyable") if minus else None


def _lags(
    store: Store, group: str, baseline: str | None, between: Region, n_probes: int
) -> pd.DataFrame:
    """The leads and lags of the probes; none, and a message, with too few checkpoints."""
    try:
        return answers.lags(store, group, baseline, between, n_probes)
    except QueryError as error:
        st.info(str(error), icon=":material/info:")
        return pd.DataFrame()


def _without_probes(store: Store) -> None:
    with st.container(border=True):
        st.markdown("#### :material/troubleshoot: This store has no probes")
        st.markdown(
            "Probes look into the model itself: how each head attends on random text that is "
            "repeated (its prefix-matching score), and how much better the model predicts the "
            f"repetition. `{store.manifest.model}` was scored without them. Add `--probes` to the "
            "`python -m ingest run` command that made this store: nothing is scored again."
        )
        st.code(COMMAND, language="bash")
        st.button(
            "Look again",
            icon=":material/refresh:",
            on_click=answers.version_of.clear,
            key="look_again",
        )
    st.page_link(
        st.session_state["pages"]["positions"],
        icon=":material/grid_on:",
        label="Without probes: the effect of the position on the loss",
    )


# ---- which changes first


def _findings(lags: pd.DataFrame) -> None:
    for lead in lags.to_dict("records"):
        st.markdown(f"- **{_title(lead['probe'])}**: {_sentence(lead)}")
    st.caption(
        "A score says where a head attends, and a lead says that something came first in this one "
        "run: neither proves a cause. Two curves that each change once always have some lag. If a "
        "curve changes more than once, restrict the window to one change."
    )


def _sentence(lead: dict[Any, Any]) -> str:
    """Which changes first, by the half-way points."""
    if _is_small(lead["probe"], lead["probe_change"]):
        return f"it changes by less than {SMALL}, so the order cannot be determined."
    if pd.isna(lead["lead"]):
        return "it or the group never changes, so there is no order."
    places = (
        f"half-way at step {lead['half_way_probe']:,.0f}; the group is half-way at step "
        f"{lead['half_way_group']:,.0f}"
    )
    if pd.isna(lead["lead_low"]):
        return f"{places}, {_factor(-lead['lead'])}. The noise is too large for an interval."
    low, high = signed(lead["lead_low"]), signed(lead["lead_high"])
    interval = f"95% interval in log10 step: {low} to {high}"
    if lead["lead_low"] <= 0 <= lead["lead_high"]:
        return f"{places}. Noise alone could put either first ({interval})."
    way = "before" if lead["lead"] > 0 else "after"
    sentence = f"{places}. It changes {way} the group, {_factor(lead['lead'])} ({interval})."
    if lead["lag_low"] > 0 > lead["lead"] or lead["lag_high"] < 0 < lead["lead"]:
        sentence += " The increments say the opposite: check the curves before you trust either."
    return sentence


def _factor(lead: float) -> str:
    """A difference of log10 steps as a factor between the steps."""
    return f"{10 ** abs(lead):.2f} times {'earlier' if lead > 0 else 'later'}"


def _is_small(probe: str, change: float) -> bool:
    return probe.startswith(SCORE) and abs(change) < SMALL


def _lag_chart(found: Mechanism, lags: pd.DataFrame) -> None:
    if lags.empty:
        return
    small = [
        _is_small(probe, change)
        for probe, change in zip(lags["probe"], lags["probe_change"], strict=True)
    ]
    known = lags[~pd.Series(small, index=lags.index)].dropna(subset=["lead", "lag"], how="all")
    if known.empty:
        return
    st.subheader("Which changes first?")
    figure.show(
        Figure(
            "Leads and lags of the probes",
            analyses.leads(known.assign(probe=known["probe"].map(_title))),
            lags,
            script_of(found, "lags"),
            "By half-way points: how much later the group is half-way from its start to its most "
            "distant value. By increments: the shift at which the steps of both curves correlate "
            "best. Intervals show the effect of noise on the answer, not whether another run would "
            "give it.",
            found.language,
        ),
        "leads",
    )


# ---- curves


def _curves(store: Store, found: Mechanism, axis: str, minus: bool) -> None:
    scores = [name for name in found.curves["curve"].unique() if name.startswith(SCORE)]
    panels: tuple[tuple[str, list[str], str, str], ...] = (
        (
            "The group's loss minus the baseline's" if minus else "The group's loss",
            [GROUP],
            "nats",
            "Bands are 95% intervals over source documents.",
        ),
        (
            "Loss on random tokens",
            list(LOSSES),
            "nats",
            "Random tokens, followed by the same tokens again: only looking back can make the "
            "repetition easier. Mean over the tokens; there is no band, as the text is the same at "
            "every step.",
        ),
        (
            "Highest prefix-matching score",
            scores,
            "score (0 to 1)",
            "For the heads of each layer, the largest share of attention to the token that "
            "followed the previous occurrence of the current token. The highest of many heads is "
            "above 0 by chance, too.",
        ),
    )
    for at, (title, names, unit, caption) in enumerate(panels):
        data = found.curves[found.curves["curve"].isin(names)]
        if data.empty:
            continue
        st.subheader(title)
        frame = training_axis.placed(store, _as_groups(data, names, (0, 3, 1)[at]), axis)
        zero = 0 if at == 0 and minus else None
        chart = curves.relative(frame, "value", unit, zero, axis, height=240)
        shown = Figure(title, chart, data, script_of(found, "curves"), caption, found.language)
        figure.show(shown, f"mechanism_{at}")


def _as_groups(data: pd.DataFrame, names: list[str], first: int) -> pd.DataFrame:
    """A title and a look per curve; looks begin at `first`."""
    curve = data["curve"]
    return pd.concat(
        [
            curves.as_group(data[curve == name], _title(name), *theme.look(first + at))
            for at, name in enumerate(names)
        ],
        ignore_index=True,
    )


def _title(curve: str) -> str:
    if curve.startswith(SCORE):
        return f"prefix matching, layer {curve.removeprefix(SCORE)}"
    return TITLES.get(curve, "the group")

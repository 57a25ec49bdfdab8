"""The Evidence page: probes of the mechanism beside a group's curve, and which moves first."""

import pandas as pd
import streamlit as st

from queries import QueryError, Store, charts
from queries.analyses.mechanism import GAIN, GROUP, LOSSES, SCORE, Mechanism
from views import answers
from views.widgets import display, figure, group_panel, region
from views.widgets import display as spans
from views.widgets.figure import Figure, called

TITLES = {LOSSES[0]: "first time", LOSSES[1]: "repeated", GAIN: "gain on repeats"}
HARDLY = 0.02  # of a score from 0 to 1, of which a head has about 0.01 by chance
COMMAND = "python -m ingest run SOURCE --text TEXT --store DIR --probes"


def page(store: Store) -> None:
    """Draw the page."""
    st.title("Evidence for the mechanism")
    st.caption(
        "Heads that look back to where the token stood before (induction heads) are said to make "
        "copying possible. Do they appear when a group's loss falls, before, or after?"
    )
    probes = store.probes
    if probes is None or probes.empty:
        _nothing(store)
        return
    with st.container(border=True):
        group = group_panel.one(store, "Group", "evidence", "copyable")
        minus = st.toggle(
            "Minus a baseline",
            True,
            key="minus",
            bind="query-params",
            persist_state="session",
            help="Leaves out what all tokens have in common.",
        )
        usual = "not_copyable"
        baseline = group_panel.one(store, "Baseline", "baseline", usual) if minus else None
        between = region.choose(store, "Look at", "between_", (store.steps[0], store.steps[-1]))
    if group is None or (minus and baseline is None):
        return
    axis = display.training_axis(store)
    try:
        key = (*answers.key(store), len(probes))
        found = answers.mechanism(store, key, group, baseline, between)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    call = called(store, "mechanism", group, baseline, *between)
    try:
        leads = answers.leads(store, key, group, baseline, between)
    except QueryError as error:  # too few checkpoints to tell
        st.info(str(error), icon=":material/info:")
        leads = pd.DataFrame()
    _told(leads)
    _curves(store, found, axis, call, minus)
    if not leads.empty:
        _lags(leads, call)


def _nothing(store: Store) -> None:
    """What a store without probes gets in place of charts."""
    with st.container(border=True):
        st.markdown("#### :material/troubleshoot: This store has no probes")
        st.markdown(
            "Probes look into the model itself: how each head attends on random text that is "
            "repeated (its prefix-matching score), and how much better the model predicts the "
            f"repetition. `{store.manifest.model}` was scored without them. Add `--probes` to the "
            "`python -m ingest run` that made this store: nothing is scored again."
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
        label="Without probes: what the position does to the loss",
    )


def _told(leads: pd.DataFrame) -> None:
    for line in leads.itertuples():
        st.markdown(f"- {_sentence(line)}")
    st.caption(
        "A score says where a head looks, a lead that something came first in this one run: "
        "neither is a proof of cause. Two curves that each move once always lag by something; of a "
        "curve that moves more than once, look at the steps of one move alone."
    )


def _sentence(line: object) -> str:
    """Which moves first, by their half-way points."""
    values = line._asdict()  # type: ignore[attr-defined]
    name = f"**{_title(values['probe'])}**"
    lead, low, high = values["lead"], values["lead_low"], values["lead_high"]
    if _hardly_moves(values["probe"], values["probe_change"]):
        return f"{name}: it hardly moves (by less than {HARDLY}), so which is first says nothing."
    if pd.isna(lead):
        return f"{name}: it, or the group, never moves, so neither is first."
    places = (
        f"half-way at step {values['half_way_probe']:,.0f}, the group at step "
        f"{values['half_way_group']:,.0f}"
    )
    by = f"{abs(lead):.2f} decades of the step"
    if pd.isna(low):
        return f"{name}: {places}, {by} apart; noise is too large for an interval."
    interval = f"95 % interval {low:+.2f} to {high:+.2f}"
    if low <= 0 <= high:
        return f"{name}: {places}; noise alone could make either the first ({interval} decades)."
    way = "before" if lead > 0 else "after"
    told = f"{name}: {places}, so it moves {way} the group, by {by} ({interval})."
    if values["lag_low"] > 0 > lead or values["lag_high"] < 0 < lead:
        told += " The increments say the opposite: look at the curves before you trust either."
    return told


def _hardly_moves(probe: str, change: float) -> bool:
    return probe.startswith(SCORE) and abs(change) < HARDLY


def _curves(store: Store, found: Mechanism, axis: str, call: str, minus: bool) -> None:
    title = "the group's loss minus the baseline's" if minus else "the group's loss"
    panels = {
        f"{title[0].upper()}{title[1:]}": ([GROUP], "nats", "Bands are 95 % intervals over source "
                                           "documents."),
        "Loss on random tokens": (list(LOSSES), "nats", "Random tokens, then the same ones again: "
                                  "only looking back can make the repetition easier. Mean over "
                                  "its tokens; no band, as the text is the same at every step."),
        "Highest prefix-matching score": (
            [c for c in found.curves["curve"].unique() if c.startswith(SCORE)], "score (0 to 1)",
            "Of each layer's heads, the largest share of attention that goes to the token after "
            "the last occurrence of the present one. The highest of many heads is above 0 by "
            "chance, too."),
    }  # fmt: skip
    for at, (heading, (names, unit, caption)) in enumerate(panels.items()):
        data = found.curves[found.curves["curve"].isin(names)]
        if data.empty:
            continue
        st.subheader(heading)
        frame = _looking(spans.placed(store, data, axis), names, 3 * (at == 1) + 1 * (at == 2))
        chart = charts.curves(
            frame, axis, "value", unit, height=240, nothing=0 if at == 0 and minus else None
        )
        figure.show(
            Figure(heading, chart, data, caption=caption, call=f"{call}.curves"), f"evidence_{at}"
        )


def _looking(frame: pd.DataFrame, names: list[str], first: int) -> pd.DataFrame:
    looks = {name: charts.look(first + at) for at, name in enumerate(names)}
    return frame.assign(
        token_group=frame["curve"].map(_title),
        color=[looks[name][0] for name in frame["curve"]],
        dash=[looks[name][1] for name in frame["curve"]],
    )


def _lags(leads: pd.DataFrame, call: str) -> None:
    still = leads.apply(lambda x: _hardly_moves(x["probe"], x["probe_change"]), axis=1)
    known = leads[~still].dropna(subset=["lead", "lag"], how="all")
    if known.empty:
        return
    st.subheader("Which moves first?")
    chart = charts.leads(known.assign(probe=known["probe"].map(_title)))
    figure.show(
        Figure(
            "Leads and lags of the probes",
            chart,
            leads,
            call=f"{call}.lags",
            caption="By half-way points: how much later the group is half-way from its start "
            "to its farthest value. By increments: the shift at which both curves' steps "
            "correlate best. Intervals say how far noise moves the answer, not whether another "
            "run would give it.",
        ),
        "leads",
    )


def _title(curve: str) -> str:
    if curve.startswith(SCORE):
        return f"prefix matching, layer {curve.removeprefix(SCORE)}"
    return TITLES.get(curve, "the group")

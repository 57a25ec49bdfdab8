"""The Mechanism page: probes of the attention heads, a group's curve, and which changes first."""

from typing import Any

import pandas as pd
import streamlit as st

from queries import Mechanism, QueryError, Store
from queries.analyses.mechanism import GAIN, GROUP, LOSSES, SCORE
from queries.charts import analyses, curves
from views import answers, state
from views.state import Region
from views.widgets import figure, group_panel, region, training_axis
from views.widgets.figure import Figure, script_of

TITLES = {LOSSES[0]: "first time", LOSSES[1]: "repeated", GAIN: "gain on repeats"}
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
        group = group_panel.one(store, "Group", "focus")
        minus, baseline = _baseline(store)
        if group is None or (minus and baseline is None):
            return
        between = _window(store, group, baseline)
    axis = training_axis.choose(store)
    try:
        found = answers.mechanism(store, group, baseline, between, len(probes))
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    leads, variants = answers.leads(store, group, baseline, between, len(probes))
    _findings(leads)
    _curves(store, found, axis, minus)
    _lead_chart(found, variants)


def _window(store: Store, group: str, baseline: str | None) -> Region:
    """The region of all pages; until one is chosen, or if asked, the steps around the event."""
    around = answers.event_window(store, group, baseline)
    between = region.choose(store, "Window", "region", around)
    if between != around:
        st.button(
            f"Use the window around the group's fastest fall, steps {around[0]:,} to {around[1]:,}",
            icon=":material/center_focus_strong:",
            key="around_event",
            on_click=state.change,
            kwargs={"region": around},
        )
    return between


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
    return minus, group_panel.one(store, "Baseline", "baseline") if minus else None


def _without_probes(store: Store) -> None:
    with st.container(border=True):
        st.markdown("#### :material/troubleshoot: This store has no probes")
        st.markdown(
            "Probes look into the model itself: how each head attends on random text that is "
            "repeated (its prefix-matching score), and how much better the model predicts the "
            f"repetition. {_why_none(store)}"
        )
        if "probes" not in store.manifest.unavailable:
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


def _why_none(store: Store) -> str:
    if why := store.manifest.unavailable.get("probes"):
        return f"They need the model, but {why}."
    return (
        f"`{store.manifest.model}` was scored without them. Add `--probes` to the "
        "`python -m ingest run` command that made this store: nothing is scored again."
    )


# ---- which changes first


def _findings(leads: pd.DataFrame) -> None:
    for lead in leads.to_dict("records"):
        st.markdown(f"- **{_title(lead['probe'])}**: {sentence_of(lead)}")
    st.caption(
        "A score says where a head looks, and a lead says that something came first in this one "
        "run: neither proves a cause. If a curve changes more than once, restrict the window to "
        "one change."
    )


def sentence_of(lead: dict[Any, Any]) -> str:
    """Which changes first, with the half-way points if there are any."""
    reason = lead["verdict"].removeprefix("cannot tell: ")
    if pd.isna(lead["lead"]):
        return f"cannot tell which changes first: {reason}."
    places = (
        f"half-way at step {lead['half_way_probe']:,.0f}, the group at "
        f"{lead['half_way_group']:,.0f}: {times(lead['lead'])}"
    )
    interval = f"95% intervals reach from {_interval(lead['high'], lead['low'])}"
    if reason != lead["verdict"]:
        return f"{places}, but cannot tell which changes first: {reason} ({interval})."
    first = "it changes before" if lead["lead"] > 0 else "it changes after"
    return f"{places}, so {first} the group ({interval})."


def times(lead: float) -> str:
    """A lead in log10 steps in words: "1.06 times later" than the group, or earlier."""
    return f"{10 ** abs(lead):.2f} times {'earlier' if lead > 0 else 'later'}"


def _interval(one: float, other: float) -> str:
    """Both ends in words: 1.01 to 1.08 times later, or 1.02 times earlier to 1.11 times later."""
    if one * other > 0:
        near, far = sorted((one, other), key=abs)
        return f"{10 ** abs(near):.2f} to {times(far)}"
    return f"{times(one)} to {times(other)}"


def _lead_chart(found: Mechanism, variants: pd.DataFrame) -> None:
    if variants.empty:
        return
    st.subheader("Which changes first?")
    figure.show(
        Figure(
            "Leads of the probes",
            analyses.leads(variants.assign(probe=variants["probe"].map(_title))),
            variants,
            script_of(found, "variants"),
            "How many times later the probe is half-way than the group, measured in five ways: "
            "where the curve crosses the middle of its levels before and after, and where a "
            "logistic step fits best, on a level or a line, in the whole window and in its inner "
            "half. A probe or the group leads only if all five intervals agree. They show the "
            "effect of noise on the answer, not whether another run would give it.",
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
    own, *others = state.looks(group_panel.chosen("focus"), len(LOSSES) + len(scores))
    looks = dict(zip([GROUP, *LOSSES, *scores], [own, *others], strict=True))
    for at, (title, names, unit, caption) in enumerate(panels):
        data = found.curves[found.curves["curve"].isin(names)]
        if data.empty:
            continue
        st.subheader(title)
        titles = {name: _title(name) for name in names}
        if at == 0:
            titles = {GROUP: group_panel.chosen("focus").title(store)}
        frame = training_axis.placed(store, _as_groups(data, titles, looks), axis)
        zero = 0 if at == 0 and minus else None
        chart = curves.relative(frame, "value", unit, zero, axis, height=240)
        shown = Figure(title, chart, data, script_of(found, "curves"), caption, found.language)
        figure.show(shown, f"mechanism_{at}")


def _as_groups(
    data: pd.DataFrame, titles: dict[str, str], looks: dict[str, state.Look]
) -> pd.DataFrame:
    """A title and a look per curve."""
    curve = data["curve"]
    return pd.concat(
        [
            curves.as_group(data[curve == name], title, *looks[name])
            for name, title in titles.items()
        ],
        ignore_index=True,
    )


def _title(curve: str) -> str:
    if curve.startswith(SCORE):
        return f"prefix matching, layer {curve.removeprefix(SCORE)}"
    return TITLES.get(curve, "the group")

"""Kinds found by clustering: their mean curves, how sure they are, and who is in them."""

import pandas as pd
import streamlit as st

from queries import Kinds, QueryError, Store
from queries.kinds import TIE
from views import analysis_answers, answers, charts, chosen, figure, keep_kinds, spans
from views.called import called
from views.chosen import Chosen
from views.figure import Figure

APART, PARTLY = 0.2, 0.1
"""How much more stable than a cloud: kinds that are set apart, and partly so."""


def show(store: Store, where: str, k: int | None, compared: str, axis: str) -> None:
    """A switch; the kinds once they are asked for, as that takes seconds."""
    if not st.toggle("Find the kinds: every token's curve is compared, which takes seconds",
                     key="find_kinds", bind="query-params", persist_state="session"):  # fmt: skip
        st.caption(
            "You get each kind's mean curve, how many tokens it has, its most typical tokens in "
            "their text, the groups that have more of it than others, and how sure it is that "
            "other text would give the same kinds."
        )
        return
    try:
        key = analysis_answers.key_of(store, where)
        found = analysis_answers.kinds(store, key, where, k, compared)
    except QueryError as error:
        st.error(str(error), icon=":material/error:")
        return
    call = called(store, "kinds", where, k, compared)
    titles = {
        int(kind.kind): f"Kind {kind.kind} ({kind.share:.0%})" for kind in found.kinds.itertuples()
    }
    _how_sure(found, call)
    _means(store, found, titles, axis, call)
    _sizes(found)
    _members(store, found, titles)
    keep_kinds.offer(
        store, found.members["row"], found.members["kind"],
        {kind: f"Kind {kind} by {compared}" for kind in titles},
        f"{len(titles)} kinds of trajectories by {compared} of {where}, to step {store.steps[-1]}",
        "kind",
    )  # fmt: skip


def _how_sure(found: Kinds, call: str) -> None:
    n = len(found.kinds)
    if found.stability.empty:
        st.markdown(
            f"**{n} kinds**, as asked. How stable they are was not tried: choose the number that "
            "is stable to see whether other text would give the same kinds."
        )
        return
    line = found.stability.set_index("k").loc[n]
    told = _told(n, float(line["stability"]), float(line["cloud_stability"]))
    st.markdown(told)
    with st.expander("How the number was chosen"):
        figure.show(
            Figure("Stability of each number of kinds", charts.stability(found.stability, n),
                   found.stability,
                   caption="The source documents are halved, each half's tokens are sorted, and "
                   "further tokens put into the kinds of either half: 1 where both agree, 0 by "
                   f"chance. Taken is the largest number within {TIE} of the best.",
                   call=f"{call}.stability"),
            "stability",
        )  # fmt: skip


def _told(n: int, stability: float, cloud: float) -> str:
    more = stability - cloud
    if more > APART:
        verdict = "far less: there is more to these kinds than the cutting up of one cloud."
    elif more > PARTLY:
        verdict = "somewhat less: some are set apart, others are regions of one cloud."
    else:
        verdict = ("hardly less: these are regions of one cloud, good to describe it by, not kinds "
                   "that are set apart.")  # fmt: skip
    return (
        f"**{n} kinds.** Sorted again by other documents, tokens come together with an agreement "
        f"of **{stability:.2f}** (1: the same kinds, 0: chance). Points drawn from a cloud without "
        f"any kinds reach {cloud:.2f}, {verdict}"
    )


def _means(store: Store, found: Kinds, titles: dict[int, str], axis: str, call: str) -> None:
    frames = []
    for kind, frame in found.means.groupby("kind", sort=True):
        color, dash = charts.look(int(kind) - 1)
        frames.append(frame.assign(token_group=titles[int(kind)], color=color,
                                   dash=[dash] * len(frame)))  # fmt: skip
    frame = spans.placed(store, pd.concat(frames, ignore_index=True), axis)
    data = frame.drop(columns=["color", "dash", "at", "token_group"])
    st.subheader("Mean loss of each kind")
    chart = charts.curves(frame, axis, "mean_loss", "mean loss (nats)", height=360)
    figure.show(
        Figure("Mean loss of each kind", chart, data, call=f"{call}.means",
               caption="The share of the tokens in brackets. Bands are 95 % intervals over source "
               "documents for tokens that were sorted by these very losses: they say where the "
               "mean lies, not whether kinds differ."),
        "kinds_losses",
    )  # fmt: skip
    st.subheader("Mean shape of each kind")
    plain = frame.assign(low=float("nan"), high=float("nan"))
    chart = charts.curves(plain, axis, "shape", "standard deviations", height=260, nothing=0,
                          bands=False)  # fmt: skip
    figure.show(
        Figure("Mean shape of each kind", chart, data, call=f"{call}.means",
               caption="Each token's loss less its own mean over training, in its own standard "
               "deviations: when it fell, whatever its level."),
        "kinds_shapes",
    )  # fmt: skip


def _sizes(found: Kinds) -> None:
    loss = {
        name: st.column_config.NumberColumn(f"{name.removesuffix('_loss')} loss (nats)",
                                            format="%.2f")
        for name in ("first_loss", "lowest_loss", "last_loss")
    }  # fmt: skip
    st.dataframe(
        found.kinds, hide_index=True, key="kinds_table",
        column_config={
            "n_tokens": st.column_config.NumberColumn("tokens", format="localized"),
            "share": st.column_config.ProgressColumn("share", format="percent", min_value=0,
                                                     max_value=1),
            **loss,
        },
    )  # fmt: skip
    st.caption(
        "Losses of the mean curve at the first checkpoint, where it is lowest, and at the last one."
    )


def _members(store: Store, found: Kinds, titles: dict[int, str]) -> None:
    st.subheader("Who is in them")
    for tab, (kind, _) in zip(st.tabs(list(titles.values())), titles.items(), strict=True):
        with tab:
            _typical(store, found.typical[found.typical["kind"] == kind], kind)
            _groups(found.features[found.features["kind"] == kind], kind)


def _typical(store: Store, typical: pd.DataFrame, kind: int) -> None:
    rows = tuple(int(row) for row in typical["row"])
    context = answers.context(store, answers.key(store), rows)
    tokens = typical[["row", "distance"]].rename(columns={"distance": "change"})
    lines = tokens.merge(context, on="row")
    st.dataframe(
        charts.in_context(lines).drop(columns="row"), hide_index=True, key=f"typical_{kind}",
        column_config={
            "change": st.column_config.NumberColumn("from the centre", format="%.2f"),
            "text": st.column_config.TextColumn("most typical tokens, ⟦marked⟧ in their text",
                                                width="large"),
        },
    )  # fmt: skip


def _groups(lines: pd.DataFrame, kind: int) -> None:
    if lines.empty:
        st.caption("No group has clearly more or fewer of its tokens in this kind than others.")
        return
    lines = lines.reset_index(drop=True)
    event = st.dataframe(
        lines[["feature", "token_group", "ratio", "share", "rest_share", "q_value", "n_tokens"]],
        hide_index=True, on_select="rerun", selection_mode="single-row", key=f"profile_{kind}",
        column_config={
            "token_group": st.column_config.TextColumn("group", width="medium"),
            "ratio": st.column_config.NumberColumn("times the others'", format="%.2f"),
            "share": st.column_config.NumberColumn("of its tokens", format="percent"),
            "rest_share": st.column_config.NumberColumn("of all others", format="percent"),
            "q_value": st.column_config.NumberColumn("q", format="%.2g"),
            "n_tokens": st.column_config.NumberColumn("tokens", format="localized"),
        },
    )  # fmt: skip
    st.caption(
        "Groups with more, then with fewer of their tokens in this kind than others have. q: the "
        "share of false lines to expect up to this one. Groups overlap. Tick a line to take the "
        "group to Trajectories."
    )
    for at in event["selection"]["rows"][:1]:
        line = lines.iloc[at]
        chosen.offer(Chosen(str(line["clause"]), name=str(line["token_group"])))

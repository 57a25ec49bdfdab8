"""The story of a spike: what rose, what recovered, in which tokens, and how sure that is.

story = spike_story(store, spikes(store)[0])
print(story.paragraph)
open("spike.html", "w").write(to_html(story.report()))
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from queries.analyses.events import Spike
from queries.analyses.explain import FALSE_RATE, explain
from queries.analyses.overlap import overlap
from queries.catalog import sql_scripts
from queries.errors import QueryError
from queries.report import sentences
from queries.report.build import store_facts
from queries.report.change_sections import TOP, Zoomed, zoomed
from queries.report.model import MEANS, Exhibit, GroupSize, Report, Section
from queries.report.numbers import count, listed, number, plain, signed, span, step
from queries.stats.time_series.events import p_text
from queries.store import Store

NAMED = 3
"""Groups that the paragraph names."""
LEADING = 12
"""Groups in the table."""
KINDS = {"spike": "spike", "hump": "hump", "largest_rise": "largest rise", "region": "region"}
_GROUP_COLUMNS = [
    "kind",
    "token_group",
    "difference",
    "mean_change",
    "rest_change",
    "q_value",
    "n_tokens",
    "n_docs",
]
_OVERLAP_COLUMNS = [
    "set_in_first",
    "set_in_second",
    "shared",
    "expected_placebo",
    "p_placebo",
    "needed",
    "n_placebos",
    "expected",
    "verdict",
]


@dataclass(frozen=True)
class SpikeStory:
    """Everything about one spike, in the order in which the page shows it."""

    spike: Spike
    group: GroupSize
    """The tokens that are looked at."""
    sentences: tuple[str, ...]
    """The story; every number in it was computed from this store."""
    course: Exhibit
    """The mean loss around the spike."""
    rise: Zoomed
    recovery: Zoomed | None
    groups: pd.DataFrame
    """`Explanation.frame` of the rise: which groups changed differently. May be empty."""
    overlap: pd.DataFrame
    """`Overlap.frame` of the rise and the recovery. Empty without a recovery."""
    facts: pd.DataFrame
    """fact, value: of the store."""

    @property
    def title(self) -> str:
        """Spike in steps 1,380 to 2,300"""
        end = (self.spike.recovery or self.spike.rise)[1]
        return f"{KINDS[self.spike.kind].capitalize()} in {span(self.spike.rise[0], end)}"

    @property
    def paragraph(self) -> str:
        """The sentences in one paragraph."""
        return " ".join(self.sentences)

    def report(self) -> Report:
        """The story as a page, for `to_html`."""
        lead = "What happened in one spike of the loss: its rise, its recovery, and their tokens."
        sections = [_summary(self), _part("rise", "The rise", self.spike.rise, self.rise)]
        if self.recovery and self.spike.recovery:
            sections.append(_part("recovery", "The recovery", self.spike.recovery, self.recovery))
        sections += [_groups_section(self), _overlap_section(self)]
        missing = tuple(text for section in sections for text in section.missing)
        return Report(self.facts, tuple(sections), (*missing, _CAUSES), self.title, lead)


_CAUSES = (
    "Causes: groups overlap, so a group that changed differently says where the change is seen, "
    "not why."
)
_NO_RECOVERY = (
    "There is no recovery to compare with: after the peak, no two checkpoints are left before the "
    "loss is back or the run ends."
)


def spike_story(store: Store, spike: Spike, where: str = "true", k: int = TOP) -> SpikeStory:
    """The story of `spike` for the tokens of the group `where`, with lists of `k` tokens.

    Groups are compared over all tokens of the store. Raises GroupError for the group, QueryError
    for a region that is not in the store or an invalid `k`.
    """
    rise = zoomed(store, spike.rise, spike.recovery, ("2", "3"), where, k)
    recovery, shared = None, pd.DataFrame()
    if spike.recovery:
        recovery = zoomed(store, spike.recovery, spike.rise, ("4", "5"), where, k)
        shared = overlap(store, spike.rise, spike.recovery, where=where, k=k).frame
    groups = _groups(store, spike)
    rows = store.nonempty_members(where)
    group = GroupSize(
        "all tokens" if len(rows) == store.manifest.n_tokens else "the selected tokens",
        store.groups.clause(where),
        len(rows),
        len(np.unique(store.source_of_row[rows])),
    )
    mean = store.trajectory(rows)
    worse, _, usual, *_ = rise.seen
    told = (
        _course(spike, mean, group),
        worse,
        usual,
        _explained(groups),
        *_shared(spike, shared),
    )
    exhibit = _exhibit(store, spike, mean, where)
    return SpikeStory(
        spike, group, told, exhibit, rise, recovery, groups, shared, store_facts(store)
    )


# ---- the sentences


def _course(spike: Spike, mean: pd.DataFrame, group: GroupSize) -> str:
    """By how much the loss rises and falls, and whether noise could do that."""
    loss = mean.set_index("checkpoint")["mean_loss"]
    first, peak = (float(loss[end]) for end in spike.rise)
    way = "rises" if peak > first else "falls"
    text = (
        f"From step {step(spike.rise[0])} to {step(spike.rise[1])} the mean loss of {group.name} "
        f"{way} by {plain(peak - first)} nats, from {number(first)} to {number(peak)}"
    )
    if spike.recovery:
        after = float(loss[spike.recovery[1]])
        text += f"; at step {step(spike.recovery[1])} it is {number(after)}"
    return f"{text}. {_certainty(spike)}"


def _certainty(spike: Spike) -> str:
    if spike.kind == "region":
        return "The region was chosen by hand, so it is not tested whether noise could do this."
    if np.isnan(spike.p_value):
        return (
            "No rise of the mean loss is larger than the noise, or there are too few checkpoints "
            "to know whether this one is more than noise."
        )
    return (
        f"Noise alone makes such a {KINDS[spike.kind]} of the mean loss of all tokens with "
        f"{p_text(spike.p_value)}."
    )


def _explained(groups: pd.DataFrame) -> str:
    """Which groups changed differently in the rise, or how large a difference could be missed."""
    tested = groups[groups["verdict"] == ""] if len(groups) else groups
    if tested.empty:
        return "Which groups explain it is unknown: no group could be tested."
    found = tested[tested["q_value"] < FALSE_RATE]
    if found.empty:
        return (
            f"Which groups explain it is unknown: none of {count(len(tested), 'tested group')} "
            f"differs with q below {FALSE_RATE}, and differences below "
            f"{number(float(tested['detectable'].median()))} nats (median over groups) would "
            "usually not be detected."
        )
    named = [
        f"{name} ({signed(float(difference))} nats compared with the rest)"
        for name, difference in found[["token_group", "difference"]].head(NAMED).to_numpy()
    ]
    others = f", most significant first: {listed(named)}"
    verb = "changes" if len(found) == 1 else "change"
    return (
        f"Of {count(len(tested), 'tested group')}, {len(found):,} {verb} differently in the rise "
        f"(false discovery rate {FALSE_RATE:.0%}){others}."
    )


def _shared(spike: Spike, shared: pd.DataFrame) -> list[str]:
    if spike.recovery is None:
        return [_NO_RECOVERY]
    return sentences.overlap(shared, spike.rise, spike.recovery)


def _groups(store: Store, spike: Spike) -> pd.DataFrame:
    try:
        frame = explain(store, spike.rise).frame
    except QueryError:  # no group is large enough
        return pd.DataFrame()
    titles = {name: group.title for name, group in store.named_groups.items()}
    return frame.assign(token_group=frame["token_group"].replace(titles))


# ---- the page


def _exhibit(store: Store, spike: Spike, mean: pd.DataFrame, where: str) -> Exhibit:
    """The mean loss from one width before the rise to one width after the recovery."""
    first, last = spike.rise[0], (spike.recovery or spike.rise)[1]
    width = last - first
    shown = mean[mean["checkpoint"].between(first - width, last + width)]
    return Exhibit(
        "1",
        f"Mean loss around {span(first, last)}",
        MEANS,
        shown.reset_index(drop=True).assign(token_group="mean loss"),
        sql_scripts.trajectories(store, {"mean loss": where}),
        f"The rise, {span(*spike.rise)}, is shaded. Band: 95% for each checkpoint separately, with "
        "source documents as the sampled unit.",
        spike.rise,
    )


def _summary(story: SpikeStory) -> Section:
    return Section(
        "story",
        "In short",
        "What happened?",
        (story.group,),
        (story.course,),
        story.sentences,
    )


def _part(key: str, title: str, region: tuple[int, int], found: Zoomed) -> Section:
    return Section(
        key,
        f"{title}: {span(*region)}",
        "Which tokens get worse, and which get better?",
        exhibits=found.exhibits,
        seen=found.seen,
        tables=found.tables,
        numbers={"first": region[0], "last": region[1], **found.numbers},
    )


def _groups_section(story: SpikeStory) -> Section:
    shown = story.groups.head(LEADING)
    table = shown[_GROUP_COLUMNS] if len(shown) else shown
    return Section(
        "groups",
        "Groups that changed differently in the rise",
        "Do some kinds of tokens explain the rise?",
        seen=(_explained(story.groups),),
        tables={f"The {len(shown)} most significant groups": table},
    )


def _overlap_section(story: SpikeStory) -> Section:
    seen = tuple(_shared(story.spike, story.overlap))
    table = story.overlap[_OVERLAP_COLUMNS] if len(story.overlap) else story.overlap
    return Section(
        "overlap",
        "Overlap of the rise and the recovery",
        "Do the same tokens change back, more than elsewhere in the run?",
        seen=seen,
        missing=() if story.spike.recovery else (_NO_RECOVERY,),
        tables={"Shared tokens, and what placebo regions share": table},
    )

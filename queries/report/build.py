"""Build the report of a store: every section, from the same functions that notebooks call."""

import pandas as pd

from queries import behind
from queries.event_list import Event
from queries.report import change_sections, facts, pair_sections, pictures, region
from queries.report.nouns import MEANS, Exhibit, Report, Section
from queries.report.pairs import reader
from queries.report.region import Chosen
from queries.report.words import chance, known, number, plain, span, step
from queries.store import Store

_EVENTS = {"spike": "Spike", "hump": "Hump", "fastest_fall": "Fastest fall"}
TABLE = ["kind", "first", "peak", "last", "size", "noise_ratio", "p_value"]


def report(store: Store) -> Report:
    """The report's ten figures on this store, with what is seen in each.

    The spike of Figures 7 to 10 is the largest that `queries.events` finds; without one, the
    fastest fall or the largest rise is taken, and the report says so. What a store is too small for
    gets a sentence. Raises StoreError where the index cannot be built.
    """
    chosen = region.choose(store)
    sections = [
        _whole(store, chosen),
        *pair_sections.sections(reader(store)),
        *change_sections.sections(store, chosen),
    ]
    missing = [told for section in sections for told in section.missing]
    return Report(facts.of(store), tuple(sections), (*missing, *facts.missing(store)))


def _whole(store: Store, chosen: Chosen | None) -> Section:
    frame = store.trajectories({"all tokens": "true"})
    shown = chosen.region if chosen else None
    note = "The band: 95 % for each checkpoint by itself, source documents as the sampled unit."
    if shown:
        note += f" Shaded: {span(*shown)}, which Figures 7 and 8 zoom into."
    exhibit = Exhibit(
        "0", "Mean loss of all tokens", MEANS, frame, pictures.whole(frame, shown),
        behind.trajectories_sql(store, {"all tokens": "true"}), note, shown,
    )  # fmt: skip
    found = chosen.found if chosen else None
    tables = {} if found is None or found.empty else {"Events of the mean loss": found[TABLE]}
    seen = [_course(frame), *([] if found is None else _events(found))]
    few = f"Events of the mean loss: {len(store.steps):,} checkpoints cannot tell them from noise."
    return Section(
        "whole", "The whole text", "How does the mean loss of all tokens fall?",
        (change_sections.all_tokens(store),), (exhibit,), tuple(seen),
        missing=(few,) if found is None else (), tables=tables,
    )  # fmt: skip


def _course(frame: pd.DataFrame) -> str:
    first, last, lowest = (
        frame.iloc[0],
        frame.iloc[-1],
        frame.iloc[int(frame["mean_loss"].argmin())],
    )
    told = (
        f"The mean loss is {number(first['mean_loss'])} nats at step {step(first['checkpoint'])} "
        f"and {number(last['mean_loss'])} at step {step(last['checkpoint'])}"
    )
    if known(last["low"], last["high"]):
        told += f" (95 % band {number(last['low'])} to {number(last['high'])})"
    if lowest["checkpoint"] != last["checkpoint"]:
        told += (
            f"; its lowest is {number(lowest['mean_loss'])}, at step {step(lowest['checkpoint'])}"
        )
    return told + "."


def _events(found: pd.DataFrame) -> list[str]:
    lines = found[found["kind"].isin(list(_EVENTS))]
    if lines.empty:
        return ["No rise, and no fastest fall, stands out from the noise."]
    return [
        f"{_EVENTS[e.kind]}: {span(e.first, e.last)}, {plain(e.size)} nats ({chance(e.p_value)} "
        "under noise alone)."
        for e in (Event(*line) for line in lines.itertuples(index=False, name=None))
    ]

"""Build the report of a store from the functions of the Python API."""

from collections.abc import Iterable, Iterator

import pandas as pd

from queries.catalog import sql_scripts
from queries.report import change_sections, pair_sections
from queries.report import change_sections as region
from queries.report.change_sections import SelectedRegion
from queries.report.model import MEANS, Exhibit, Report, Section
from queries.report.numbers import count, known, number, plain, span, step
from queries.report.pairs import reader
from queries.stats.time_series.events import DESCRIPTION, EVENT, Event, p_text
from queries.store import Store
from store.manifest import FORMAT_VERSION


def store_facts(store: Store) -> pd.DataFrame:
    """fact, value: model, text, checkpoints, convention, fingerprint."""
    about, tried = store.manifest, store.checkpoints
    failed = int(tried["error"].notna().sum()) if "error" in tried else 0
    steps = store.steps
    facts = {
        "Model": about.model,
        "Text": about.text + (f", commit {about.text_commit}" if about.text_commit else ""),
        "Size": f"{count(about.n_tokens, 'token')} in {count(about.n_docs, 'doc')} of "
        f"{count(len(store.sources), 'source document')}",
        "Checkpoints": (
            f"1, step {steps[0]:,}"
            if len(steps) == 1
            else f"{len(steps):,}, {span(steps[0], steps[-1])}"
        )
        + (f"; {failed:,} more failed" if failed else ""),
        "Docs": f"windows of at most {about.context_length:,} tokens"
        + (
            f", a stride of {stride:,}"
            if (stride := about.options.get("stride"))
            else ", no overlap"
        )
        + (f", {about.bos} prepended" if about.bos else ", no BOS token"),
        "Position": "the number of tokens that the model saw before the predicted one, the BOS "
        "included",
        "Loss": f"-ln p of the token itself, in nats; scored in {about.dtype}, attention "
        f"{about.attention}",
        "Tokenizer": f"{about.tokenizer}, sha256 {about.tokenizer_sha256[:16]}",
        "Token fingerprint": about.token_fingerprint,
        "Made with": ", ".join(f"{k} {v}" for k, v in about.versions.items()) or "not recorded",
        "Store format": str(FORMAT_VERSION),
    }
    return pd.DataFrame({"fact": list(facts), "value": list(facts.values())})


def missing(store: Store) -> list[str]:
    """Limits of the store as a whole."""
    found = [
        "Other seeds and other texts: this is one run, scored on one text. Bands describe the "
        "variation between documents of this kind, not between training runs.",
        "Causes: groups differ in more ways than their names say, such as rarity and position. "
        "`python -m queries matched` compares a group with tokens that match it.",
    ]
    if store.probes is None:
        found.append(
            "Induction heads: losses say what was learned, not by which mechanism. This store has "
            "no probes (`python -m ingest run --probes` adds them)."
        )
    else:
        found.append(
            "Induction heads: no figure here looks inside the model. This store has probes: "
            "`python -m queries mechanism` compares them with the losses."
        )
    if len(store.sources) < 10:
        found.append(
            f"Reliable bands: the text has {count(len(store.sources), 'source document')}; ten are "
            "needed."
        )
    return [*found, *_irregular(store)]


def _irregular(store: Store) -> list[str]:
    tried = store.checkpoints
    found = []
    failed = tried[tried["error"].notna()] if "error" in tried else tried[:0]
    if len(failed):
        found.append(
            f"{count(len(failed), 'checkpoint')} that failed; their values are not filled in."
        )
    same = tried[tried["duplicate_of"].notna()] if "duplicate_of" in tried else tried[:0]
    if len(same):
        found.append(
            f"{count(len(same), 'checkpoint')} whose published weights are those of another step."
        )
    return found


_EVENTS = {
    "spike": "Spike",
    "hump": "Hump",
    "fastest_fall": "Fastest fall",
    "largest_rise": "Largest rise",
}
TABLE = ["kind", "first", "peak", "last", "size", "noise_ratio", "p_value", "verdict"]


def sections(store: Store) -> Iterator[Section]:
    """The report's sections, each when it has been computed. Raises StoreError, as `report`."""
    chosen = region.choose(store)
    yield _whole(store, chosen)
    yield from pair_sections.sections(reader(store))
    yield from change_sections.sections(store, chosen)


def report(store: Store) -> Report:
    """The report's ten figures on this store, with findings for each.

    The spike of Figures 7 to 10 is the largest that `queries.events` finds; if there is none, the
    fastest fall or the largest rise is used, and the report says so. If a store is too small for a
    figure, the report says so. Raises StoreError if the index cannot be built.
    """
    return of_sections(store, sections(store))


def of_sections(store: Store, found: Iterable[Section]) -> Report:
    """The report of the store's `sections`."""
    found = tuple(found)
    not_shown = [sentence for section in found for sentence in section.missing]
    return Report(store_facts(store), found, (*not_shown, *missing(store)))


def _whole(store: Store, chosen: SelectedRegion | None) -> Section:
    frame = store.trajectories({"all tokens": "true"})
    shown = chosen.region if chosen else None
    note = f"Line: mean loss in nats at every checkpoint. {pair_sections.bands(frame)}"
    if shown:
        note += f" Shaded: {span(*shown)}, which Figures 7 and 8 zoom into."
    exhibit = Exhibit(
        "0",
        "Mean loss of all tokens",
        MEANS,
        frame,
        sql_scripts.trajectories(store, {"all tokens": "true"}),
        note,
        shown,
    )
    found = chosen.found if chosen else None
    tables = {} if found is None or found.empty else {"Events of the mean loss": found[TABLE]}
    seen = [_course(frame), *([] if found is None else _events(found))]
    few = (
        f"Events of the mean loss: {count(len(store.steps), 'checkpoint is', 'checkpoints are')} "
        "too few to separate them from noise."
    )
    return Section(
        "whole",
        "The whole text",
        "How does the mean loss of all tokens fall?",
        (change_sections.all_tokens(store),),
        (exhibit,),
        tuple(seen),
        missing=(few,) if found is None else (),
        tables=tables,
    )


def _course(frame: pd.DataFrame) -> str:
    first, last, lowest = (
        frame.iloc[0],
        frame.iloc[-1],
        frame.iloc[int(frame["mean_loss"].argmin())],
    )
    text = (
        f"The mean loss is {number(first['mean_loss'])} nats at step {step(first['checkpoint'])} "
        f"and {number(last['mean_loss'])} at step {step(last['checkpoint'])}"
    )
    if known(last["low"], last["high"]):
        text += f" (95% band {number(last['low'])} to {number(last['high'])})"
    if lowest["checkpoint"] != last["checkpoint"]:
        text += (
            f"; its lowest is {number(lowest['mean_loss'])}, at step {step(lowest['checkpoint'])}"
        )
    return text + "."


def _events(found: pd.DataFrame) -> list[str]:
    lines = found[found["kind"].isin(list(_EVENTS))]
    if lines.empty:
        return ["No rise and no fastest fall is larger than the noise."]
    return [
        f"{_EVENTS[e.kind]}: {span(e.first, e.last)}, {plain(e.size)} nats ({_basis(e)})."
        for e in (Event(*line) for line in lines.itertuples(index=False, name=None))
    ]


def _basis(event: Event) -> str:
    """The p-value, or why there is none."""
    if event.verdict == EVENT:
        return f"{p_text(event.p_value)} under noise alone"
    return "a description, not tested" if event.verdict == DESCRIPTION else event.verdict

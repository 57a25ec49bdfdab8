"""Build the report of a store: every section, from the same functions that notebooks call."""

import pandas as pd

from queries.analyses.events import Event
from queries.catalog import sql_scripts
from queries.report import change_sections, pair_sections
from queries.report import change_sections as region
from queries.report.change_sections import Chosen
from queries.report.model import MEANS, Exhibit, Report, Section
from queries.report.numbers import chance, count, known, number, plain, span, step
from queries.report.pairs import reader
from queries.store import Store
from store.manifest import FORMAT_VERSION

# What a store is, and what no store of its kind can show.


def of(store: Store) -> pd.DataFrame:
    """fact, value: model, text, checkpoints, convention, fingerprint."""
    about, tried = store.manifest, store.checkpoints
    failed = int(tried["error"].notna().sum()) if "error" in tried else 0
    steps = store.steps
    lines = {
        "Model": about.model,
        "Text": about.text + (f", commit {about.text_commit}" if about.text_commit else ""),
        "Size": f"{count(about.n_tokens, 'token')} in {count(about.n_docs, 'doc')} of "
        f"{count(len(store.sources), 'source document')}",
        "Checkpoints": f"{len(steps):,}, steps {steps[0]:,} to {steps[-1]:,}"
        + (f"; {failed:,} more failed" if failed else ""),
        "Docs": f"windows of at most {about.context_length:,} tokens"
        + (f", a stride of {stride:,}" if (stride := about.options.get("stride")) else ", no overlap")
        + (f", {about.bos} in front" if about.bos else ", no BOS in front"),
        "Position": "the number of tokens that the model saw before the predicted one, the BOS "
        "included",
        "Loss": f"-ln p of the token itself, in nats; scored in {about.dtype}, attention "
        f"{about.attention}",
        "Tokenizer": f"{about.tokenizer}, sha256 {about.tokenizer_sha256[:16]}",
        "Token fingerprint": about.token_fingerprint,
        "Made with": ", ".join(f"{k} {v}" for k, v in about.versions.items()) or "not recorded",
        "Store format": str(FORMAT_VERSION),
    }
    return pd.DataFrame({"fact": list(lines), "value": list(lines.values())})


def missing(store: Store) -> list[str]:
    """Limits of the store as a whole."""
    told = [
        "Other seeds and other texts: this is one run, scored on one text. The bands are for other "
        "documents like these, not for another training run.",
        "Causes: groups differ in more than what they are named for (rarity, place in the text). "
        "`python -m queries matched` compares a group with tokens that are like it.",
    ]
    if store.probes is None:
        told.append(
            "Induction heads: losses say what was learned, not by which mechanism. This store has "
            "no probes (`python -m ingest run --probes` makes them)."
        )
    else:
        told.append(
            "Induction heads: no figure here looks inside the model. This store has probes: "
            "`python -m queries mechanism` sets them beside the losses."
        )
    if len(store.sources) < 10:
        told.append(
            f"Reliable bands: the text is of {count(len(store.sources), 'source document')}; under "
            "ten, distrust every band."
        )
    return [*told, *_odd(store)]


def _odd(store: Store) -> list[str]:
    tried = store.checkpoints
    told = []
    failed = tried[tried["error"].notna()] if "error" in tried else tried[:0]
    if len(failed):
        told.append(f"{count(len(failed), 'checkpoint')} that failed; nothing stands in for it.")
    same = tried[tried["duplicate_of"].notna()] if "duplicate_of" in tried else tried[:0]
    if len(same):
        told.append(
            f"{count(len(same), 'checkpoint')} under a right name: their weights are those "
            "of another step."
        )
    return told


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
    not_shown = [told for section in sections for told in section.missing]
    return Report(of(store), tuple(sections), (*not_shown, *missing(store)))


def _whole(store: Store, chosen: Chosen | None) -> Section:
    frame = store.trajectories({"all tokens": "true"})
    shown = chosen.region if chosen else None
    note = "The band: 95 % for each checkpoint by itself, source documents as the sampled unit."
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
    few = f"Events of the mean loss: {len(store.steps):,} checkpoints cannot tell them from noise."
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

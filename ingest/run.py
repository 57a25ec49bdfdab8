"""Score every checkpoint of a source on every token of a text, into a store; resume by skipping."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ingest.errors import IngestError, first_line
from ingest.model.resident_model import refuse_compiling
from ingest.output import writer
from ingest.output.locks import alone, only_writer
from ingest.output.mirrors import Mirror, below, is_url, key, standing_at
from ingest.output.writer import Duplicate, Outcome, known_outcomes, open_store
from ingest.prepare import Options, Plan, prepare, prepare_all
from ingest.probes.probe_file import ProbeFile, probe_scored
from ingest.scoring import best_device, score
from ingest.sources.checkpoints import Checkpoint
from ingest.sources.families import parse_revision
from ingest.sources.folder import Source, is_repository, open_source
from store.layout import Layout


@dataclass(frozen=True)
class Report:
    """What a run did: outcomes of the checkpoints that it tried, and how many it skipped.

    `duplicates`: the store's checkpoints that an earlier one equals, and that one.
    `moved`: scored before, at another commit than their revision is at now.
    `probes`: the store's probes where they were asked for.
    """

    tried: list[Outcome]
    skipped: int
    n_tokens: int
    duplicates: dict[int, Duplicate]
    moved: list[Checkpoint]
    probes: ProbeFile | None = None

    @property
    def failed(self) -> list[Outcome]:
        return [o for o in self.tried if o.error]


def run(source: str | Path, text: str | Path, store: str | Path, options: Options) -> Report:
    """Score what is not scored yet. A failed checkpoint is recorded, the others go on.

    `store` is a folder or an fsspec URL. Raises IngestError for unusable input, or a store that
    holds something else.
    """
    refuse_place(source, text, store, options)
    refuse_unusable(options)
    opened = opened_for(source, store, options)
    return fill(opened, prepare(opened, text, options), store, options)


def opened_for(source: str | Path, store: str | Path, options: Options) -> Source:
    """The source of that name, whose downloads are kept apart from those of all other runs."""
    own = options.shard.beside(key(store)) if options.shard else key(store)
    return open_source(source, own, options.keep_cache)


def fill(opened: Source, plan: Plan, store: str | Path, options: Options) -> Report:
    """Score what of the plan, or of this shard's share of it, is not scored yet, into its store."""
    shard = options.shard
    share = shard.share(plan.checkpoints) if shard else plan.checkpoints
    with standing_at(store, shard) as (layout, mirror), only_writer(layout, shard):
        known = _open(layout, mirror, plan, share if shard else None)
        done = layout.scored()
        todo = [c for c in share if c.checkpoint not in done]
        moved = [c for c in share if c.checkpoint in done and _moved(known[c.checkpoint], c)]
        opened.tidy(todo[: options.prefetch])
        record = _recording(layout, mirror, known, share if shard else None)
        probes = ProbeFile(layout, plan.repeats) if plan.repeats else None
        tried = list(_engine(options)(layout, plan, todo, opened, options, record, probes))
        if probes:
            device = options.device or best_device()
            probe_scored(probes, share, known, opened, options, device)
            mirror.send([p for p in (layout.probes,) if p.exists()])
        opened.tidy([])
        if shard and is_url(store):  # shards may have overwritten what others had recorded
            known = _put_right(layout, mirror, plan, tried)
    same = writer.duplicates(known[number] for number in sorted(known))
    return Report(tried, len(share) - len(todo), plan.corpus.n_tokens, same, moved, probes)


def _moved(outcome: Outcome, now: Checkpoint) -> bool:
    """A folder has no commits."""
    before = outcome.checkpoint.commit
    return before is not None and now.commit is not None and before != now.commit


def _open(
    layout: Layout, mirror: Mirror, plan: Plan, share: list[Checkpoint] | None
) -> dict[int, Outcome]:
    with alone(layout):
        open_store(layout, plan.corpus, plan.manifest, share)
        known = known_outcomes(layout, plan.checkpoints)
        mirror.send([layout.docs, layout.tokens, layout.checkpoints, layout.manifest])
    return known


def _put_right(
    layout: Layout, mirror: Mirror, plan: Plan, tried: list[Outcome]
) -> dict[int, Outcome]:
    mirror.fetch()
    known = known_outcomes(layout, plan.checkpoints)
    known.update({o.checkpoint.checkpoint: o for o in tried})
    writer.write_outcomes(layout, known.values())
    mirror.send([layout.checkpoints])
    return known


def _engine(options: Options) -> Callable[..., Iterator[Outcome]]:
    """What scores checkpoints: this process, or Ray's; both are called alike."""
    if options.engine != "ray":
        return score
    from ingest.ray_engine import score_on_ray  # seconds to load: only where it is asked for

    return score_on_ray


def _recording(
    layout: Layout, mirror: Mirror, known: dict[int, Outcome], share: list[Checkpoint] | None
) -> Callable[[Outcome], None]:
    """Writes checkpoints.parquet again; what is not of the `share`, others may have written."""
    own = {c.checkpoint for c in share or []}

    def record(outcome: Outcome) -> None:
        number = outcome.checkpoint.checkpoint
        known[number] = outcome
        if not outcome.error:
            mirror.send([layout.loss_file(number)])
        with alone(layout):
            if share is not None:
                mirror.fetch_outcomes()
                found = writer.read_outcomes(layout)
                known.update({n: o for n, o in found.items() if n not in own})
            writer.write_outcomes(layout, known.values())
            mirror.send([layout.checkpoints])

    return record


def refuse_place(source: str | Path, text: str | Path, store: str | Path, options: Options) -> None:
    """Raises IngestError for a store that would lie among the checkpoints or the text, is a file,
    or cannot have what is asked for."""
    for name, place in (("source", source), ("--text", text), ("--store", store)):
        if not str(place).strip():
            raise IngestError(f"{name} is empty: name a file or folder")
    if is_url(store):
        if options.probes and options.shard:
            raise IngestError(
                f"--probes and --shard cannot be had at once at {store}, where shards cannot lock "
                "each other out: give --probes to a run without --shard when all shards are done; "
                "nothing is scored again"
            )
        return
    store = Path(store)
    for what, place in (("checkpoints", source), ("the text", text)):
        if Path(place).is_dir() and store.resolve() == Path(place).resolve():
            raise IngestError(f"--store {store} is the folder of {what} itself: name another")
    if Path(text).is_dir() and store.resolve().is_relative_to(Path(text).resolve()):
        raise IngestError(
            f"--store {store} is inside the folder of the text, and would be read as text the next "
            "time: name another"
        )
    if Path(source).is_dir() and store.resolve().is_relative_to(Path(source).resolve()):
        within = store.resolve().relative_to(Path(source).resolve()).parts[0]
        if parse_revision(within, options.naming.pattern, folder=True):
            raise IngestError(
                f"--store {store} would be taken for a checkpoint of {source}, as {within} names a "
                "step: name another"
            )
    if store.exists() and not store.is_dir():
        raise IngestError(f"--store {store} is a file: name a folder")


def refuse_unusable(options: Options) -> None:
    """Raises IngestError for options that cannot be had on this machine."""
    refuse_device(options.device or best_device())
    if options.compile:
        refuse_compiling()


def refuse_device(device: str) -> None:
    """Raises IngestError for a device that this machine does not have."""
    try:
        torch.empty(0, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # torch has no common class for it
        raise IngestError(
            f"--device {device} cannot be used ({first_line(error)}): leave it out, or name cpu, "
            "cuda or cuda:0"
        ) from error


# Several runs at once, such as seeds of one recipe: a store for each, all on the same tokens.


@dataclass(frozen=True)
class _Run:
    source: Source
    store: str | Path
    options: Options


def run_many(
    sources: list[str],
    text: str | Path,
    store: str | Path,
    options: Options,
    variants: tuple[str, ...],
) -> Iterator[tuple[str | Path, Report]]:
    """Score each source, or each of its runs that `variants` names, into a folder in `store`.

    Gives each store and what was done, when it is done. Nothing is written before all sources are
    known to give the same tokens. Raises IngestError for unusable input.
    """
    refuse_unusable(options)
    if options.name:
        raise IngestError("--name is for one source: several are named by their folders")
    for source in sources:
        refuse_place(source, text, store, options)
    runs = _runs(sources, store, options, variants)
    plans = prepare_all([(r.source, r.options) for r in runs], text)
    for run, plan in zip(runs, plans, strict=True):
        yield run.store, fill(run.source, plan, run.store, run.options)


def _runs(
    sources: list[str], store: str | Path, options: Options, variants: tuple[str, ...]
) -> list[_Run]:
    runs = []
    for source, name in zip(sources, _names(sources), strict=True):
        for variant in variants or (options.naming.variant,):
            parts = [name] if variant is None or len(sources) > 1 else []
            folder = below(store, "-".join([*parts, *([variant] if variant else [])]))
            opened = opened_for(source, folder, options)
            model = " ".join([source if is_repository(source) else name, variant or ""]).strip()
            naming = replace(options.naming, variant=variant)
            runs.append(_Run(opened, folder, replace(options, name=model, naming=naming)))
    return runs


def _names(sources: list[str]) -> list[str]:
    """The last part of each source's path, or so many more that they differ."""
    paths = [
        Path(s).resolve().parts[1:] if Path(s).exists() else tuple(s.split("/")) for s in sources
    ]
    for length in range(1, max(len(p) for p in paths) + 1):
        names = ["-".join(p[-length:]) for p in paths]
        if len(set(names)) == len(names):
            return names
    raise IngestError(f"of {', '.join(sources)}, two are the same: name each source once")


# What a run says of itself at its end.


def tell(store: str | Path, report: Report) -> int:
    """Print it; returns the exit status."""
    scored = len(report.tried) - len(report.failed)
    print(
        f"{store}: {scored} checkpoints scored on {report.n_tokens:,} tokens, "
        f"{report.skipped} were there already, {len(report.failed)} failed"
    )
    for number, same in report.duplicates.items():
        print(f"odd: checkpoint {number} {same}", file=sys.stderr)
    for moved in report.moved:
        print(
            f"odd: {moved.revision} is at another commit now than it was scored at: to score it "
            f"again, delete {Layout(Path()).loss_file(moved.checkpoint)} from the store",
            file=sys.stderr,
        )
    for outcome in report.failed:
        print(f"failed: {outcome.error}", file=sys.stderr)
    unprobed = _unprobed(report.probes)
    return 1 if report.failed or unprobed else 0


def _unprobed(probes: ProbeFile | None) -> int:
    """Say what is odd about the probes; how many checkpoints have none."""
    if probes is None:
        return 0
    if probes.without_attention:
        print(
            "note: the model gives no attention weights: it has the losses on repeats, and no "
            "prefix-matching scores (NULL)",
            file=sys.stderr,
        )
    for number, reason in probes.unprobed.items():
        print(f"not probed: checkpoint {number}: {reason}", file=sys.stderr)
    return len(probes.unprobed)

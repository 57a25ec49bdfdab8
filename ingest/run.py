"""Score every checkpoint of a source on every token of a text, into a store; resume by skipping."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from ingest.errors import IngestError, first_line
from ingest.model.resident_model import refuse_compile
from ingest.options import RunOptions
from ingest.output.locks import files_lock, writer_lock
from ingest.output.mirrors import Mirror, child_store, is_url, local_store, store_key
from ingest.output.outcomes import (
    Duplicate,
    Outcome,
    duplicates,
    known_outcomes,
    read_outcomes,
    scored_parts,
    write_outcomes,
)
from ingest.output.writer import open_store
from ingest.prepare import PreparedRun, prepare, prepare_all
from ingest.probes.probe_file import ProbeFile, probe_scored
from ingest.scoring import best_device, score_checkpoints
from ingest.sources.audit import Parts, audit_runs, shared_parts
from ingest.sources.open import is_repository, open_source
from ingest.sources.revisions import Checkpoint, parse_revision
from ingest.sources.source import Source
from store.layout import Layout


@dataclass(frozen=True)
class Report:
    """What a run did.

    `tried`: outcomes of the checkpoints that it tried to score. `skipped`: how many were scored
    before. `duplicates`: checkpoints of the store that equal an earlier one. `moved`: checkpoints
    that were scored at another commit than the one their revision now has. `probes`: the store's
    probes, if they were requested. `parts`: the weights of all checkpoints that are scored.
    """

    tried: list[Outcome]
    skipped: int
    n_tokens: int
    duplicates: dict[int, Duplicate]
    moved: list[Checkpoint]
    probes: ProbeFile | None = None
    parts: list[Parts] = field(default_factory=list)

    @property
    def failed(self) -> list[Outcome]:
        return [o for o in self.tried if o.error]


def run(source: str | Path, text: str | Path, store: str | Path, options: RunOptions) -> Report:
    """Score what is not scored yet. A failed checkpoint is recorded, and the others are scored.

    `store` is a folder or an fsspec URL. Raises IngestError for unusable input, and for a store
    that holds something else.
    """
    refuse_place(source, text, store, options)
    refuse_unusable(options)
    opened = open_source_for(source, store, options)
    return fill(opened, prepare(opened, text, options), store, options)


def open_source_for(source: str | Path, store: str | Path, options: RunOptions) -> Source:
    """The source of that name. Its downloads are separate from those of all other runs."""
    key = store_key(store)
    own = options.shard.path_next_to(key) if options.shard else key
    return open_source(source, own, options.keep_cache)


def fill(source: Source, prepared: PreparedRun, store: str | Path, options: RunOptions) -> Report:
    """Score into the store what it lacks of the prepared checkpoints, or of the shard's share."""
    shard = options.shard
    share = shard.share(prepared.checkpoints) if shard else prepared.checkpoints
    with local_store(store, shard) as (layout, mirror), writer_lock(layout, shard):
        known = _open(layout, mirror, prepared, share if shard else None)
        done = _done(layout, options)
        todo = [c for c in share if c.checkpoint not in done]
        moved = [c for c in share if c.checkpoint in done and _moved(known[c.checkpoint], c)]
        source.tidy(todo[: options.prefetch])
        record = _recorder(layout, mirror, known, share if shard else None)
        probes = ProbeFile(layout, prepared.repeats) if prepared.repeats else None
        tried = list(_engine(options)(layout, prepared, todo, source, options, record, probes))
        if probes:
            device = options.device or best_device()
            probe_scored(probes, share, known, source, options, device)
            mirror.send([p for p in (layout.probes,) if p.exists()])
        source.tidy([])
        if shard and is_url(store):  # shards may have overwritten what others had recorded
            known = _reconcile(layout, mirror, prepared, tried)
        ordered = [known[number] for number in sorted(known)]
        parts = scored_parts(layout, ordered)
    skipped, n_tokens = len(share) - len(todo), prepared.corpus.n_tokens
    return Report(tried, skipped, n_tokens, duplicates(ordered), moved, probes, parts)


def _open(
    layout: Layout, mirror: Mirror, prepared: PreparedRun, share: list[Checkpoint] | None
) -> dict[int, Outcome]:
    with files_lock(layout):
        open_store(layout, prepared.corpus, prepared.manifest, share)
        known = known_outcomes(layout, prepared.checkpoints)
        mirror.send([layout.docs, layout.tokens, layout.checkpoints, layout.manifest])
    return known


def _done(layout: Layout, options: RunOptions) -> set[int]:
    """Checkpoints that lack no file."""
    done = set(layout.scored())
    return done & set(layout.predicted()) if options.predictions else done


def _moved(outcome: Outcome, now: Checkpoint) -> bool:
    """Checkpoints in folders have no commits."""
    before = outcome.checkpoint.commit
    return before is not None and now.commit is not None and before != now.commit


def _recorder(
    layout: Layout, mirror: Mirror, known: dict[int, Outcome], share: list[Checkpoint] | None
) -> Callable[[Outcome], None]:
    """A function that adds an outcome to checkpoints.parquet, which other shards may also write."""
    own = {c.checkpoint for c in share or []}

    def record(outcome: Outcome) -> None:
        number = outcome.checkpoint.checkpoint
        known[number] = outcome
        if not outcome.error:
            files = (layout.prediction_file(number), layout.loss_file(number))
            mirror.send(path for path in files if path.exists())
        with files_lock(layout):
            if share is not None:
                mirror.fetch_outcomes()
                found = read_outcomes(layout)
                known.update({n: o for n, o in found.items() if n not in own})
            write_outcomes(layout, known.values())
            mirror.send([layout.checkpoints])

    return record


def _reconcile(
    layout: Layout, mirror: Mirror, prepared: PreparedRun, tried: list[Outcome]
) -> dict[int, Outcome]:
    mirror.fetch()
    known = known_outcomes(layout, prepared.checkpoints)
    known.update({o.checkpoint.checkpoint: o for o in tried})
    write_outcomes(layout, known.values())
    mirror.send([layout.checkpoints])
    return known


def _engine(options: RunOptions) -> Callable[..., Iterator[Outcome]]:
    """The function that scores checkpoints. Both have the same parameters."""
    if options.engine != "ray":
        return score_checkpoints
    from ingest.ray_engine import score_on_ray  # takes seconds to import

    return score_on_ray


@dataclass(frozen=True)
class _Run:
    source: Source
    store: str | Path
    options: RunOptions


def run_many(
    sources: list[str], text: str | Path, store: str | Path, options: RunOptions
) -> Iterator[tuple[str | Path, Report]]:
    """Score several runs, such as seeds of one recipe: each source, or each variant in it.

    Each gets a store of its own in the folder `store`. Yields each store and its report when it is
    done. Nothing is written before all sources are known to give the same tokens. Raises
    IngestError for unusable input.
    """
    refuse_unusable(options)
    if options.name:
        raise IngestError("--name is for one source: several sources are named by their folders")
    for source in sources:
        refuse_place(source, text, store, options)
    runs = _runs(sources, store, options)
    prepared = prepare_all([(r.source, r.options) for r in runs], text)
    for run, ready in zip(runs, prepared, strict=True):
        yield run.store, fill(run.source, ready, run.store, run.options)


def _runs(sources: list[str], store: str | Path, options: RunOptions) -> list[_Run]:
    runs = []
    for source, name in zip(sources, _unique_names(sources), strict=True):
        for variant in options.variants or (None,):
            parts = [name] if variant is None or len(sources) > 1 else []
            folder = child_store(store, "-".join([*parts, *([variant] if variant else [])]))
            opened = open_source_for(source, folder, options)
            model = " ".join([source if is_repository(source) else name, variant or ""]).strip()
            runs.append(_Run(opened, folder, replace(options, name=model, variant=variant)))
    return runs


def _unique_names(sources: list[str]) -> list[str]:
    """The last part of each source's path, or as many parts as make all names different."""
    paths = [
        Path(s).resolve().parts[1:] if Path(s).exists() else tuple(s.split("/")) for s in sources
    ]
    for length in range(1, max(len(p) for p in paths) + 1):
        names = ["-".join(p[-length:]) for p in paths]
        if len(set(names)) == len(names):
            return names
    raise IngestError(f"of {', '.join(sources)}, two are the same: name each source once")


def refuse_place(
    source: str | Path, text: str | Path, store: str | Path, options: RunOptions
) -> None:
    """Raises IngestError for a store among the checkpoints or the text, for one that is a file, and
    for one at a URL if the options need locks."""
    for name, place in (("source", source), ("--text", text), ("--store", store)):
        if not str(place).strip():
            raise IngestError(f"{name} is empty: name a file or folder")
    if is_url(store):
        if options.probes and options.shard:
            raise IngestError(
                f"--probes and --shard cannot be combined at {store}, where shards cannot lock "
                "each other out: run once more without --shard and with --probes when all shards "
                "are done; nothing is scored again"
            )
        return
    _refuse_folder(Path(source), Path(text), Path(store), options.revision_pattern)


def _refuse_folder(source: Path, text: Path, store: Path, pattern: str | None) -> None:
    for what, place in (("checkpoints", source), ("the text", text)):
        if place.is_dir() and store.resolve() == place.resolve():
            raise IngestError(f"--store {store} is the folder of {what}: name another")
    if text.is_dir() and store.resolve().is_relative_to(text.resolve()):
        raise IngestError(
            f"--store {store} is inside the folder of the text, and would be read as text the next "
            "time: name another"
        )
    if source.is_dir() and store.resolve().is_relative_to(source.resolve()):
        within = store.resolve().relative_to(source.resolve()).parts[0]
        if parse_revision(within, pattern, folder=True):
            raise IngestError(
                f"--store {store} would be taken for a checkpoint of {source}, since {within} "
                "names a step: name another"
            )
    if store.exists() and not store.is_dir():
        raise IngestError(f"--store {store} is a file: name a folder")


def refuse_unusable(options: RunOptions) -> None:
    """Raises IngestError for options that this machine does not support."""
    refuse_device(options.device or best_device())
    if options.compile:
        refuse_compile()


def refuse_device(device: str) -> None:
    """Raises IngestError for a device that this machine does not have."""
    try:
        torch.empty(0, device=device).cpu()
    except (RuntimeError, AssertionError) as error:  # torch has no common class for it
        raise IngestError(
            f"--device {device} cannot be used ({first_line(error)}): omit it, or name cpu, cuda "
            "or cuda:0"
        ) from error


def print_report(store: str | Path, report: Report) -> int:
    """Print what a run did. Returns the exit status."""
    scored = len(report.tried) - len(report.failed)
    print(
        f"{store}: {scored} checkpoint{'' if scored == 1 else 's'} scored on "
        f"{report.n_tokens:,} token{'' if report.n_tokens == 1 else 's'}, "
        f"{report.skipped} already there, {len(report.failed)} failed"
    )
    for number, duplicate in report.duplicates.items():
        print(f"warning: checkpoint {number} {duplicate}", file=sys.stderr)
    for finding in shared_parts(report.parts):
        print(f"warning: {finding}", file=sys.stderr)
    for moved in report.moved:
        print(
            f"warning: {moved.revision} has moved to another commit since it was scored: to score "
            f"it again, delete {Layout(Path()).loss_file(moved.checkpoint)} from the store",
            file=sys.stderr,
        )
    for outcome in report.failed:
        print(f"failed: {outcome.error}", file=sys.stderr)
    unprobed = _print_unprobed(report.probes)
    return 1 if report.failed or unprobed else 0


def print_shared(reports: Mapping[str, Report]) -> None:
    """Print which of several runs share their initialisation or later weights."""
    for finding in audit_runs({name: report.parts for name, report in reports.items()}):
        print(f"runs: {finding}", file=sys.stderr)


def _print_unprobed(probes: ProbeFile | None) -> int:
    """Print what is missing from the probes. Returns how many checkpoints have none."""
    if probes is None:
        return 0
    if probes.without_attention:
        print(
            "note: the model gives no attention weights: prefix-matching scores are NULL, only "
            "the losses on repeats are recorded",
            file=sys.stderr,
        )
    for number, reason in probes.unprobed.items():
        print(f"not probed: checkpoint {number}: {reason}", file=sys.stderr)
    return len(probes.unprobed)

"""Score every checkpoint of a source on every token of a text, into a store; resume by skipping."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ingest import writer
from ingest.errors import IngestError, first_line
from ingest.opening import known_outcomes, only_writer, open_store
from ingest.prepare import Options, Plan, prepare
from ingest.probe_file import ProbeFile
from ingest.probing import probe_scored
from ingest.scoring import best_device, score
from ingest.sources import Source, is_repository, open_source
from ingest.standing import refuse_compiling
from ingest.writer import Duplicate, Outcome
from store.layout import Layout


@dataclass(frozen=True)
class Report:
    """What a run did: outcomes of the checkpoints that it tried, and how many it skipped.

    `duplicates`: the store's checkpoints that an earlier one equals, and that one.
    `probes`: the store's probes where they were asked for.
    """

    tried: list[Outcome]
    skipped: int
    n_tokens: int
    duplicates: dict[int, Duplicate]
    probes: ProbeFile | None = None

    @property
    def failed(self) -> list[Outcome]:
        return [o for o in self.tried if o.error]


def run(source: str | Path, text: str | Path, store: Path, options: Options) -> Report:
    """Score what is not scored yet. A failed checkpoint is recorded, the others go on.

    Raises IngestError for unusable input, or a store that holds something else.
    """
    refuse_inside(source, store)
    refuse_unusable(options)
    opened = open_source(source, store, options.keep_cache)
    return fill(opened, prepare(opened, text, options), store, options)


def fill(opened: Source, plan: Plan, store: Path, options: Options) -> Report:
    """Score what of the plan is not scored yet, into its store."""
    layout = Layout(store)
    with only_writer(layout):
        open_store(layout, plan.corpus, plan.manifest)
        done = layout.scored()
        todo = [c for c in plan.checkpoints if c.checkpoint not in done]
        known = known_outcomes(layout, plan.checkpoints)
        opened.tidy(todo[: options.prefetch])
        record = _recording(layout, known)
        probes = ProbeFile(layout, plan.repeats) if plan.repeats else None
        tried = list(score(layout, plan, todo, opened, options, record, probes))
        if probes:
            device = options.device or best_device()
            probe_scored(probes, plan.checkpoints, known, opened, options, device)
        opened.tidy([])
    same = writer.duplicates(known[number] for number in sorted(known))
    return Report(tried, len(plan.checkpoints) - len(todo), plan.corpus.n_tokens, same, probes)


def _recording(layout: Layout, known: dict[int, Outcome]) -> Callable[[Outcome], None]:
    def record(outcome: Outcome) -> None:
        known[outcome.checkpoint.checkpoint] = outcome
        writer.write_outcomes(layout, known.values())

    return record


def refuse_inside(source: str | Path, store: Path) -> None:
    """Raises IngestError for a store that would lie among the checkpoints, or is a file."""
    if not is_repository(source) and store.resolve() == Path(source).resolve():
        raise IngestError(f"--store {store} is the folder of checkpoints itself: name another")
    if store.exists() and not store.is_dir():
        raise IngestError(f"--store {store} is a file: name a folder")


def refuse_unusable(options: Options) -> None:
    """Raises IngestError for options that this machine cannot fulfil."""
    refuse_device(options.device or best_device())
    if options.compile:
        refuse_compiling()


def refuse_device(device: str) -> None:
    """Raises IngestError for a device that this machine does not have."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch has no common class for it
        raise IngestError(
            f"--device {device} cannot be used ({first_line(error)}): leave it out, or name cpu, "
            "cuda or cuda:0"
        ) from error

"""Several runs at once, such as seeds of one recipe: a store for each, all on the same tokens."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.errors import IngestError
from ingest.mirrors import below
from ingest.prepare import Options, prepare_all
from ingest.run import Report, fill, opened_for, refuse_place, refuse_unusable
from ingest.sources import Source, is_repository


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
    paths = [Path(s).resolve().parts[1:] if Path(s).exists() else tuple(s.split("/"))
             for s in sources]  # fmt: skip
    for length in range(1, max(len(p) for p in paths) + 1):
        names = ["-".join(p[-length:]) for p in paths]
        if len(set(names)) == len(names):
            return names
    raise IngestError(f"of {', '.join(sources)}, two are the same: name each source once")

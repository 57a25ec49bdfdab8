"""Score every checkpoint of a source on every token of a text, into a store; resume by skipping."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from ingest import models, writer
from ingest.checkpoints import Checkpoint, weights_sha256
from ingest.corpus import Corpus
from ingest.errors import CheckpointError, IngestError, first_line
from ingest.kernel import looks_ahead, token_losses
from ingest.opening import known_outcomes, only_writer, open_store
from ingest.prefetch import arriving
from ingest.prepare import Options, Plan, prepare
from ingest.probe_file import ProbeFile
from ingest.probing import probe_scored
from ingest.sources import Source, is_repository, open_source
from ingest.writer import Outcome
from store import schema
from store.layout import Layout


@dataclass(frozen=True)
class Report:
    """What a run did: outcomes of the checkpoints that it tried, and how many it skipped.

    `duplicates`: the store's checkpoints whose weights an earlier one has, and that one.
    `probes`: the store's probes where they were asked for.
    """

    tried: list[Outcome]
    skipped: int
    n_tokens: int
    duplicates: dict[int, int]
    probes: ProbeFile | None = None

    @property
    def failed(self) -> list[Outcome]:
        return [o for o in self.tried if o.error]


def run(source: str | Path, text: Path, store: Path, options: Options) -> Report:
    """Score what is not scored yet. A failed checkpoint is recorded, the others go on.

    Raises IngestError for unusable input, or a store that holds something else.
    """
    _refuse_inside(source, store)
    refuse_device(options.device or best_device())
    opened = open_source(source, store, options.keep_cache)
    plan = prepare(opened, text, options)
    layout = Layout(store)
    with only_writer(layout):
        open_store(layout, plan.corpus, plan.manifest)
        done = layout.scored()
        todo = [c for c in plan.checkpoints if c.checkpoint not in done]
        known = known_outcomes(layout, plan.checkpoints)
        opened.tidy(todo[: options.prefetch])
        probes = ProbeFile(layout, plan.repeats) if plan.repeats else None
        tried = list(_score_all(layout, plan, todo, known, options, opened, probes))
        if probes:
            device = options.device or best_device()
            probe_scored(probes, plan.checkpoints, known, opened, options, device)
        opened.tidy([])
    same = writer.duplicates(known[number] for number in sorted(known))
    return Report(tried, len(plan.checkpoints) - len(todo), plan.corpus.n_tokens, same, probes)


def _refuse_inside(source: str | Path, store: Path) -> None:
    if not is_repository(source) and store.resolve() == Path(source).resolve():
        raise IngestError(f"--store {store} is the folder of checkpoints itself: name another")
    if store.exists() and not store.is_dir():
        raise IngestError(f"--store {store} is a file: name a folder")


def _score_all(
    layout: Layout,
    plan: Plan,
    todo: list[Checkpoint],
    known: dict[int, Outcome],
    options: Options,
    source: Source,
    probes: ProbeFile | None,
) -> Iterator[Outcome]:
    # The rows of the store itself, so that a loss file repeats exactly what stands there.
    tokens = pq.read_table(layout.tokens, columns=schema.REPEATED)
    total = len(todo) * plan.corpus.n_tokens
    progress: tqdm[Any]
    with tqdm(total=total, unit="tok", unit_scale=True, disable=not todo) as progress:
        for checkpoint, problem in arriving(source, todo, options.prefetch):
            progress.set_description(checkpoint.revision)
            if problem:
                outcome, losses = Outcome(checkpoint, error=str(problem)), None
            else:
                outcome, losses = _score(checkpoint, plan.corpus, options, progress, probes)
            if losses is not None:
                sha256 = outcome.weights_sha256 or ""
                writer.write_losses(layout, checkpoint.checkpoint, tokens, losses, sha256)
            else:
                total -= plan.corpus.n_tokens
                progress.total = total
                progress.write(f"failed: {outcome.error}")
            known[checkpoint.checkpoint] = outcome
            writer.write_outcomes(layout, known.values())
            yield outcome


def _score(
    checkpoint: Checkpoint,
    corpus: Corpus,
    options: Options,
    progress: "tqdm[Any]",
    probes: ProbeFile | None,
) -> tuple[Outcome, np.ndarray | None]:
    """Outcome and losses float32 (tokens,), or an outcome with an error and None."""
    started = time.perf_counter()
    scored = 0
    try:
        model = models.load_model(checkpoint, options.dtype, options.device or best_device())
        _refuse_looking_ahead(checkpoint, model, corpus)
        losses = np.full(corpus.n_tokens, np.nan, dtype=np.float32)
        for rows, values in token_losses(model, corpus.windows, options.batch_tokens):
            losses[rows] = values
            scored += len(rows)
            progress.update(len(rows))
        _refuse_not_finite(checkpoint, losses)
        sha256 = checkpoint.weights_sha256 or weights_sha256(checkpoint.path)
        if probes:
            probes.take(checkpoint.checkpoint, sha256, model)
    except (CheckpointError, RuntimeError, IndexError) as error:
        progress.update(-scored)
        return Outcome(checkpoint, error=_reason(checkpoint, error)), None
    return Outcome(
        checkpoint,
        weights_sha256=sha256,
        n_tokens=corpus.n_tokens,
        mean_loss=writer.mean_loss(losses),
        seconds=round(time.perf_counter() - started, 3),
    ), losses


def _reason(checkpoint: Checkpoint, error: Exception) -> str:
    """Torch's own errors: a checkpoint of other sizes than the first one, or too little memory."""
    if isinstance(error, CheckpointError):
        return str(error)
    return (
        f"{checkpoint.revision} cannot score this text ({first_line(error)}): its "
        "vocabulary or context may be smaller than the first checkpoint's; where memory is "
        "short, lower --batch-tokens"
    )


def _refuse_looking_ahead(checkpoint: Checkpoint, model: PreTrainedModel, corpus: Corpus) -> None:
    if looks_ahead(model, corpus.windows[0]):
        raise CheckpointError(
            f"{checkpoint.revision} sees the tokens that it has to predict (it is an encoder, as "
            "BERT is): only models that read from left to right can be scored"
        )


def _refuse_not_finite(checkpoint: Checkpoint, losses: np.ndarray) -> None:
    bad = int((~np.isfinite(losses)).sum())
    if bad:
        raise CheckpointError(
            f"{checkpoint.revision} gives no finite loss on {bad:,} of {len(losses):,} tokens: "
            "its weights hold NaN or infinity, or overflow in this --dtype"
        )


def refuse_device(device: str) -> None:
    """Raises IngestError for a device that this machine does not have."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # torch has no common class for it
        raise IngestError(
            f"--device {device} cannot be used ({first_line(error)}): leave it out, or name cpu, "
            "cuda or cuda:0"
        ) from error


def best_device() -> str:
    """CUDA where it is, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"

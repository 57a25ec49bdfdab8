"""Score checkpoints of a plan into a store: what a run, a shard or an actor does with its share."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from ingest.errors import CheckpointError, first_line
from ingest.model.kernel import looks_ahead, token_losses
from ingest.model.memory import Budget, is_out_of_memory
from ingest.model.resident_model import Standing
from ingest.output import writer
from ingest.output.writer import Outcome
from ingest.prepare import Options, Plan
from ingest.probes.probe_file import ProbeFile
from ingest.sources.checkpoints import Checkpoint
from ingest.sources.folder import Source
from ingest.sources.prefetch import Arrival, arriving
from ingest.text.corpus import Corpus
from store import schema
from store.layout import Layout

# One piece of work in the background, such as writing a file, while the main work goes on.


class Background:
    """At most one piece of work at once. What it raises is raised here, as soon as it is asked."""

    def __init__(self, worker: ThreadPoolExecutor) -> None:
        self._worker = worker
        self._going: Future[None] | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Waits for the work before, if that has not ended."""
        self.finish()
        self._going = self._worker.submit(work)

    def check(self) -> None:
        """Raises what failed; does not wait."""
        if self._going and self._going.done():
            self.finish()

    def finish(self) -> None:
        """Waits for the end of what is going on."""
        going, self._going = self._going, None
        if going:
            going.result()


@contextmanager
def background(name: str) -> Iterator[Background]:
    """Leaving it, also by an exception, waits until what has been started is whole."""
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
    try:
        going = Background(worker)
        yield going
        going.finish()
    finally:
        worker.shutdown(wait=True)


Record = Callable[[Outcome], None]


@dataclass(frozen=True)
class Bench:
    """What all checkpoints of a share have in common."""

    standing: Standing
    corpus: Corpus
    budget: Budget
    writing: Background
    progress: "tqdm[Any]"
    probes: ProbeFile | None = None


def score(
    layout: Layout,
    plan: Plan,
    todo: list[Checkpoint],
    source: Source,
    options: Options,
    record: Record,
    probes: ProbeFile | None = None,
) -> Iterator[Outcome]:
    """The outcome of each checkpoint of `todo`, as soon as it is known.

    While one is scored the next is fetched and read, and the loss file of the last is written;
    `record` is called with its outcome, in the thread that writes, once that file is whole.
    Raises OSError where a file cannot be written.
    """
    # The rows of the store itself, so that a loss file repeats exactly what stands there.
    tokens = pq.read_table(layout.tokens, columns=schema.REPEATED).combine_chunks()
    total = len(todo) * plan.corpus.n_tokens
    progress: tqdm[Any]
    with (
        tqdm(total=total, unit="tok", unit_scale=True, disable=not todo) as progress,
        background("write") as writing,
    ):
        bench = new_bench(plan.corpus, options, writing, progress, probes)
        for arrival in arriving(source, todo, options.prefetch):
            progress.set_description(arrival.checkpoint.revision)
            outcome, losses = score_one(arrival, bench)
            if losses is None:
                total -= plan.corpus.n_tokens
                progress.total = total
                progress.write(f"failed: {outcome.error}")
            writing.start(keeping(layout, tokens, outcome, losses, record))
            yield outcome


def new_bench(
    corpus: Corpus,
    options: Options,
    writing: Background,
    progress: "tqdm[Any]",
    probes: ProbeFile | None = None,
) -> Bench:
    """A bench on which no model stands yet."""
    device = options.device or best_device()
    standing = Standing(options.dtype, device, options.attention, options.compile)
    budget = Budget(options.batch_tokens, progress.write)
    return Bench(standing, corpus, budget, writing, progress, probes)


def keeping(
    layout: Layout, tokens: pa.Table, outcome: Outcome, losses: np.ndarray | None, record: Record
) -> Callable[[], None]:
    """Work that writes the loss file, if there are losses, and then records the outcome."""

    def keep() -> None:
        if losses is not None:
            writer.write_losses(layout, outcome, tokens, losses)
        record(outcome)

    return keep


def score_one(arrival: Arrival, bench: Bench) -> tuple[Outcome, np.ndarray | None]:
    """Outcome and losses float32 (tokens,), or an outcome with an error and None."""
    started = time.perf_counter()
    checkpoint, scored = arrival.checkpoint, 0
    try:
        if arrival.problem:
            raise arrival.problem
        model = bench.standing.put(arrival)
        _refuse_looking_ahead(checkpoint, model, bench.corpus)
        losses = np.full(bench.corpus.n_tokens, np.nan, dtype=np.float32)
        for rows, values in token_losses(
            model, bench.corpus.windows, bench.budget, bench.corpus.first
        ):
            losses[rows] = values
            scored += len(rows)
            bench.progress.update(len(rows))
            bench.writing.check()
        _refuse_not_finite(checkpoint, losses)
        if bench.probes and arrival.weights_sha256:
            bench.probes.take(checkpoint.checkpoint, arrival.weights_sha256, model)
    except (CheckpointError, RuntimeError, IndexError, MemoryError) as error:
        bench.progress.update(-scored)
        return Outcome(checkpoint, error=_reason(checkpoint, error)), None
    outcome = Outcome(checkpoint, arrival.weights_sha256, bench.corpus.n_tokens)
    seconds = round(time.perf_counter() - started, 3)
    return replace(outcome, seconds=seconds, **writer.summary(losses)), losses


def _reason(checkpoint: Checkpoint, error: Exception) -> str:
    """Torch's own errors: a checkpoint of other sizes than the first one, or too little memory."""
    if isinstance(error, CheckpointError):
        return str(error)
    if is_out_of_memory(error):
        return (
            f"{checkpoint.revision} does not fit into memory ({first_line(error)}), even with one "
            "window at a time: give --dtype bfloat16 or a smaller --context-length"
        )
    return (
        f"{checkpoint.revision} cannot score this text ({first_line(error)}): its "
        "vocabulary or context may be smaller than the first checkpoint's"
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


def best_device() -> str:
    """CUDA where it is, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"

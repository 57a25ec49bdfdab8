"""Score prepared checkpoints into a store: the loop that a run, a shard or a Ray actor executes.

While one checkpoint is scored, the next is fetched and read, and the losses of the last are
written.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tqdm import tqdm
from transformers import PreTrainedModel

from ingest.errors import CheckpointError, first_line
from ingest.model.batches import DeviceWindows
from ingest.model.kernel import looks_ahead, score, unscored
from ingest.model.memory import Budget, is_out_of_memory
from ingest.model.resident_model import ResidentModel
from ingest.model.tokenizer_check import TokenizerCheck
from ingest.options import RunOptions
from ingest.output import writer
from ingest.output.outcomes import Outcome, summarize
from ingest.prepare import PreparedRun
from ingest.probes.probe_file import ProbeFile
from ingest.sources.prefetch import FetchedCheckpoint, fetch_ahead, is_asynchronous, read_tensors
from ingest.sources.revisions import Checkpoint
from ingest.sources.source import Source
from ingest.text.corpus import Corpus
from store import schema
from store.layout import Layout

Record = Callable[[Outcome], None]
Scored = tuple[Outcome, np.ndarray | None]
"""An outcome and its scores float32 (1 or 5, tokens), of which the first are the losses (see
`ingest.model.softmax`); or an outcome with an error, and None."""


def score_checkpoints(
    layout: Layout,
    prepared: PreparedRun,
    todo: list[Checkpoint],
    source: Source,
    options: RunOptions,
    record: Record,
    probes: ProbeFile | None = None,
) -> Iterator[Outcome]:
    """The outcome of each checkpoint of `todo`, as soon as it is known.

    `record` is called with each outcome in the thread that writes, once the loss file is complete.
    Raises OSError if a file cannot be written.
    """
    # The store's own rows, so that a loss file repeats exactly what tokens.parquet holds.
    tokens = pq.read_table(layout.tokens, columns=schema.REPEATED).combine_chunks()
    total = len(todo) * prepared.corpus.n_tokens
    progress: tqdm[Any]
    with (
        tqdm(total=total, unit="tok", unit_scale=True, disable=not todo) as progress,
        background_task("write") as writing,
    ):
        scorer = Scorer(
            prepared.corpus, options, progress, writing.check, probes, prepared.tokenizer_check
        )
        pinned = is_asynchronous(options.device or best_device())
        for fetched in fetch_ahead(source, todo, options.prefetch, pinned):
            progress.set_description(fetched.checkpoint.revision)
            outcome, scores = scorer.score(fetched)
            if scores is None:
                total -= prepared.corpus.n_tokens
                progress.total = total
                progress.write(f"failed: {outcome.error}")
            writing.start(write_task(layout, prepared, tokens, outcome, scores, record))
            yield outcome


def write_task(
    layout: Layout,
    prepared: PreparedRun,
    tokens: pa.Table,
    outcome: Outcome,
    scores: np.ndarray | None,
    record: Record,
) -> Callable[[], None]:
    """A function that writes the checkpoint's files, if it has scores, and records the outcome."""

    def write() -> None:
        if scores is not None:
            writer.write_scores(layout, outcome, tokens, scores, prepared.vocabulary)
        record(outcome)

    return write


class BackgroundTask:
    """Runs one function at a time in another thread. Its exceptions are raised here."""

    def __init__(self, worker: ThreadPoolExecutor) -> None:
        self._worker = worker
        self._running: Future[None] | None = None

    def start(self, task: Callable[[], None]) -> None:
        """Start the task, after waiting for the one before."""
        self.finish()
        self._running = self._worker.submit(task)

    def check(self) -> None:
        """Raise the exception of a task that has failed. Does not wait."""
        if self._running and self._running.done():
            self.finish()

    def finish(self) -> None:
        """Wait until the running task ends."""
        running, self._running = self._running, None
        if running:
            running.result()


@contextmanager
def background_task(thread_name: str) -> Iterator[BackgroundTask]:
    """At the end, also after an exception, waits until the last task is complete."""
    worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix=thread_name)
    try:
        task = BackgroundTask(worker)
        yield task
        task.finish()
    finally:
        worker.shutdown(wait=True)


class Scorer:
    """Scores fetched checkpoints on one corpus, with one resident model and one memory budget."""

    def __init__(
        self,
        corpus: Corpus,
        options: RunOptions,
        progress: "tqdm[Any]",
        check: Callable[[], None] = lambda: None,
        probes: ProbeFile | None = None,
        tokenizer: TokenizerCheck | None = None,
    ) -> None:
        """`check` is called after every batch, so that a failure elsewhere ends the run soon."""
        device = options.device or best_device()
        self._model = ResidentModel(
            options.dtype, device, options.attention, options.compile, options.trust_remote_code
        )
        self._tokenizer = tokenizer
        self._budget = Budget(options.batch_tokens, progress.write)
        self._precision, self._compiled = options.precision, options.compile
        self._predictions = options.predictions
        self._corpus, self._progress = corpus, progress
        self._windows: DeviceWindows | None = None
        self._check, self._probes = check, probes

    def score(self, fetched: FetchedCheckpoint) -> Scored:
        """Score one checkpoint. What is wrong with it becomes the outcome's error."""
        started = time.perf_counter()
        checkpoint, before = fetched.checkpoint, self._progress.n
        try:
            if fetched.problem:
                raise fetched.problem
            if self._tokenizer:
                self._tokenizer.refuse_other(checkpoint)
            with self._blamed_on(checkpoint):
                model = self._model.load(fetched)
                _refuse_looking_ahead(checkpoint, model, self._corpus)
            scores = self._scores(checkpoint, model)
            _refuse_not_finite(checkpoint, model, scores[0])
            if self._probes and fetched.weights_sha256:
                self._probes.take(checkpoint.checkpoint, fetched.weights_sha256, model)
        except CheckpointError as error:
            self._progress.update(before - self._progress.n)
            return Outcome(checkpoint, error=str(error)), None
        outcome = Outcome(checkpoint, fetched.weights_sha256, self._corpus.n_tokens)
        seconds = round(time.perf_counter() - started, 3)
        return replace(outcome, seconds=seconds, **summarize(scores[0])), scores

    def _scores(self, checkpoint: Checkpoint, model: PreTrainedModel) -> np.ndarray:
        """Scores float32 (1 or 5, tokens). They leave an accelerator in one copy, at the end."""
        with self._blamed_on(checkpoint):
            windows = self._windows_on(model.device)
            scores = unscored(windows, self._predictions)
        batches = score(model, windows, scores, self._budget, self._precision, self._compiled)
        while True:
            with self._blamed_on(checkpoint):
                n_rows = next(batches, None)
                if n_rows is None:
                    return windows.in_row_order(scores)
            self._progress.update(n_rows)
            self._check()

    def _windows_on(self, device: torch.device) -> DeviceWindows:
        if self._windows is None:
            self._windows = DeviceWindows(self._corpus.windows, device, self._corpus.first)
        return self._windows

    @contextmanager
    def _blamed_on(self, checkpoint: Checkpoint) -> Iterator[None]:
        """Every exception inside becomes a CheckpointError: a model's code may raise any class."""
        try:
            yield
        except CheckpointError:
            raise
        except Exception as error:
            self._model.distrust()
            raise CheckpointError(failure_reason(checkpoint, error)) from error


def failure_reason(checkpoint: Checkpoint, error: Exception) -> str:
    """Why an exception kept the checkpoint from being scored.

    Torch's own errors mean that the checkpoint has other sizes, or too little memory.
    """
    if is_out_of_memory(error):
        return (
            f"{checkpoint.revision} does not fit into memory ({first_line(error)}), even with one "
            "window at a time: give --dtype bfloat16 or a smaller --context-length"
        )
    if isinstance(error, (RuntimeError, IndexError)):
        return (
            f"{checkpoint.revision} cannot score this text ({first_line(error)}): its "
            "vocabulary or context may be smaller than the first checkpoint's"
        )
    return (
        f"{checkpoint.revision} cannot score this text: its model raises {type(error).__name__} "
        f"({first_line(error)}); its config.json may not fit its architecture, or the installed "
        "transformers may have a bug, so try another version of it"
    )


def _refuse_looking_ahead(checkpoint: Checkpoint, model: PreTrainedModel, corpus: Corpus) -> None:
    if looks_ahead(model, corpus.windows[0]):
        raise CheckpointError(
            f"{checkpoint.revision} sees the tokens that it has to predict (it is an encoder, such "
            "as BERT): only models that read from left to right can be scored"
        )


def _refuse_not_finite(checkpoint: Checkpoint, model: PreTrainedModel, losses: np.ndarray) -> None:
    bad = int((~np.isfinite(losses)).sum())
    if not bad:
        return
    found = f"{checkpoint.revision} gives no finite loss on {bad:,} of {len(losses):,} tokens: "
    broken = next((n for n, p in model.named_parameters() if not bool(p.isfinite().all())), None)
    if model.dtype == torch.float32 or (broken and not _overflows(checkpoint, broken)):
        reason = "its weights contain NaN or infinity" if broken else "its activations overflow"
        raise CheckpointError(f"{found}{reason}; copy the checkpoint again, or leave it out")
    name = str(model.dtype).removeprefix("torch.")
    raise CheckpointError(
        f"{found}its weights, activations or logits exceed {torch.finfo(model.dtype).max:,.0f}, "
        f"the largest number of {name} (overflow): give --dtype float32 or bfloat16"
    )


def _overflows(checkpoint: Checkpoint, parameter: str) -> bool:
    """Are the checkpoint's weights finite in its files, so that it is this dtype that is too small?

    Reads the files again. If no tensor has the parameter's name, all must be finite.
    """
    tensors = read_tensors(checkpoint.path) or {}
    named = [tensors[parameter]] if parameter in tensors else list(tensors.values())
    return bool(named) and all(bool(t.isfinite().all()) for t in named if t.is_floating_point())


def best_device() -> str:
    """The accelerator that torch finds (cuda, mps, xpu), else the CPU."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return found.type if found else "cpu"

"""Record losses from inside a training loop: a store that grows while the model trains.

The model is scored where it is, without a copy or a file, and is left exactly as it was found, so
that training with and without a recorder gives the same weights to the last bit. Of several
processes that train one model (DDP), each scores its share of the text, and the first one writes.
"""

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from ingest.errors import IngestError
from ingest.model.batches import DeviceWindows
from ingest.model.kernel import looks_ahead, score, unscored
from ingest.model.memory import Budget
from ingest.model.ranks import n_ranks, on_all_ranks, rank
from ingest.model.snapshots import model_digest
from ingest.model.softmax import SCORES
from ingest.model.training_model import undisturbed, unwrapped
from ingest.options import RunOptions
from ingest.output.locks import writer_lock
from ingest.output.mirrors import is_url
from ingest.output.outcomes import (
    Outcome,
    known_outcomes,
    read_outcomes,
    summarize,
    write_outcomes,
)
from ingest.output.tables import read_table
from ingest.output.writer import open_store, write_scores
from ingest.prepare import PreparedRun, prepare_recording
from ingest.sources.revisions import Checkpoint
from store import schema
from store.layout import Layout

SAME = 1e-5
"""Nats. Losses of a repeated step that differ by no more are the same, up to rounding."""
_PER_DOUBLING = 4  # log-spaced steps


@dataclass(frozen=True)
class Overhead:
    """What recording cost. `elapsed`: seconds since training began, recording included."""

    n_recorded: int
    seconds: float
    elapsed: float

    @property
    def share(self) -> float:
        """Of the training time, 0 to 1."""
        return self.seconds / self.elapsed

    def __str__(self) -> str:
        return (
            f"recording {self.n_recorded} checkpoint{'' if self.n_recorded == 1 else 's'} took "
            f"{self.seconds:,.1f} s, "
            f"{self.share:.1%} of the training time"
        )


class Recorder:
    """Writes the losses of a model in training into a store, one checkpoint per `record`.

    `text`, `tokenizer` and `context_length` are as in `ingest run`, and so are the `options`, of
    which those of the text, `name`, `precision` and `batch_tokens` are used. With `predictions`,
    the model's prediction of every token is recorded, too. `notice` is called with a sentence about
    anything unusual. A store with another text, or of a model of another class or with other
    shapes, is refused.

    Among several processes (torch.distributed), all must make the same calls, with equal weights.
    """

    def __init__(
        self,
        store: str | Path,
        text: str | Path,
        tokenizer: PreTrainedTokenizerBase,
        context_length: int,
        *,
        predictions: bool = False,
        options: RunOptions | None = None,
        notice: Callable[[str], None] = warnings.warn,
    ) -> None:
        """Nothing is read or written yet. Raises IngestError for an unusable place."""
        _refuse_place(store, text)
        if not isinstance(tokenizer, PreTrainedTokenizerBase):
            raise IngestError(
                f"the tokenizer is a {type(tokenizer).__name__}: expected one of transformers, "
                "such as AutoTokenizer.from_pretrained gives"
            )
        self._layout, self._text, self._tokenizer = Layout(Path(store)), text, tokenizer
        options = options or RunOptions()
        self._options = replace(
            options,
            context_length=context_length,
            predictions=predictions or options.predictions,
        )
        self._notice = notice
        self._budget = Budget(self._options.batch_tokens, notice)
        self._prepared: PreparedRun | None = None
        self._windows: DeviceWindows | None = None
        self._unchanged_by_use = False
        self._began, self._seconds, self._n_recorded = time.perf_counter(), 0.0, 0

    @property
    def overhead(self) -> Overhead:
        """So far. Training counts from `open`, or else from when the recorder was made."""
        return Overhead(self._n_recorded, self._seconds, time.perf_counter() - self._began)

    def open(self, model: nn.Module) -> None:
        """Create the store, or check that it is of this model, text, tokenizer and context length.

        `record` does so when it is first called; call this to be refused earlier. Raises
        IngestError for unusable input, and for a store that holds something else.
        """
        self._began, self._seconds, self._n_recorded = time.perf_counter(), 0.0, 0
        with self._timed():
            standing = unwrapped(model)
            with undisturbed(standing):
                on_all_ranks(partial(self._open, standing))

    def record(self, model: nn.Module, step: int, tokens_seen: int | None = None) -> None:
        """Score the model as it is now, as checkpoint `step`, after `tokens_seen` training tokens.

        If the store has that step already, it is replaced only if a loss differs by more than
        `SAME`, and a notice says so. A model that gives no finite losses is listed with its error,
        and training goes on; a step that is in the store keeps its losses, since they may be right
        and NaN says nothing about them. Raises IngestError as `open` does, and if the model cannot
        be scored or changes when it is used.
        """
        with self._timed():
            began = time.perf_counter()
            checkpoint = _checkpoint(self._layout.root, step, tokens_seen)
            standing = unwrapped(model)
            with undisturbed(standing):
                scores = self._scores(standing)
            seconds = round(time.perf_counter() - began, 3)
            outcome = Outcome(checkpoint, n_tokens=scores.shape[1], seconds=seconds)
            on_all_ranks(lambda: self._write(outcome, scores) if rank() == 0 else None)
            self._n_recorded += 1

    def has(self, step: int) -> bool:
        """Is this step in the store?"""
        return on_all_ranks(lambda: self._is_whole(step))[0]

    @contextmanager
    def _timed(self) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds += time.perf_counter() - began

    def _open(self, model: PreTrainedModel) -> None:
        if self._prepared is not None:
            return
        options = replace(self._options, name=self._options.name or type(model).__name__)
        prepared = prepare_recording(model, self._tokenizer, self._text, options)
        if looks_ahead(model, prepared.corpus.windows[0]):
            raise IngestError(
                f"{type(model).__name__} sees the tokens that it has to predict (it is an encoder, "
                "such as BERT): only models that read from left to right can be scored"
            )
        if rank() == 0:
            with writer_lock(self._layout):
                open_store(self._layout, prepared.corpus, prepared.manifest)
                found = [_checkpoint(self._layout.root, n) for n in self._layout.scored()]
                known_outcomes(self._layout, found)
        self._prepared = prepared

    def _scores(self, model: PreTrainedModel) -> np.ndarray:
        """Scores float32 (1 or 5, tokens) on every rank; each scores every n-th window."""
        parts = on_all_ranks(partial(self._share_of_scores, model))
        assert self._prepared is not None
        corpus = self._prepared.corpus
        counts = np.array([len(w) for w in corpus.windows]) - corpus.first
        rank_of_row = np.repeat(np.arange(len(counts)) % len(parts), counts)
        scores = np.empty((len(parts[0]), len(rank_of_row)), dtype=np.float32)
        for number, part in enumerate(parts):
            scores[:, rank_of_row == number] = part
        return scores

    def _share_of_scores(self, model: PreTrainedModel) -> np.ndarray:
        before = None if self._unchanged_by_use else model_digest(model)
        self._open(model)
        assert self._prepared is not None
        corpus, share = self._prepared.corpus, slice(rank(), None, n_ranks())
        if not corpus.windows[share]:
            return np.empty((len(SCORES) if self._options.predictions else 1, 0), dtype=np.float32)
        if self._windows is None or self._windows.device != model.device:
            self._windows = DeviceWindows(corpus.windows[share], model.device, corpus.first[share])
        scores = unscored(self._windows, self._options.predictions)
        for _ in score(model, self._windows, scores, self._budget, self._options.precision):
            pass
        if before is not None and before != model_digest(model):
            raise IngestError(
                f"{type(model).__name__} changes its own weights or buffers when it is used, so "
                "recording would change the training: train without the recorder, and score saved "
                "checkpoints with `python -m ingest run`"
            )
        self._unchanged_by_use = True
        return self._windows.in_row_order(scores)

    def _write(self, outcome: Outcome, scores: np.ndarray) -> None:
        """Add the scores to the store, unless it has the same ones for this step already.

        A loss file is whole at any moment. Its row in checkpoints.parquet is removed before the
        file is replaced, so that a killed process leaves none that describes other losses.
        """
        assert self._prepared is not None
        checkpoint, step, losses = outcome.checkpoint, outcome.checkpoint.checkpoint, scores[0]
        with writer_lock(self._layout):
            known = read_outcomes(self._layout)
            found = known.get(step) if self._is_whole(step) else None
            if problem := _not_finite(step, losses):
                kept = "; the losses that were recorded for this step before are kept"
                self._notice(problem + kept if found else problem)
                outcome = found or Outcome(checkpoint, error=problem)
            elif found and not self._differs(step, losses):
                seen = found.checkpoint.tokens_seen or checkpoint.tokens_seen
                outcome = replace(found, checkpoint=replace(found.checkpoint, tokens_seen=seen))
            else:
                write_outcomes(self._layout, (o for n, o in known.items() if n != step))
                outcome = replace(outcome, **summarize(losses))
                tokens = pq.read_table(self._layout.tokens, columns=schema.REPEATED)
                write_scores(self._layout, outcome, tokens, scores, self._prepared.vocabulary)
            if outcome != found:
                write_outcomes(self._layout, (known | {step: outcome}).values())

    def _is_whole(self, step: int) -> bool:
        lacks = self._options.predictions and step not in self._layout.predicted()
        return step in self._layout.scored() and not lacks

    def _differs(self, step: int, losses: np.ndarray) -> bool:
        before = read_table(self._layout.loss_file(step))["loss"].to_numpy()
        difference = float(np.abs(losses - before).max())
        if difference > SAME:
            self._notice(
                f"step {step} was recorded before with other losses, which differ by up to "
                f"{difference:.3g} nats: they are replaced"
            )
        return difference > SAME


def log_spaced(last: int) -> set[int]:
    """Steps 0, 1, 2, … `last`: four per doubling, where whole numbers allow."""
    n = _PER_DOUBLING * last.bit_length()
    return {0, last, *(s for k in range(n) if (s := round(2 ** (k / _PER_DOUBLING))) < last)}


class TokenLossCallback(TrainerCallback):  # type: ignore[misc]
    """Records during training with Hugging Face's Trainer.

    After every `every` steps; after those in `steps`, which are step numbers (0: before training)
    or "log" for 0, 1, 2, … with equal ratios up to the last; and, `at_saves`, when a checkpoint is
    saved. Prints the overhead at the end.
    """

    def __init__(
        self,
        recorder: Recorder,
        every: int | None = None,
        steps: Iterable[int] | Literal["log"] = (),
        at_saves: bool = False,
    ) -> None:
        """Raises IngestError if nothing says when to record."""
        self._is_log = isinstance(steps, str)
        if self._is_log and steps != "log":
            raise IngestError(f'steps is "{steps}": expected numbers, or "log"')
        self._steps = set() if isinstance(steps, str) else set(steps)
        if every is not None and every < 1:
            raise IngestError(f"every is {every}: expected a number of steps, 1 or more")
        if not (every or self._steps or self._is_log or at_saves):
            raise IngestError("nothing says when to record: give every, steps or at_saves")
        self._recorder, self._every, self._at_saves = recorder, every, at_saves
        self._last: int | None = None

    def on_train_begin(
        self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Record step 0; or the saved step that training resumes from, if it was not recorded."""
        self._recorder.open(given["model"])
        if self._is_log:
            self._steps = log_spaced(state.max_steps)
        step, self._last = state.global_step, None
        resumed = self._at_saves and step > 0
        if (self._is_due(step) or resumed) and not (step and self._recorder.has(step)):
            self._record(state, given["model"])

    def on_step_end(
        self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Record the steps that are due."""
        if self._is_due(state.global_step):
            self._record(state, given["model"])

    def on_save(
        self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Record what was saved."""
        if self._at_saves:
            self._record(state, given["model"])

    def on_train_end(
        self, _: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        """Print the overhead."""
        if state.is_world_process_zero:
            print(self._recorder.overhead)

    def _is_due(self, step: int) -> bool:
        return step in self._steps or bool(self._every and step and step % self._every == 0)

    def _record(self, state: TrainerState, model: nn.Module) -> None:
        if state.global_step != self._last:
            self._last = state.global_step
            seen = state.num_input_tokens_seen or None  # 0 if the Trainer does not count them
            self._recorder.record(model, state.global_step, seen)


def _refuse_place(store: str | Path, text: str | Path) -> None:
    if is_url(store):
        raise IngestError(f"store {store} is a URL: record into a folder, and copy it there")
    place, source = Path(store), Path(text)
    if not str(store).strip() or (place.exists() and not place.is_dir()):
        raise IngestError(f"store {str(store)!r} is not a folder: name one, new or existing")
    if source.is_dir() and place.resolve().is_relative_to(source.resolve()):
        raise IngestError(
            f"store {store} is inside the folder of the text, and would be read as text the next "
            "time: name another"
        )


def _not_finite(step: int, losses: np.ndarray) -> str | None:
    n_bad = int((~np.isfinite(losses)).sum())
    if not n_bad:
        return None
    return (
        f"step {step} gives no finite loss on {n_bad:,} of {len(losses):,} tokens: its weights, "
        "activations or logits overflow"
    )


def _is_count(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return False
    return 0 <= int(value) < 2**63


def _checkpoint(root: Path, step: int, tokens_seen: int | None = None) -> Checkpoint:
    """Raises IngestError for a step or a number of tokens that is not a count."""
    if not _is_count(step):
        raise IngestError(f"step is {step!r}: expected an integer from 0 to 2^63 - 1")
    if tokens_seen is not None and not _is_count(tokens_seen):
        raise IngestError(f"tokens_seen is {tokens_seen!r}: expected an integer, 0 or more")
    return Checkpoint(int(step), f"step-{step}", root, int(step), tokens_seen=tokens_seen)

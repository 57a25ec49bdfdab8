"""Score every checkpoint of a folder on every token of a text, into a store; resume by skipping."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ingest import models, writer
from ingest.checkpoints import Checkpoint, find_checkpoints, weights_sha256
from ingest.corpus import Convention, Corpus, build_corpus
from ingest.errors import IngestError
from ingest.kernel import looks_ahead, token_losses
from ingest.models import CheckpointError
from ingest.opening import known_outcomes, only_writer, open_store
from ingest.texts import read_texts
from ingest.writer import Outcome
from store import schema
from store.layout import Layout
from store.manifest import Manifest

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy", "pyarrow")


@dataclass(frozen=True)
class Options:
    """How to score; what is None is decided from the checkpoints."""

    column: str = "text"
    name: str | None = None
    tokenizer: str | None = None
    context_length: int | None = None
    max_parts: int | None = None
    use_bos: bool = True
    tokens_per_step: int | None = None
    dtype: str = "float32"
    device: str | None = None
    batch_tokens: int = 4_096


@dataclass(frozen=True)
class Report:
    """What a run did: outcomes of the checkpoints that it tried, and how many it skipped."""

    tried: list[Outcome]
    skipped: int
    n_tokens: int

    @property
    def failed(self) -> list[Outcome]:
        return [o for o in self.tried if o.error]


@dataclass(frozen=True)
class Plan:
    """Everything known before the first weight is read."""

    checkpoints: list[Checkpoint]
    corpus: Corpus
    manifest: Manifest


def run(source: Path, text: Path, store: Path, options: Options) -> Report:
    """Score what is not scored yet. A failed checkpoint is recorded, the others go on.

    Raises IngestError for unusable input, or a store that holds something else.
    """
    _refuse_inside(source, store)
    plan = _prepare(source, text, options)
    layout = Layout(store)
    with only_writer(layout):
        open_store(layout, plan.corpus, plan.manifest)
        done = layout.scored()
        todo = [c for c in plan.checkpoints if c.checkpoint not in done]
        known = known_outcomes(layout, plan.checkpoints)
        tried = list(_score_all(layout, plan, todo, known, options))
    return Report(tried, len(plan.checkpoints) - len(todo), plan.corpus.n_tokens)


def _prepare(source: Path, text: Path, options: Options) -> Plan:
    checkpoints = find_checkpoints(source, options.tokens_per_step)
    documents = read_texts(text, options.column)
    tokenizer = models.load_tokenizer(source, checkpoints, options.tokenizer)
    config = models.first_config(checkpoints)
    convention = Convention(
        _context_length(options, models.context_length(config)),
        _bos_id(tokenizer) if options.use_bos else None,
        options.max_parts,
    )
    corpus = build_corpus(documents, tokenizer, convention)
    _refuse_small_vocabulary(corpus, config.get_text_config().vocab_size)
    manifest = Manifest(
        model=options.name or source.resolve().name,
        text=text.resolve().name,
        tokenizer=f"{type(tokenizer).__name__}, {len(tokenizer)} token types",
        tokenizer_sha256=models.tokenizer_sha256(tokenizer),
        context_length=convention.context_length,
        bos=None if convention.bos_id is None else _token(tokenizer, convention.bos_id),
        bos_id=convention.bos_id,
        max_parts=options.max_parts,
        dtype=options.dtype,
        attention=models.attention_backend(config),
        n_docs=corpus.docs.num_rows,
        n_tokens=corpus.n_tokens,
        token_fingerprint=schema.fingerprint(corpus.tokens),
        versions={name: version(name) for name in LIBRARIES},
    )
    return Plan(checkpoints, corpus, manifest)


def _context_length(options: Options, of_model: int | None) -> int:
    wanted = of_model if options.context_length is None else options.context_length
    if wanted is None:
        raise IngestError("the model's config names no context length: give --context-length")
    if wanted < 2:
        raise IngestError(f"--context-length is {wanted}: expected at least 2 tokens")
    if of_model is not None and wanted > of_model:
        raise IngestError(
            f"--context-length is {wanted}, but the model was made for at most {of_model} tokens"
        )
    return wanted


def _bos_id(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """BOS, else EOS, else none: the convention of lm-evaluation-harness."""
    found = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
    return None if found is None else int(found)


def _token(tokenizer: PreTrainedTokenizerBase, token_id: int) -> str:
    return str(tokenizer.convert_ids_to_tokens(token_id))


def _refuse_small_vocabulary(corpus: Corpus, size: int) -> None:
    largest = max(int(w.max()) for w in corpus.windows)
    if largest >= size:
        raise IngestError(
            f"the tokenizer gives token id {largest}, but the model knows only {size} token types: "
            "name the model's own tokenizer with --tokenizer"
        )


def _refuse_inside(source: Path, store: Path) -> None:
    if store.resolve() == source.resolve():
        raise IngestError(f"--store {store} is the folder of checkpoints itself: name another")
    if store.exists() and not store.is_dir():
        raise IngestError(f"--store {store} is a file: name a folder")


def _score_all(
    layout: Layout,
    plan: Plan,
    todo: list[Checkpoint],
    known: dict[int, Outcome],
    options: Options,
) -> Iterator[Outcome]:
    # The rows of the store itself, so that a loss file repeats exactly what stands there.
    tokens = pq.read_table(layout.tokens, columns=schema.REPEATED)
    total = len(todo) * plan.corpus.n_tokens
    progress: tqdm[Any]
    with tqdm(total=total, unit="tok", unit_scale=True, disable=not todo) as progress:
        for checkpoint in todo:
            progress.set_description(checkpoint.revision)
            outcome, losses = _score(checkpoint, plan.corpus, options, progress)
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
    checkpoint: Checkpoint, corpus: Corpus, options: Options, progress: "tqdm[Any]"
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
    except (CheckpointError, RuntimeError, IndexError) as error:
        progress.update(-scored)
        return Outcome(checkpoint, error=_reason(checkpoint, error)), None
    return Outcome(
        checkpoint,
        weights_sha256=weights_sha256(checkpoint.path),
        n_tokens=corpus.n_tokens,
        mean_loss=writer.mean_loss(losses),
        seconds=round(time.perf_counter() - started, 3),
    ), losses


def _reason(checkpoint: Checkpoint, error: Exception) -> str:
    """Torch's own errors: a checkpoint of other sizes than the first one, or too little memory."""
    if isinstance(error, CheckpointError):
        return str(error)
    return (
        f"{checkpoint.revision} cannot score this text ({models.first_line(error)}): its "
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


def best_device() -> str:
    """CUDA where it is, else the CPU."""
    return "cuda" if torch.cuda.is_available() else "cpu"

"""Score every checkpoint of a folder on every token of a text, into a store; resume by skipping."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from tqdm import tqdm
from transformers import PreTrainedTokenizerBase

from ingest import models, writer
from ingest.checkpoints import Checkpoint, find_checkpoints, weights_sha256
from ingest.corpus import Convention, Corpus, build_corpus
from ingest.errors import IngestError
from ingest.kernel import token_losses
from ingest.models import CheckpointError
from ingest.texts import read_texts
from ingest.writer import Outcome
from store import schema
from store.files import leftovers
from store.layout import Layout
from store.manifest import Manifest, ManifestError, read_manifest, write_manifest

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
    with _only_writer(layout):
        _open_store(layout, plan)
        done = layout.scored()
        todo = [c for c in plan.checkpoints if c.checkpoint not in done]
        known = _known_outcomes(layout, plan, done)
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
        text=text.name,
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
    wanted = options.context_length or of_model
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


@contextmanager
def _only_writer(layout: Layout) -> Iterator[None]:
    """Hold the store's folder locked; the lock goes with the process, however that ends."""
    layout.losses.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(layout.root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise IngestError(
            f"another ingest is writing {layout.root}: wait for it or stop it"
        ) from error
    finally:
        os.close(descriptor)


def _open_store(layout: Layout, plan: Plan) -> None:
    """Make the store, or check that it is the one that this run would make."""
    for path in [*leftovers(layout.root), *leftovers(layout.losses)]:
        path.unlink()
    if layout.manifest.exists():
        try:
            found = read_manifest(layout.manifest)
        except ManifestError as error:
            raise IngestError(str(error)) from error
        _refuse_other(layout.root, found, plan.manifest)
        return
    if layout.scored():
        raise IngestError(
            f"{layout.root} has loss files but no manifest.json: it is damaged; "
            "restore the manifest or name another --store"
        )
    writer.write_text(layout, plan.corpus)
    write_manifest(plan.manifest, layout.manifest)


def _refuse_other(root: Path, found: Manifest, wanted: Manifest) -> None:
    compared = {
        "model": "another model",
        "tokenizer_sha256": "another tokenizer",
        "context_length": "another context length",
        "bos_id": "another BOS convention",
        "max_parts": "another --max-parts",
        "dtype": "another dtype",
        "attention": "another attention backend",
        "token_fingerprint": "another text",
    }
    for name, what in compared.items():
        old, new = getattr(found, name), getattr(wanted, name)
        if old != new:
            raise IngestError(
                f"{root} was made with {what} ({name} {_short(old)}, now {_short(new)}): losses "
                "of both cannot stand in one store; name another --store"
            )


def _short(value: object) -> str:
    return str(value)[:40]


def _known_outcomes(layout: Layout, plan: Plan, done: dict[int, Path]) -> dict[int, Outcome]:
    """Outcomes so far; those that a kill left unrecorded are read from their loss files."""
    known = writer.read_outcomes(layout)
    by_number = {c.checkpoint: c for c in plan.checkpoints}
    for number, path in done.items():
        recorded = known.get(number)
        if recorded is None or recorded.error:
            checkpoint = by_number.get(number) or Checkpoint(number, path.stem, path, number)
            known[number] = writer.scored_outcome(path, checkpoint)
    writer.write_outcomes(layout, known.values())
    return known


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
        losses = np.full(corpus.n_tokens, np.nan, dtype=np.float32)
        for rows, values in token_losses(model, corpus.windows, options.batch_tokens):
            losses[rows] = values
            scored += len(rows)
            progress.update(len(rows))
        _refuse_not_finite(checkpoint, losses)
    except CheckpointError as error:
        progress.update(-scored)
        return Outcome(checkpoint, error=str(error)), None
    return Outcome(
        checkpoint,
        weights_sha256=weights_sha256(checkpoint.path),
        n_tokens=corpus.n_tokens,
        mean_loss=float(losses.mean(dtype=np.float64)),
        seconds=round(time.perf_counter() - started, 3),
    ), losses


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

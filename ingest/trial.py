"""A short trial on this machine: how fast it scores, and how large a loss file will be."""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from ingest.errors import CheckpointError
from ingest.model import loading
from ingest.model.kernel import token_losses
from ingest.model.memory import Budget
from ingest.model.resident_model import Standing
from ingest.output import writer
from ingest.prepare import Options, Plan, prepare
from ingest.scoring import best_device
from ingest.sources.checkpoints import Checkpoint
from ingest.sources.folder import Folder, Source, open_source
from ingest.sources.prefetch import read
from ingest.text.corpus import Corpus
from store.layout import Layout

_SECONDS = 5.0
_WINDOWS = 64


@dataclass(frozen=True)
class Trial:
    """What was found on a part of the text: rates per token, and on what device."""

    n_tokens: int
    bytes_per_token: float
    tokens_per_second: float
    device: str
    attention: str


def try_out(source: str | Path, text: str | Path, options: Options) -> Trial:
    """Score a part of the text for some seconds, and write a loss file that is thrown away.

    Of a folder the first checkpoint that can be read is tried; of a repository, which is not
    downloaded, a model of its configuration with random weights: the speed is the same.
    Raises IngestError for unusable input.
    """
    opened = open_source(source, store=None)
    plan = prepare(opened, text, options)
    device = options.device or best_device()
    speed = _speed(_model(opened, plan, options, device), plan.corpus, options)
    size = _bytes_per_token(plan.corpus)
    return Trial(plan.corpus.n_tokens, size, speed, device, plan.manifest.attention)


def _model(source: Source, plan: Plan, options: Options, device: str) -> PreTrainedModel:
    if isinstance(source, Folder):
        standing = Standing(options.dtype, device, options.attention, options.compile)
        for checkpoint in plan.checkpoints:
            try:
                return standing.put(replace(read(checkpoint), tensors=None))
            except CheckpointError:  # `odd:` tells of it
                continue
    with source.described(plan.checkpoints) as described:
        config = loading.first_config(described)
    model = AutoModelForCausalLM.from_config(
        config, dtype=loading.DTYPES[options.dtype], attn_implementation=options.attention
    )
    return model.eval().to(device)


def _speed(model: PreTrainedModel, corpus: Corpus, options: Options) -> float:
    """Tokens per second, of windows from all over the text."""
    spacing = max(len(corpus.windows) // _WINDOWS, 1)
    windows = corpus.windows[::spacing]
    batches = token_losses(model, windows, Budget(options.batch_tokens), corpus.first[::spacing])
    started, scored = time.perf_counter(), 0
    for rows, _ in batches:
        scored += len(rows)
        if time.perf_counter() - started > _SECONDS:
            break
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return scored / (time.perf_counter() - started)


def _bytes_per_token(corpus: Corpus) -> float:
    """Of a part of the text at most; its losses are noise, which nothing compresses."""
    tokens = corpus.tokens.slice(0, writer.ROW_GROUP)
    noise = np.random.default_rng(0).gamma(2.0, 1.5, tokens.num_rows).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        outcome = writer.Outcome(Checkpoint(1, "trial", Path(folder), 1))
        writer.write_losses(layout, outcome, tokens, noise)
        return layout.loss_file(1).stat().st_size / len(noise)

"""A short trial on this machine: how fast it scores, and how large a loss file will be."""

import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from ingest.errors import CheckpointError
from ingest.model.batches import DeviceWindows
from ingest.model.configuration import first_config
from ingest.model.kernel import score
from ingest.model.memory import Budget
from ingest.model.resident_model import DTYPES, ResidentModel
from ingest.options import RunOptions
from ingest.output.outcomes import Outcome
from ingest.output.tables import ROW_GROUP
from ingest.output.writer import write_losses
from ingest.prepare import PreparedRun, prepare
from ingest.scoring import best_device
from ingest.sources.folder import Folder
from ingest.sources.open import open_source
from ingest.sources.prefetch import read_weights
from ingest.sources.revisions import Checkpoint
from ingest.sources.source import Source
from ingest.text.corpus import Corpus
from store.layout import Layout

_SECONDS = 5.0
_WINDOWS = 64


@dataclass(frozen=True)
class Trial:
    """What a part of the text showed: rates per token, and on which device."""

    n_tokens: int
    bytes_per_token: float
    tokens_per_second: float
    device: str
    attention: str


def run_trial(source: str | Path, text: str | Path, options: RunOptions) -> Trial:
    """Score a part of the text for some seconds, and write a loss file to a temporary folder.

    For a folder, uses the first checkpoint that can be loaded. For a repository, which is not
    downloaded, uses random weights in the shape of its configuration: the speed is the same.
    Raises IngestError for unusable input.
    """
    opened = open_source(source, store=None)
    prepared = prepare(opened, text, options)
    device = options.device or best_device()
    speed = _speed(_model(opened, prepared, options, device), prepared.corpus, options)
    size = _bytes_per_token(prepared.corpus)
    return Trial(prepared.corpus.n_tokens, size, speed, device, prepared.manifest.attention)


def _model(
    source: Source, prepared: PreparedRun, options: RunOptions, device: str
) -> PreTrainedModel:
    if isinstance(source, Folder):
        resident = ResidentModel(
            options.dtype, device, options.attention, options.compile, options.trust_remote_code
        )
        for checkpoint in prepared.checkpoints:
            try:
                return resident.load(replace(read_weights(checkpoint), tensors=None))
            except CheckpointError:  # `plan` warns about it
                continue
    with source.described(prepared.checkpoints) as described:
        config = first_config(described, options.trust_remote_code)
    model = AutoModelForCausalLM.from_config(
        config,
        dtype=DTYPES[options.dtype],
        attn_implementation=options.attention,
        trust_remote_code=options.trust_remote_code,
    )
    return model.eval().to(device)


def _speed(model: PreTrainedModel, corpus: Corpus, options: RunOptions) -> float:
    """Tokens per second, on windows from all over the text."""
    spacing = max(len(corpus.windows) // _WINDOWS, 1)
    windows = corpus.windows[::spacing]
    placed = DeviceWindows(windows, model.device, corpus.first[::spacing])
    losses = torch.empty(placed.n_rows, device=model.device)
    if model.device.type != "cpu":  # whose libraries choose and load code on first use
        _scored_in(model, placed, losses, options)
    started = time.perf_counter()
    return _scored_in(model, placed, losses, options) / (time.perf_counter() - started)


def _scored_in(
    model: PreTrainedModel, placed: DeviceWindows, losses: torch.Tensor, options: RunOptions
) -> int:
    """How many tokens were scored in some seconds."""
    started, scored = time.perf_counter(), 0
    for n_rows in score(model, placed, losses, Budget(options.batch_tokens), options.precision):
        scored += n_rows
        if time.perf_counter() - started > _SECONDS:
            break
    losses[:1].cpu()  # waits for the device
    return scored


def _bytes_per_token(corpus: Corpus) -> float:
    """From the first rows of the text, with noise for losses, which does not compress."""
    tokens = corpus.tokens.slice(0, ROW_GROUP)
    noise = np.random.default_rng(0).gamma(2.0, 1.5, tokens.num_rows).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder))
        outcome = Outcome(Checkpoint(1, "trial", Path(folder), 1))
        write_losses(layout, outcome, tokens, noise)
        return layout.loss_file(1).stat().st_size / len(noise)

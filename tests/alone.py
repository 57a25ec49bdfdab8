"""A run of three checkpoints, compared with each scored alone, in float64, one window at a time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, PreTrainedModel

from ingest.model.kernel import token_losses
from ingest.options import RunOptions
from ingest.scoring import Scorer
from ingest.sources.prefetch import read_weights
from ingest.sources.revisions import Checkpoint
from ingest.text.corpus import Corpus
from tests.architectures import CONTEXT, VOCABULARY, tiny_model

STEPS = (1, 2, 3)
LENGTHS = (CONTEXT, 20, 9, 20)


@dataclass(frozen=True)
class Comparison:
    """`error`: why the run refused a checkpoint; else the largest difference, in nats.

    `in_float64`: the largest difference if the run, too, computes in float64 (but for the head).
    """

    largest: float = float("nan")
    error: str | None = None
    in_float64: float = float("nan")


def compare_with_alone(architecture: str, folder: Path) -> Comparison:
    """Score three checkpoints of random weights as a run does, and alone."""
    checkpoints = [_saved(architecture, step, folder) for step in STEPS]
    corpus = _corpus()
    scorer = Scorer(corpus, RunOptions(device="cpu"), tqdm(disable=True))
    largest = 0.0
    for checkpoint in checkpoints:
        outcome, losses = scorer.score(read_weights(checkpoint))
        if losses is None:
            return Comparison(error=outcome.error)
        alone = _alone(checkpoint.path, corpus.windows)
        largest = max(largest, float(abs(losses - alone).max()))
    return Comparison(largest, None, _in_float64(checkpoints[0].path, corpus.windows))


def _saved(architecture: str, step: int, folder: Path) -> Checkpoint:
    path = folder / f"step{step}"
    tiny_model(architecture, seed=step).save_pretrained(path)
    return Checkpoint(step, path.name, path, step)


def _corpus() -> Corpus:
    numbers = np.random.default_rng(0)
    windows = [numbers.integers(1, VOCABULARY, n) for n in LENGTHS]
    rows = pa.table({"row": np.arange(sum(LENGTHS) - len(LENGTHS))})
    return Corpus(rows, rows, windows, np.ones(len(windows), dtype=np.int64), len(windows))


def _in_float64(folder: Path, windows: list[np.ndarray]) -> float:
    """Distinguishes rounding, which some architectures amplify, from errors; NaN if it cannot."""
    try:
        model = _model(folder, torch.float64)
        losses = token_losses(model, windows)
        return float(abs(losses - _losses(folder, windows, torch.float64)).max())
    except RuntimeError:
        return float("nan")


def _alone(folder: Path, windows: list[np.ndarray]) -> np.ndarray:
    """In float32 for the few architectures whose code does not run in float64."""
    try:
        return _losses(folder, windows, torch.float64)
    except RuntimeError:
        return _losses(folder, windows, torch.float32)


def _losses(folder: Path, windows: list[np.ndarray], dtype: torch.dtype) -> np.ndarray:
    """float64 (tokens,)."""
    model = _model(folder, dtype)
    return np.concatenate([_window_losses(model, window) for window in windows])


def _model(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, experts_implementation="eager"
    ).eval()


@torch.no_grad()
def _window_losses(model: PreTrainedModel, window: np.ndarray) -> np.ndarray:
    ids = torch.from_numpy(window)
    logits = model(input_ids=ids[None], use_cache=False).logits[0, :-1].double()
    log_p = torch.log_softmax(logits, dim=-1)
    return -log_p.gather(1, ids[1:, None])[:, 0].numpy()

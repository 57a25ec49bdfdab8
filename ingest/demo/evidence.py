"""The table that shows what the demo run learned, and when."""

from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from ingest.demo.train import Repeat, plant_repeat, sample_windows
from ingest.model.kernel import token_losses
from ingest.model.resident_model import load_model
from ingest.sources.revisions import Checkpoint
from store.layout import Layout

WINDOWS = 32
SHOWN = {
    *(0, 100, 200, 400, 600, 1_000, 1_200),
    *(1_300, 1_380, 1_440, 1_500, 1_540, 1_580, 1_600, 1_640),  # copying forms
    *(1_700, 1_800, 2_000, 2_300, 2_500, 3_000),
}
HEADER = (
    "| step | all | repeat, 1st | repeat, 2nd | copyable | rest | word start | continuation "
    "| position 500 - 50 |\n|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class PlantedText:
    """Held-out windows int64 (n, length), each with one planted repeat."""

    windows: list[np.ndarray]
    repeats: list[Repeat]


def plant(stream: np.ndarray, length: int, bos: int, seed: int) -> PlantedText:
    """`WINDOWS` windows of held-out text with one repeated span each; for the table only."""
    rng = np.random.default_rng(seed)
    windows = list(sample_windows(stream, WINDOWS, length - 1, bos, rng))
    return PlantedText(windows, [plant_repeat(window, rng) for window in windows])


def repeat_losses(checkpoint: Checkpoint, text: PlantedText) -> tuple[float, float]:
    """Mean loss (nats) on the first and on the second occurrence of the planted spans."""
    model = load_model(checkpoint, "float32", "cpu")
    losses = token_losses(model, text.windows)
    of_window = losses.reshape(len(text.windows), -1)

    def mean(start: str) -> float:
        # Token i of a window is predicted in row i - 1. The span's first token is not yet a copy.
        spans = [
            line[getattr(r, start) : getattr(r, start) + r.length - 1]
            for line, r in zip(of_window, text.repeats, strict=True)
        ]
        return float(np.concatenate(spans).mean())

    return mean("first"), mean("second")


def evidence_table(layout: Layout, checkpoints: list[Checkpoint], text: PlantedText) -> str:
    """The table as Markdown. All columns except the repeats are from the store's natural text."""
    tokens = pq.read_table(layout.tokens).to_pandas()
    copyable = (tokens.trigram_seen_before > 0).to_numpy()
    starts = tokens.is_word_start.to_numpy()
    late, early = (tokens.position == 500).to_numpy(), (tokens.position == 50).to_numpy()
    lines = [HEADER]
    for checkpoint in (c for c in checkpoints if c.step in SHOWN):
        loss = pq.read_table(layout.loss_file(checkpoint.checkpoint))["loss"].to_numpy()
        first, second = repeat_losses(checkpoint, text)
        groups = [loss[g].mean() for g in (copyable, ~copyable, starts, ~starts)]
        cells = [loss.mean(), first, second, *groups]
        score = loss[late].mean() - loss[early].mean()
        shown = " | ".join(f"{value:.2f}" for value in cells)
        lines.append(f"| {checkpoint.step:,} | {shown} | {score:+.2f} |")
    return "\n".join(lines) + "\n"

"""`make bench-gpu`: scoring at each precision next to a bare loop, and a run from disk to Parquet.

Needs no network, and of this project's packages only those that ingest needs. Eight checkpoints of
GPT-2 small's shape with made-up weights are written to a local disk. Each line of the table is one
way to compute the losses:

`ours`        the scoring kernel, with the model in memory: windows to losses on the host.
`bare`        a forward pass and a cross-entropy over batches that are on the device already, with
              the fastest of several batch sizes.
`end to end`  a run: each checkpoint is read from disk and hashed, its weights are sent to the
              device, the text is scored and the loss file written.

Runs on a CPU, too, where `--size small` takes seconds, so that it starts where there is a GPU.
"""

import argparse
import importlib.metadata
import io
import json
import math
import os
import platform
import shutil
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel
from transformers.activations import NewGELUActivation

from ingest.model.batches import DeviceWindows
from ingest.model.kernel import score, unscored
from ingest.model.memory import Budget
from ingest.model.precision import Precision
from ingest.model.resident_model import load_model
from ingest.options import RunOptions
from ingest.prepare import PreparedRun, prepare
from ingest.run import fill
from ingest.scoring import best_device
from ingest.sources.folder import Folder
from ingest.sources.revisions import Checkpoint
from tests.bench.ingest import batches
from tests.bench.large import train_tokenizer

TEXT = Path("data/demo/text/addresses.parquet")
MISTRAL = 609  # checkpoints of one of Mistral's runs
TARGETS = {"ratio": 0.85, "float32": 25.0, "bfloat16": 10.0}
"""Least speed against the bare loop; most minutes for 609 checkpoints, on one H100."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    n_tokens: int
    n_checkpoints: int
    vocabulary: int
    model: dict[str, int]  # changes to GPT-2 small's shape
    batches: tuple[int, ...]  # tokens per batch that the bare loop tries
    repeat: int


SIZES = {
    "report": Size(319_667, 8, 50_257, {}, (8_192, 16_384, 32_768, 65_536), 3),
    "small": Size(3_000, 2, 2_000, {"n_layer": 2, "n_embd": 64, "n_head": 2}, (2_048, 4_096), 1),
}


@dataclass(frozen=True)
class Mode:
    """How precisely to compute."""

    name: str
    dtype: Literal["float32", "bfloat16"]
    precision: Precision
    compiled: bool = False

    @property
    def options(self) -> str:
        return f"--dtype {self.dtype} --precision {self.precision}" + (
            " --compile" if self.compiled else ""
        )


MODES = (
    Mode("float32", "float32", "highest"),
    Mode("TF32", "float32", "high"),
    Mode("bfloat16 products", "float32", "medium"),
    Mode("bfloat16 model", "bfloat16", "high"),
)
COMPILED = (
    Mode("TF32, compiled", "float32", "high", compiled=True),
    Mode("bfloat16 products, compiled", "float32", "medium", compiled=True),
)


@dataclass
class Measured:
    """What one mode gave. Rates in tokens per second, losses in nats."""

    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    bare_batch: int = 0
    losses: np.ndarray = field(default_factory=lambda: np.empty(0))
    seconds: float = math.nan  # end to end, all checkpoints
    each: float = math.nan  # seconds from one checkpoint to the next, median
    busy: float | None = None  # share of that time


def main() -> None:
    """Print the page; with --page, also write it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", choices=SIZES, default="report", help="(%(default)s)")
    parser.add_argument("--folder", type=Path, default=Path("build"), help="on a local disk")
    parser.add_argument("--page", type=Path, help="write the results there, as Markdown")
    parser.add_argument("--compile", action="store_true", help="also with --compile: minutes more")
    arguments = parser.parse_args()
    modes = MODES + (COMPILED if arguments.compile else ())
    folder = arguments.folder / f"bench-gpu-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        page = measure(SIZES[arguments.size], folder, modes)
    finally:
        shutil.rmtree(folder)
    print(page)
    if arguments.page:
        arguments.page.write_text(page, encoding="utf-8")


def measure(size: Size, folder: Path, modes: tuple[Mode, ...]) -> str:
    """The results as a Markdown page."""
    _make(folder, size)
    device = best_device()
    source = Folder(folder / "run")
    found = {}
    for mode in modes:
        options = RunOptions(
            dtype=mode.dtype,
            precision=mode.precision,
            compile=mode.compiled,
            limit_tokens=size.n_tokens,
            context_length=1_024,
        )
        prepared = prepare(source, folder / "lines.jsonl", options)
        found[mode] = Measured()
        print(f"{mode.name} …", flush=True)
        _in_memory(found[mode], mode, prepared, size, device)
        _end_to_end(found[mode], source, prepared, options, folder / "store")
    return _page(size, found, prepared)


def _make(folder: Path, size: Size) -> None:
    """Write the checkpoints and the text: lines of the demo's addresses, twice.

    Random weights would give every token nearly the same loss. The last norm is scaled so that
    logits spread as widely as a trained model's.
    """
    texts = pq.read_table(TEXT)["text"].to_pylist()
    tokenizer = train_tokenizer(size.vocabulary, texts)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=size.vocabulary, bos_token_id=0, eos_token_id=0, **size.model)
    model = GPT2LMHeadModel(config)
    model.transformer.ln_f.weight.data *= 4.0
    for step in range(1, size.n_checkpoints + 1):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=2e-3)
        model.save_pretrained(folder / "run" / f"step{step}")
        tokenizer.save_pretrained(folder / "run" / f"step{step}")
    lines = [line for text in texts for line in text.split("\n") if len(line) > 20]
    rows = [json.dumps({"text": line}) + "\n" for line in lines * 2]
    (folder / "lines.jsonl").write_text("".join(rows), encoding="utf-8")


def _in_memory(
    measured: Measured, mode: Mode, prepared: PreparedRun, size: Size, device: str
) -> None:
    """The kernel and the bare loop take turns, with the first checkpoint in memory."""
    model = load_model(prepared.checkpoints[0], mode.dtype, device)
    if mode.compiled:
        model.base_model.compile(dynamic=True)
    windows = DeviceWindows(prepared.corpus.windows, device, prepared.corpus.first)
    plain = load_model(prepared.checkpoints[0], mode.dtype, device)
    _restore_activations(plain)
    if mode.compiled:
        plain.compile(dynamic=True)
    candidates = {n: _BareLoop(plain, mode, prepared.corpus.windows, n) for n in size.batches}
    rates = {n: _rate(loop.run, prepared.corpus.n_tokens) for n, loop in candidates.items()}
    measured.bare_batch = max(rates, key=lambda n: rates[n])
    bare = candidates[measured.bare_batch]

    def ours() -> None:
        losses = unscored(windows, predictions=False)
        for _ in score(model, windows, losses, Budget(), mode.precision, mode.compiled):
            pass
        measured.losses = windows.in_row_order(losses)[0]

    _rate(ours, 1)  # libraries choose and load code on first use
    for _ in range(size.repeat):
        measured.ours.append(_rate(ours, prepared.corpus.n_tokens))
        measured.bare.append(_rate(bare.run, prepared.corpus.n_tokens))


def _restore_activations(model: PreTrainedModel) -> None:
    """`load_model` replaces GPT-2's activation by a faster equal one, which a bare loop has not."""
    for block in model.transformer.h:
        block.mlp.act = NewGELUActivation()


class _BareLoop:
    """Batches of windows of similar lengths, on the device before the clock starts."""

    def __init__(
        self, model: PreTrainedModel, mode: Mode, windows: list[np.ndarray], n_tokens: int
    ) -> None:
        self._model, self._mode = model, mode
        self._batches = [ids.to(model.device) for ids, _ in batches(windows, n_tokens)]

    @torch.inference_mode()
    def run(self) -> None:
        """Compute the losses, and wait for them. A batch that does not fit ends the run."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(
            "highest" if self._mode.precision == "highest" else "high"
        )
        kind = self._model.device.type
        widened = self._mode.precision == "medium"
        try:
            with torch.autocast(kind, torch.bfloat16, enabled=widened):
                losses = [self._losses(ids) for ids in self._batches]
            losses[-1].cpu()
        finally:
            torch.set_float32_matmul_precision(before)

    def _losses(self, ids: torch.Tensor) -> torch.Tensor:
        logits = self._model(input_ids=ids[:, :-1].clamp(min=0), use_cache=False).logits
        return torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )


def _rate(way: Callable[[], object], n_tokens: int) -> float:
    """Tokens per second; 0 if the device has too little memory."""
    started = time.perf_counter()
    try:
        way()
    except torch.OutOfMemoryError:
        return 0.0
    return n_tokens / (time.perf_counter() - started)


def _end_to_end(
    measured: Measured, source: Folder, prepared: PreparedRun, options: RunOptions, store: Path
) -> None:
    """Score all checkpoints, which are not in memory, into an empty store."""
    shutil.rmtree(store, ignore_errors=True)
    for checkpoint in prepared.checkpoints:
        _evict(checkpoint)
    with _watched() as samples, redirect_stderr(io.StringIO()):  # its progress bar
        started = time.perf_counter()
        report = fill(source, prepared, store, options)
        measured.seconds = time.perf_counter() - started
    assert not report.failed, report.failed[0].error
    written = sorted(p.stat().st_mtime for p in (store / "losses").iterdir())
    measured.each = float(np.median(np.diff(written)))
    busy = [share for moment, share in samples if written[0] < moment < written[-1]]
    measured.busy = statistics.mean(busy) if busy else None


def _evict(checkpoint: Checkpoint) -> None:
    """Drop the weights from the system's cache, so that they are read from the disk."""
    for path in checkpoint.path.glob("*.safetensors"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


@contextmanager
def _watched() -> Iterator[list[tuple[float, float]]]:
    """(time, share of the time before it in which a CUDA device computed), again and again.

    Empty where it cannot be read.
    """
    samples: list[tuple[float, float]] = []
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.1):
            try:
                samples.append((time.time(), torch.cuda.utilization() / 100))
            except Exception:  # no CUDA, or no nvidia-ml-py
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield samples
    finally:
        stop.set()
        watcher.join()


def _page(size: Size, found: dict[Mode, Measured], prepared: PreparedRun) -> str:
    exact = found[MODES[0]].losses
    lines = [
        "# Scoring on a GPU",
        "",
        "This page is written by `make bench-gpu` (`python -m tests.bench.gpu --page "
        "docs/gpu.md`). Its docstring says what each column is.",
        "",
        f"Measured on {date.today():%Y-%m-%d}: {_hardware()}. {_software()}.",
        "",
        f"{size.n_checkpoints} made-up checkpoints of {_shape(prepared)}, "
        f"{prepared.corpus.n_tokens:,} tokens in {len(prepared.corpus.windows):,} lines of the "
        f"demo's text, of at most 1,024 tokens; medians of {size.repeat}.",
        "",
        "| precision | options | ours, tokens/s | bare, tokens/s | ours / bare | batch of bare | "
        "largest difference, nats | mean difference, nats |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for mode, measured in found.items():
        ours, bare = statistics.median(measured.ours), statistics.median(measured.bare)
        difference = np.abs(measured.losses - exact)
        lines.append(
            f"| {mode.name} | `{mode.options}` | {ours:,.0f} | {bare:,.0f} | {ours / bare:.2f} | "
            f"{measured.bare_batch:,} | {difference.max():.4f} | {difference.mean():.5f} |"
        )
    lines += [
        "",
        f"Differences are between a token's loss and its loss at float32. At least "
        f"{TARGETS['ratio']} of the bare loop was asked for.",
        "",
        f"| precision | end to end, {size.n_checkpoints} checkpoints, s | s per checkpoint after "
        f"the first | GPU busy then | {MISTRAL} checkpoints, min |",
        "|---|--:|--:|--:|--:|",
    ]
    for mode, measured in found.items():
        busy = "not measured" if measured.busy is None else f"{measured.busy:.0%}"
        first = measured.seconds - (size.n_checkpoints - 1) * measured.each
        minutes = (first + (MISTRAL - 1) * measured.each) / 60
        lines.append(
            f"| {mode.name} | {measured.seconds:.1f} | {measured.each:.2f} | {busy} | "
            f"{minutes:.1f} |"
        )
    lines += [
        "",
        "The run reads the weights from the disk (their cached pages are dropped first), hashes "
        "them, sends them to the device, scores the text and writes the loss files. The last "
        f"column extrapolates. It was asked for that {MISTRAL} take less than "
        f"{TARGETS['float32']:.0f} min at float32 and {TARGETS['bfloat16']:.0f} at bfloat16, on "
        "one H100.",
        "",
    ]
    return "\n".join(lines)


def _hardware() -> str:
    cores = f"{os.cpu_count()} CPU cores"
    if not torch.cuda.is_available():
        return f"no GPU, {cores}"
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"one {torch.cuda.get_device_name()} ({memory:.0f} GiB), {cores}"


def _software() -> str:
    names = ("torch", "transformers", "pyarrow")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in names]
    return ", ".join([f"Python {platform.python_version()}", *versions])


def _shape(prepared: PreparedRun) -> str:
    config: Any = GPT2Config.from_pretrained(prepared.checkpoints[0].path)
    return (
        f"{config.n_layer} layers, width {config.n_embd} and {config.vocab_size:,} token types"
        + (" (GPT-2 small's shape)" if config.n_embd == 768 else "")
    )


if __name__ == "__main__":
    main()

"""`make bench-ingest`: our scoring next to other ways, interleaved in one run; medians.

Each line names one way to compute the losses:
`ours`      what a run does once its plan is made: read each checkpoint's weights, hash them, score
            the text and write the loss files.
`predicted` the same with --predictions: rank, entropy and first guess of every token as well.
`bare`      a forward pass and a cross-entropy over prepared batches; the model is in memory.
`report`    (GPT-2 small only) the report's way: load a checkpoint, score one line at a time.
`lm-eval`   (GPT-2 small only) `loglikelihood_rolling` of lm-evaluation-harness with the model in
            memory, if it is installed (requirements-peers.lock).
`products`  (GPT-2 small only) as many of torch's matrix products as the model has, and nothing
            else. Another library can be faster, as oneDNN is on some CPUs.
`bare` and `lm-eval` use the fastest of several batch sizes, as measured on a part of the text.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from ingest.demo.text import addresses
from ingest.options import RunOptions
from ingest.prepare import PreparedRun, prepare
from ingest.run import fill
from ingest.sources.folder import Folder
from tests.bench import bytes_per_row, scoring_memory
from tests.bench.large import train_tokenizer

DEMO = Path("data/demo")
LIMITS = {"GPT-2 small": {"bare": 0.85, "report": 3.0, "lm-eval": 2.0}, "demo": {"bare": 0.7}}
"""Case -> way -> the least ratio of our speed to its speed that we accept, at the report's size."""
OURS = ("ours", "predicted")
COST_OF_PREDICTIONS = 1.25
"""Times the time of losses alone: the most that we accept, at the report's size."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    lines: int  # of the text that GPT-2 small is scored on
    repeat: int
    vocabulary: int
    model: dict[str, int]  # changes to GPT-2 small's shape
    rows: int  # of the loss file whose bytes are counted
    memory: scoring_memory.Shape


SIZES = {
    "report": Size(120, 3, 50_257, {}, bytes_per_row.REPORT_ROWS, scoring_memory.GPT2),
    "small": Size(
        12, 1, 2_000, {"n_layer": 2, "n_embd": 64, "n_head": 2}, 20_000, scoring_memory.SMALL
    ),
}


@dataclass(frozen=True)
class Case:
    """A model, a text, and how to score them."""

    name: str
    checkpoints: Path
    text: Path
    options: RunOptions


def main() -> None:
    """Print tokens per second of each way and the ratios, bytes per row, and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="report", help="(%(default)s)")
    parser.add_argument("--lines", type=int, help="lines of GPT-2 small's text")
    parser.add_argument("--repeat", type=int, help="number of measurements")
    parser.add_argument("--case", choices=("gpt2", "demo", "files"), help="only one of them")
    options = parser.parse_args()
    size = SIZES[options.size]
    lines, repeat = options.lines or size.lines, options.repeat or size.repeat
    folder = Path("build", f"bench-ingest-{os.getpid()}")
    folder.mkdir(parents=True)
    tokenizer = train_tokenizer(size.vocabulary)
    limits = LIMITS if options.size == "report" else {}
    if options.case in (None, "gpt2"):
        case = _gpt2(folder, tokenizer, size, lines)
        _compare(case, folder, repeat, limits.get(case.name, {}))
    if options.case in (None, "demo"):
        case = _demo(folder, characters=4_000 if options.size == "report" else 400)
        _compare(case, folder, repeat, limits.get(case.name, {}))
    if options.case in (None, "files"):
        bytes_per_row.show(tokenizer, folder, size.rows)
        scoring_memory.show(size.memory)
    shutil.rmtree(folder)


def _compare(case: Case, folder: Path, repeat: int, limits: dict[str, float]) -> None:
    source = Folder(case.checkpoints)
    predicting = replace(case.options, predictions=True)
    plan = prepare(source, case.text, case.options)
    other = prepare(source, case.text, predicting)
    print(f"{case.name}: {len(plan.checkpoints)} checkpoints, {plan.corpus.n_tokens:,} tokens each")
    ways = {
        "ours": lambda: _ours(source, plan, folder / "store", case.options),
        "predicted": lambda: _ours(source, other, folder / "predicted", predicting),
        **_ways(case, plan),
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            rates[name].append(_rate(way))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in medians.items():
        ratio = f"ours / {name} = {medians['ours'] / rate:.2f}" if name not in OURS else ""
        limit = f" (at least {limits[name]} expected)" if name in limits else ""
        print(f"  {name:9} {rate:10,.0f} tokens/s  {ratio}{limit}", flush=True)
    pairs = zip(rates["ours"], rates["predicted"], strict=True)
    cost = statistics.median(alone / both for alone, both in pairs)
    limit = f" (at most {COST_OF_PREDICTIONS} expected)" if limits else ""
    print(f"  predictions take {cost:.2f} times the time of losses alone{limit}", flush=True)


def _ways(case: Case, plan: PreparedRun) -> dict[str, Callable[[], int]]:
    """Of others: name -> a function that scores the text and returns how many tokens it scored."""
    checkpoint = plan.checkpoints[0].path
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="float32").eval()
    ways: dict[str, Callable[[], int]] = {"bare": _bare(model, plan)}
    if case.name == "GPT-2 small":
        lines = [json.loads(x)["text"] for x in case.text.read_text("utf-8").splitlines()]
        ways["report"] = lambda: _report(checkpoint, tokenizer, lines)
        ways["products"] = lambda: _products(model)
        ways |= _lm_eval(model, tokenizer, lines, 1_024)
    return ways


def _rate(way: Callable[[], int]) -> float:
    """Tokens per second."""
    started = time.perf_counter()
    n_tokens = way()
    return n_tokens / (time.perf_counter() - started)


def _ours(source: Folder, plan: PreparedRun, store: Path, options: RunOptions) -> int:
    shutil.rmtree(store, ignore_errors=True)
    with redirect_stderr(io.StringIO()):  # its progress bar
        report = fill(source, plan, store, options)
    assert not report.failed
    return len(report.tried) * plan.corpus.n_tokens


def _bare(model: PreTrainedModel, plan: PreparedRun) -> Callable[[], int]:
    """With the fastest of several batch sizes; windows are sorted by length, as ours are."""
    ready = {n: batches(plan.corpus.windows, n) for n in (512, 1_024, 4_096)}
    best = _best(ready, lambda n: _forward(model, ready[n][:: max(len(ready[n]) // 3, 1)]))
    print(f"  bare: batches of {best:,} tokens")
    return lambda: _forward(model, ready[best])


def batches(windows: list[np.ndarray], budget: int) -> list[tuple[torch.Tensor, int]]:
    """Batches of ids, padded with -100 (ignored by the loss), each with its number of tokens."""
    ordered = sorted(windows, key=len, reverse=True)
    batches = []
    while ordered:
        n = max(budget // len(ordered[0]), 1)
        batch, ordered = ordered[:n], ordered[n:]
        ids = torch.full((len(batch), len(batch[0])), -100)
        for line, window in zip(ids, batch, strict=True):
            line[: len(window)] = torch.from_numpy(window)
        batches.append((ids, sum(len(w) - 1 for w in batch)))
    return batches


@torch.inference_mode()
def _forward(model: PreTrainedModel, batches: list[tuple[torch.Tensor, int]]) -> int:
    for ids, _ in batches:
        logits = model(input_ids=ids[:, :-1].clamp(min=0), use_cache=False).logits
        torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
    return sum(n for _, n in batches)


@torch.inference_mode()
def _report(checkpoint: Path, tokenizer: PreTrainedTokenizerFast, lines: list[str]) -> int:
    model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype="float32").eval()
    scored = 0
    for line in lines:
        ids = tokenizer(line, return_tensors="pt", truncation=True, max_length=512).input_ids
        logits = model(input_ids=ids).logits
        losses = torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:], reduction="none")
        scored += len(losses.tolist())
    return scored


@torch.inference_mode()
def _products(model: PreTrainedModel) -> int:
    n_tokens, width = 1_024, model.config.hidden_size
    states, weight = torch.randn(n_tokens, width), torch.randn(width, 4 * width)
    learned = sum(p.numel() for p in model.parameters() if p.dim() == 2)
    times = round(learned / weight.numel())
    for _ in range(times):
        states @ weight
    return n_tokens


def _lm_eval(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, lines: list[str], length: int
) -> dict[str, Callable[[], int]]:
    try:
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM
    except ImportError:
        print("  lm-eval: not measured (pip install -r requirements-peers.lock installs it)")
        return {}
    requests = [Instance("loglikelihood_rolling", {}, (line,), 0) for line in lines]

    def score(batch: int, requests: list[Any]) -> int:
        peer = HFLM(model, tokenizer=tokenizer, batch_size=batch, max_length=length, device="cpu")
        with redirect_stderr(io.StringIO()):  # a progress bar per document
            peer.loglikelihood_rolling(requests, disable_tqdm=True)
        return sum(len(tokenizer.encode(r.args[0])) for r in requests)

    best = _best((1, 8, 32), lambda n: score(n, requests[:: max(len(requests) // 6, 1)]))
    print(f"  lm-eval: batches of {best}")
    return {"lm-eval": lambda: score(best, requests)}


def _best(candidates: Iterable[int], work: Callable[[int], int]) -> int:
    """The candidate with which `work` scores most tokens per second."""
    rates = {n: _rate(lambda n=n: work(n)) for n in candidates}  # type: ignore[misc]
    return max(rates, key=lambda n: rates[n])


def _gpt2(folder: Path, tokenizer: PreTrainedTokenizerFast, size: Size, n_lines: int) -> Case:
    """Two checkpoints of GPT-2 small's shape with random weights; lines of the demo's text."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=size.vocabulary, bos_token_id=0, eos_token_id=0, **size.model)
    model = GPT2LMHeadModel(config)
    for step in (1, 2):
        model.transformer.wpe.weight.data *= step
        model.save_pretrained(folder / "run" / f"step{step}")
        tokenizer.save_pretrained(folder / "run" / f"step{step}")
    lines = [line for a in addresses() for line in a.text.split("\n") if len(line) > 20]
    text = _write(folder / "lines.jsonl", lines[:: len(lines) // n_lines][:n_lines])
    return Case("GPT-2 small", folder / "run", text, RunOptions())


def _demo(folder: Path, characters: int) -> Case:
    """The demo's checkpoints on the beginning of each of its addresses."""
    texts = pq.read_table(DEMO / "text" / "addresses.parquet")["text"].to_pylist()
    text = _write(folder / "demo.jsonl", [text[:characters] for text in texts])
    return Case("demo", DEMO / "checkpoints", text, RunOptions(context_length=512))


def _write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    return path


if __name__ == "__main__":
    main()

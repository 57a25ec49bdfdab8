"""`make bench-ingest`: our scoring beside other ways, in turn, in one run; numbers are medians.

`ours` is what a run does once its plan is made: read the weights of each checkpoint, hash them,
score, write the loss files. `bare` is a forward and a cross-entropy over batches that are ready,
with the model in memory. `report`, of GPT-2 small alone, is the report's way: load a checkpoint and
score one line at a time; `lm-eval`, too, of a model in memory, is lm-evaluation-harness's
`loglikelihood_rolling`, where it is installed (requirements-peers.lock). Bare and lm-eval have the
best of some batch sizes on a part of the text. `products` is as many of torch's matrix products as
the model has, and nothing else; another library's may be faster, as oneDNN's are on some CPUs.
"""

import argparse
import io
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
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

DEMO = Path("data/demo")
END = "<|endoftext|>"
VOCABULARY = 50_257
LIMITS = {"GPT-2 small": {"bare": 0.85, "report": 3.0, "lm-eval": 2.0}, "demo": {"bare": 0.7}}


@dataclass(frozen=True)
class Case:
    """A model and a text, and how much of it the slow ways are given."""

    name: str
    checkpoints: Path
    text: Path
    repeat: int
    options: RunOptions


def main() -> None:
    """Print tokens per second of each side and the ratios, bytes per row, and peak memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=120, help="of the GPT-2 text (%(default)s)")
    parser.add_argument("--repeat", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--case", choices=("gpt2", "demo", "files"), help="one of them alone")
    options = parser.parse_args()
    folder = Path("build", f"bench-ingest-{os.getpid()}")
    folder.mkdir(parents=True)
    tokenizer = _tokenizer()
    if options.case in (None, "gpt2"):
        _compare(_small(folder, tokenizer, options), folder)
    if options.case in (None, "demo"):
        _compare(_demo(folder, options), folder)
    if options.case in (None, "files"):
        bytes_per_row.show(tokenizer, folder)
        scoring_memory.show()
    shutil.rmtree(folder)


def _compare(case: Case, folder: Path) -> None:
    source = Folder(case.checkpoints)
    plan = prepare(source, case.text, case.options)
    tokenizer = AutoTokenizer.from_pretrained(plan.checkpoints[0].path)
    model = AutoModelForCausalLM.from_pretrained(plan.checkpoints[0].path, dtype="float32").eval()
    lines = [json.loads(x)["text"] for x in case.text.read_text("utf-8").splitlines()]
    print(f"{case.name}: {len(plan.checkpoints)} checkpoints, {plan.corpus.n_tokens:,} tokens each")
    sides: dict[str, Callable[[], int]] = {
        "ours": lambda: _ours(source, plan, folder / "store", case.options),
        "bare": _bare(model, plan),
    }
    if case.name == "GPT-2 small":
        sides["report"] = lambda: _report(plan.checkpoints[0].path, tokenizer, lines)
        sides["products"] = lambda: _products(model)
        sides |= _lm_eval(model, tokenizer, lines, 1_024)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(case.repeat):
        for name, side in sides.items():
            started = time.perf_counter()
            n_tokens = side()
            rates[name].append(n_tokens / (time.perf_counter() - started))
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in medians.items():
        limit = LIMITS[case.name].get(name)
        told = f"ours is {medians['ours'] / rate:.2f} of it" if name != "ours" else ""
        asked = f" (at least {limit} asked)" if limit else ""
        print(f"  {name:8} {rate:10,.0f} tokens/s  {told}{asked}", flush=True)


def _ours(source: Folder, plan: PreparedRun, store: Path, options: RunOptions) -> int:
    shutil.rmtree(store, ignore_errors=True)
    with redirect_stderr(io.StringIO()):  # it draws a bar
        report = fill(source, plan, store, options)
    assert not report.failed
    return len(report.tried) * plan.corpus.n_tokens


def _bare(model: PreTrainedModel, plan: PreparedRun) -> Callable[[], int]:
    """At the best of some batch sizes, its windows sorted by length as ours are."""
    ready = {n: _batches(plan.corpus.windows, n) for n in (512, 1_024, 4_096)}
    best = _best(ready, lambda n: _forward(model, ready[n][:: max(len(ready[n]) // 3, 1)]))
    print(f"  bare: batches of {best:,} tokens")
    return lambda: _forward(model, ready[best])


def _batches(windows: list[np.ndarray], budget: int) -> list[tuple[torch.Tensor, int]]:
    """Batches of ids, padded with the id -100 that no loss counts, and their numbers of tokens."""
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
        print("  lm-eval: not installed (pip install -r requirements-peers.lock)")
        return {}
    asked = [Instance("loglikelihood_rolling", {}, (line,), 0) for line in lines]

    def score(batch: int, requests: list[object]) -> int:
        peer = HFLM(model, tokenizer=tokenizer, batch_size=batch, max_length=length, device="cpu")
        with redirect_stderr(io.StringIO()):  # it draws a bar for each document
            peer.loglikelihood_rolling(requests, disable_tqdm=True)
        return sum(len(tokenizer.encode(r.args[0])) for r in requests)

    best = _best((1, 8, 32), lambda n: score(n, asked[:: max(len(asked) // 6, 1)]))
    print(f"  lm-eval: batches of {best}")
    return {"lm-eval": lambda: score(best, asked)}


def _best(candidates: "tuple[int, ...] | dict[int, object]", work: Callable[[int], int]) -> int:
    rates = {}
    for n in candidates:
        started = time.perf_counter()
        rates[n] = work(n) / (time.perf_counter() - started)
    return max(rates, key=lambda n: rates[n])


def _small(folder: Path, tokenizer: PreTrainedTokenizerFast, options: argparse.Namespace) -> Case:
    """Two checkpoints of GPT-2 small's shape, of random weights; lines of the demo's text."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=0))
    for step in (1, 2):
        model.transformer.wpe.weight.data *= step
        model.save_pretrained(folder / "run" / f"step{step}")
        tokenizer.save_pretrained(folder / "run" / f"step{step}")
    lines = [line for a in addresses() for line in a.text.split("\n") if len(line) > 20]
    text = _write(folder / "lines.jsonl", lines[:: len(lines) // options.lines][: options.lines])
    return Case("GPT-2 small", folder / "run", text, options.repeat, RunOptions())


def _demo(folder: Path, options: argparse.Namespace) -> Case:
    texts = pq.read_table(DEMO / "text" / "addresses.parquet")["text"].to_pylist()
    text = _write(folder / "demo.jsonl", [text[:4_000] for text in texts])
    return Case("demo", DEMO / "checkpoints", text, options.repeat, RunOptions(context_length=512))


def _write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    return path


def _tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE of as many token types as GPT-2 has, if the text gives as many."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator([a.text for a in addresses()], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=END, eos_token=END)


if __name__ == "__main__":
    main()

"""Build a store of a given size: real text, GPT-2-like vocabulary, synthetic losses.

`report` has 319,667 tokens x 609 checkpoints, like the report's; `large` has all of 249 addresses
x 600 checkpoints; `small` takes seconds, to check that the benchmarks run. `report` and `large` are
built once in build/ (about 1 GB and some minutes for `report`) and reused.
"""

import shutil
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from tqdm import tqdm
from transformers import PreTrainedTokenizerFast

from ingest.demo.text import addresses
from ingest.output import writer
from ingest.output.outcomes import (
    Outcome,
    outcome_of_file,
    read_outcomes,
    summarize,
    write_outcomes,
)
from ingest.sources.revisions import Checkpoint
from ingest.text.corpus import Convention, Corpus, build_corpus
from ingest.text.document_names import SourceDocument
from store import schema
from store.layout import Layout
from store.manifest import Manifest, write_manifest

BOS = "<|endoftext|>"
VOCABULARY = 50_257


@dataclass(frozen=True)
class Size:
    """Number of tokens (None: all of the text), the checkpoints and the vocabulary's size."""

    n_tokens: int | None
    steps: list[int]
    vocabulary: int = VOCABULARY


# The schedule of Mistral's GPT-2 runs.
MISTRAL = [
    *range(0, 100, 10),
    *range(100, 2_000, 50),
    *range(2_000, 20_000, 100),
    *range(20_000, 400_001, 1_000),
]
SIZES = {
    "report": Size(319_667, MISTRAL),
    "large": Size(None, MISTRAL[:600]),
    "small": Size(20_000, MISTRAL[::20], vocabulary=2_000),
}


def build(name: str, root: Path) -> Path:
    """The store `root`/bench-`name`; completed if it is incomplete, and `small` always rebuilt.

    A reused store would hide a builder that no longer works.
    """
    size = SIZES[name]
    layout = Layout(root / f"bench-{name}")
    if name == "small":
        shutil.rmtree(layout.root, ignore_errors=True)
    if not layout.manifest.exists():
        corpus = _corpus(size)
        writer.write_text(layout, corpus)
        write_manifest(_manifest(corpus), layout.manifest)
    scored = layout.scored()
    todo = [step for step in size.steps if step not in scored]
    if todo:
        outcomes = [outcome_of_file(path, _checkpoint(layout, n)) for n, path in scored.items()]
        with ProcessPoolExecutor() as pool:
            made = pool.map(partial(_write_losses, layout.root, size.vocabulary), todo)
            outcomes += tqdm(made, total=len(todo), unit="checkpoint")
        write_outcomes(layout, outcomes)
    return layout.root


def add_step(root: Path, name: str, step: int) -> None:
    """One more checkpoint of a store of the size `name`."""
    layout = Layout(root)
    outcome = _write_losses(root, SIZES[name].vocabulary, step)
    write_outcomes(layout, (read_outcomes(layout) | {step: outcome}).values())


def train_tokenizer(vocabulary: int, texts: list[str] | None = None) -> PreTrainedTokenizerFast:
    """A byte-level BPE with up to `vocabulary` token types, trained on all addresses by default."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[BOS],
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(texts or [address.text for address in addresses()], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=BOS, eos_token=BOS)


def _corpus(size: Size) -> Corpus:
    documents = [SourceDocument(address.source, address.text) for address in addresses()]
    tokenizer = train_tokenizer(size.vocabulary)
    return build_corpus(documents, tokenizer, Convention(1_024, 0, limit_tokens=size.n_tokens))


def _manifest(corpus: Corpus) -> Manifest:
    return Manifest(
        model="synthetic losses, for measuring only",
        text="sotu",
        tokenizer="byte-level BPE",
        tokenizer_sha256="",
        context_length=1_024,
        bos=BOS,
        bos_id=0,
        dtype="float32",
        attention="none",
        n_docs=corpus.docs.num_rows,
        n_tokens=corpus.n_tokens,
        token_fingerprint=schema.fingerprint(corpus.tokens),
    )


def _checkpoint(layout: Layout, step: int) -> Checkpoint:
    return Checkpoint(step, f"checkpoint-{step}", layout.root, step)


def _write_losses(root: Path, vocabulary: int, step: int) -> Outcome:
    """Each token's loss falls from ln(vocabulary) at its own pace, with noise."""
    layout = Layout(root)
    tokens = pq.read_table(layout.tokens, columns=schema.REPEATED)
    of_token = np.random.default_rng(0)
    floor = of_token.gamma(1.5, 2.0, tokens.num_rows).astype(np.float32)
    pace = of_token.lognormal(6, 1.5, tokens.num_rows).astype(np.float32)
    noise = np.random.default_rng(step + 1).normal(0, 0.3, tokens.num_rows).astype(np.float32)
    falling = np.float32(np.log(vocabulary)) * np.exp(-step / pace)
    losses = np.abs(floor + falling + noise).astype(np.float32)
    outcome = Outcome(_checkpoint(layout, step), n_tokens=len(losses), **summarize(losses))
    writer.write_losses(layout, outcome, tokens, losses)
    return outcome


if __name__ == "__main__":
    print(build(sys.argv[1], Path("build")))

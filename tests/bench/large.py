"""Build a store of the report's size: real text, GPT-2-like vocabulary, synthetic losses.

`report` has 319,667 tokens x 609 checkpoints, as the report's; `large` all of 249 addresses x 600.
Made once in build/ (about 1 GB and some minutes for `report`), then found again.
"""

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
from ingest.output.outcomes import Outcome
from ingest.sources.revisions import Checkpoint
from ingest.text.corpus import Convention, Corpus, build_corpus
from ingest.text.document_names import SourceDocument
from store import schema
from store.layout import Layout
from store.manifest import Manifest, write_manifest

VOCABULARY = 50_257


@dataclass(frozen=True)
class Size:
    """How many tokens (None: all there are) and which checkpoints."""

    n_tokens: int | None
    steps: list[int]


# The schedule of Mistral's GPT-2 runs.
MISTRAL = [
    *range(0, 100, 10),
    *range(100, 2_000, 50),
    *range(2_000, 20_000, 100),
    *range(20_000, 400_001, 1_000),
]
SIZES = {"report": Size(319_667, MISTRAL), "large": Size(None, MISTRAL[:600])}


def build(name: str, root: Path) -> Path:
    """The store `root`/bench-`name`, made where it is missing or incomplete."""
    size = SIZES[name]
    layout = Layout(root / f"bench-{name}")
    if not layout.manifest.exists():
        corpus = _corpus(size.n_tokens)
        writer.write_text(layout, corpus)
        write_manifest(_manifest(corpus), layout.manifest)
    todo = [step for step in size.steps if step not in layout.scored()]
    with ProcessPoolExecutor() as pool:
        done = pool.map(partial(_write_losses, layout.root), todo)
        for _ in tqdm(done, total=len(todo), unit="checkpoint", disable=not todo):
            pass
    if todo:
        outcomes = [Outcome(Checkpoint(s, f"checkpoint-{s}", layout.root, s)) for s in size.steps]
        writer.write_outcomes(layout, outcomes)
    return layout.root


def _corpus(n_tokens: int | None) -> Corpus:
    texts = [(a.source, a.text) for a in addresses()]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=["<|endoftext|>"], show_progress=False
    )
    tokenizer.train_from_iterator([text for _, text in texts], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>")
    documents = [SourceDocument(source, text) for source, text in texts]
    return build_corpus(documents, fast, Convention(1_024, 0, limit_tokens=n_tokens))


def _manifest(corpus: Corpus) -> Manifest:
    return Manifest(
        model="synthetic losses, for measuring only",
        text="sotu",
        tokenizer="byte-level BPE",
        tokenizer_sha256="",
        context_length=1_024,
        bos="<|endoftext|>",
        bos_id=0,
        dtype="float32",
        attention="none",
        n_docs=corpus.docs.num_rows,
        n_tokens=corpus.n_tokens,
        token_fingerprint=schema.fingerprint(corpus.tokens),
    )


def _write_losses(root: Path, step: int) -> None:
    """A curve that falls from ln(vocabulary) at each token's own pace, with noise."""
    layout = Layout(root)
    tokens = pq.read_table(layout.tokens, columns=schema.REPEATED)
    of_token = np.random.default_rng(0)
    floor = of_token.gamma(1.5, 2.0, tokens.num_rows).astype(np.float32)
    pace = of_token.lognormal(6, 1.5, tokens.num_rows).astype(np.float32)
    noise = np.random.default_rng(step + 1).normal(0, 0.3, tokens.num_rows).astype(np.float32)
    falling = np.float32(np.log(VOCABULARY)) * np.exp(-step / pace)
    writer.write_losses(layout, step, tokens, np.abs(floor + falling + noise), "")


if __name__ == "__main__":
    print(build(sys.argv[1], Path("build")))

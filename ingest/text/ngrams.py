"""n-gram losses of a store's tokens, estimated from a text that the user names, as features."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from transformers import PreTrainedTokenizerBase

from ingest.errors import IngestError
from ingest.model import loading
from ingest.output.writer import read_table
from ingest.sources.folder import tokenizer_folder
from ingest.text.documents import SourceDocument, read_texts
from store.features import Feature, write_feature
from store.layout import Layout
from store.manifest import Manifest, ManifestError, read_manifest
from store.ngrams import BIGRAM, UNIGRAM, UNKNOWN, Bigrams, bigrams_of_store, ngram_losses


@dataclass(frozen=True)
class Report:
    """What the losses were estimated from."""

    n_documents: int
    n_tokens: int
    left_out: int
    """Documents that are the store's own."""
    unigram_loss: float
    """Means over the store's tokens, in nats."""
    bigram_loss: float


def ngrams(root: Path, text: Path, tokenizer: str, column: str, overwrite: bool) -> Report:
    """Write the features unigram_loss and bigram_loss into the store at `root`.

    `store.ngrams` has the formulas. Documents that the store has, too, are left out: their own
    tokens would be known. Raises IngestError for unusable input, a tokenizer that is not the
    store's, and where the features are there already (unless `overwrite`).
    """
    layout = Layout(root)
    manifest = _manifest(layout)
    _refuse_existing(layout, overwrite)
    tokens, docs = read_table(layout.tokens), read_table(layout.docs)
    named = _tokenizer(tokenizer, manifest)
    documents = [d for d in read_texts(text, column) if d.text.strip()]
    others = _without(documents, docs, manifest.context_length - 1)
    if not others:
        raise IngestError(f"{text} has no document that the store has not: name another text")
    known = _bigrams(others, named, manifest)
    asked = bigrams_of_store(tokens, docs, manifest.bos_id)
    losses = ngram_losses(known, asked, len(named), leave_out=False)
    for name, values in zip((UNIGRAM, BIGRAM), losses, strict=True):
        about = f"{name.replace('_', ' ')} in nats, from {text.name} (Kneser-Ney)"
        write_feature(layout, manifest, Feature(name, pa.array(values), about))
    means = [float(values.mean()) for values in losses]
    return Report(len(others), len(known.token), len(documents) - len(others), *means)


def _manifest(layout: Layout) -> Manifest:
    try:
        return read_manifest(layout.manifest)
    except ManifestError as error:
        raise IngestError(str(error)) from error


def _refuse_existing(layout: Layout, overwrite: bool) -> None:
    for name in (UNIGRAM, BIGRAM):
        path = layout.features / f"{name}.parquet"
        if path.exists() and not overwrite:
            raise IngestError(f"{path} is there already: add --overwrite to replace it")


def _tokenizer(name: str, manifest: Manifest) -> PreTrainedTokenizerBase:
    with tokenizer_folder(name) as folder:
        found = loading.load_tokenizer(Path(name), [], folder)
    if loading.tokenizer_sha256(found) != manifest.tokenizer_sha256:
        raise IngestError(
            f"{name} is not the tokenizer of the store ({manifest.tokenizer}): its ids would mean "
            "other tokens; name the one that the text was scored with"
        )
    return found


def _without(documents: list[SourceDocument], docs: pa.Table, room: int) -> list[SourceDocument]:
    """Those that are not the store's: of a long one, the store's first window tells."""
    firsts = docs.filter(pc.equal(docs["part"], 0)).select(["text", "n_tokens"]).to_pylist()
    short = {row["text"].strip() for row in firsts if row["n_tokens"] < room - 1}
    long = tuple(row["text"].strip() for row in firsts if row["n_tokens"] >= room - 1)
    texts = ((d, d.text.strip()) for d in documents)
    return [d for d, text in texts if text not in short and not text.startswith(long)]


def _bigrams(
    documents: list[SourceDocument], tokenizer: PreTrainedTokenizerBase, manifest: Manifest
) -> Bigrams:
    """The BOS stands where it does in a store: in front of each window of a document."""
    room = manifest.context_length - 1
    tokens, contexts, sizes = [], [], []
    for document in documents:
        encoded = tokenizer(document.text, add_special_tokens=False, verbose=False)
        ids = np.array(encoded["input_ids"], dtype=np.int64)
        before = np.roll(ids, 1)
        if manifest.bos_id is None:
            before[:1] = UNKNOWN
        else:
            before[::room] = manifest.bos_id
        tokens.append(ids)
        contexts.append(before)
        sizes.append(len(ids))
    source = np.repeat(np.arange(len(documents)), sizes)
    return Bigrams(np.concatenate(contexts), np.concatenate(tokens), source)


# `python -m ingest ngrams`: what it takes and what it says.


def add_ngrams(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.set_defaults(command=_ngrams)
    parser.add_argument("store", type=Path)
    parser.add_argument("--text", type=Path, required=True, help=".txt, .jsonl, .parquet or folder")
    parser.add_argument("--tokenizer", required=True, help="the store's: folder or Hub repository")
    parser.add_argument("--column", default="text", help="column that holds the text (%(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace those there are")


def _ngrams(options: argparse.Namespace) -> int:

    report = ngrams(
        options.store, options.text, options.tokenizer, options.column, options.overwrite
    )
    if report.left_out:
        print(f"{report.left_out} documents were left out, as the store has them", file=sys.stderr)
    print(
        f"{options.store}: unigram_loss {report.unigram_loss:.3f} and bigram_loss "
        f"{report.bigram_loss:.3f} nats on average, from {report.n_tokens:,} tokens of "
        f"{report.n_documents:,} documents"
    )
    return 0

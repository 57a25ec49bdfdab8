"""n-gram losses of a store's tokens, estimated from another text, as features of the store."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from transformers import PreTrainedTokenizerBase

from ingest.errors import IngestError
from ingest.output.tables import read_store_manifest, read_table
from ingest.sources.open import tokenizer_folder
from ingest.text.document_names import SourceDocument
from ingest.text.documents import read_texts
from ingest.text.tokenizer import load_tokenizer, tokenizer_sha256
from store.features import Feature, write_feature
from store.layout import Layout
from store.manifest import Manifest
from store.ngrams import BIGRAM, UNIGRAM, UNKNOWN, Bigrams, bigrams_of_store, ngram_losses


@dataclass(frozen=True)
class NgramSummary:
    """What the losses were estimated from, and their means."""

    n_documents: int
    n_tokens: int
    left_out: int
    """Documents that the store contains, too."""
    unigram_loss: float
    """Mean over the store's tokens, in nats."""
    bigram_loss: float


def add_ngram_features(
    root: Path, text: Path, tokenizer: str, column: str, overwrite: bool
) -> NgramSummary:
    """Write the features unigram_loss and bigram_loss into the store at `root`.

    `store.ngrams` has the formulas. Documents that the store contains are left out of the estimate,
    which would otherwise know their tokens. Raises IngestError for unusable input, for a tokenizer
    other than the store's, and if the features exist already (unless `overwrite`).
    """
    layout = Layout(root)
    manifest = read_store_manifest(layout)
    _refuse_existing(layout, overwrite)
    tokens, docs = read_table(layout.tokens), read_table(layout.docs)
    loaded = _load_tokenizer(tokenizer, manifest)
    documents = [d for d in read_texts(text, column) if d.text.strip()]
    others = _without(documents, docs, manifest.context_length - 1)
    if not others:
        raise IngestError(f"the store contains every document of {text}: name another text")
    known = _bigrams(others, loaded, manifest)
    of_store = bigrams_of_store(tokens, docs, manifest.bos_id)
    losses = ngram_losses(known, of_store, len(loaded), leave_out=False)
    for name, values in zip((UNIGRAM, BIGRAM), losses, strict=True):
        about = f"{name.replace('_', ' ')} in nats, from {text.name} (Kneser-Ney)"
        write_feature(layout, manifest, Feature(name, pa.array(values), about))
    means = [float(values.mean()) for values in losses]
    return NgramSummary(len(others), len(known.token), len(documents) - len(others), *means)


def _refuse_existing(layout: Layout, overwrite: bool) -> None:
    for name in (UNIGRAM, BIGRAM):
        path = layout.features / f"{name}.parquet"
        if path.exists() and not overwrite:
            raise IngestError(f"{path} exists already: add --overwrite to replace it")


def _load_tokenizer(name: str, manifest: Manifest) -> PreTrainedTokenizerBase:
    if manifest.imported is not None:
        raise IngestError(
            "the store was imported without its tokenizer, so texts cannot be split as its tokens "
            "are: estimate from the store itself with `python -m queries ngrams STORE GROUP --save`"
        )
    with tokenizer_folder(name) as folder:
        found = load_tokenizer(Path(name), [], folder)
    if tokenizer_sha256(found) != manifest.tokenizer_sha256:
        raise IngestError(
            f"{name} is not the tokenizer of the store ({manifest.tokenizer}), so its ids would "
            "mean other tokens: name the one that the text was scored with"
        )
    return found


def _without(documents: list[SourceDocument], docs: pa.Table, room: int) -> list[SourceDocument]:
    """The documents that are not in the store. Long ones are recognised by their first window."""
    firsts = docs.filter(pc.equal(docs["part"], 0)).select(["text", "n_tokens"]).to_pylist()
    short = {row["text"].strip() for row in firsts if row["n_tokens"] < room - 1}
    long = tuple(row["text"].strip() for row in firsts if row["n_tokens"] >= room - 1)
    texts = ((d, d.text.strip()) for d in documents)
    return [d for d, text in texts if text not in short and not text.startswith(long)]


def _bigrams(
    documents: list[SourceDocument], tokenizer: PreTrainedTokenizerBase, manifest: Manifest
) -> Bigrams:
    """Bigrams with the BOS where a store has it: in front of each window of a document."""
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

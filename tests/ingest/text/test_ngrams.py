"""n-gram losses from a text that the user names: features of the store, from that text alone."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from transformers import PreTrainedTokenizerFast

from queries import Store, ngrams
from store.ngrams import Bigrams, bigrams_of_store, ngram_losses
from tests.ingest.conftest import Ingest

OTHER = [
    "The President of the United States met the Congress, and the Congress met the President.",
    "Peace, and the blessings of peace; the people of the States and the Congress.",
]


@pytest.fixture(scope="module")
def scored(run_folder: Path, text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ingest.__main__ import main

    root = tmp_path_factory.mktemp("stores") / "store"
    assert main(["run", str(run_folder), "--text", str(text), "--store", str(root)]) == 0
    return root


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other.jsonl"
    path.write_text("".join(json.dumps({"text": t}) + "\n" for t in OTHER), encoding="utf-8")
    return path


@pytest.fixture
def tokenizer(bpe: PreTrainedTokenizerFast, tmp_path: Path) -> Path:
    bpe.save_pretrained(tmp_path / "tokenizer")
    return tmp_path / "tokenizer"


def test_they_are_those_of_the_named_text(
    ingest: Ingest,
    scored: Path,
    other: Path,
    tokenizer: PreTrainedTokenizerFast,
    bpe: PreTrainedTokenizerFast,
    capsys: pytest.CaptureFixture[str],
) -> None:
    how = ("--text", other, "--tokenizer", tokenizer)
    assert ingest("ngrams", scored, *how, "--overwrite").status == 0
    store = Store(scored)
    tokens, docs = pq.read_table(scored / "tokens.parquet"), pq.read_table(scored / "docs.parquet")
    ids = [np.array(bpe(t, add_special_tokens=False)["input_ids"]) for t in OTHER]
    room, bos = store.manifest.context_length - 1, store.manifest.bos_id
    assert bos is not None
    before = [np.where(np.arange(len(i)) % room == 0, bos, np.roll(i, 1)) for i in ids]
    source = np.repeat([0, 1], [len(i) for i in ids])
    text = Bigrams(np.concatenate(before), np.concatenate(ids), source)
    asked = bigrams_of_store(tokens, docs, bos)
    unigram, bigram = ngram_losses(text, asked, len(bpe), leave_out=False)
    assert store.evaluate("unigram_loss").tolist() == unigram.tolist()
    assert store.evaluate("bigram_loss").tolist() == bigram.tolist()
    assert ngrams(store).frame["bigram_loss"][0] == pytest.approx(bigram.mean())
    assert "other.jsonl" in store.features.all()["description"][0]
    again = ingest("ngrams", scored, *how)
    assert again.status == 2 and "add --overwrite" in again.error
    assert ingest("verify", scored).status == 0


def test_documents_of_the_store_are_left_out(
    ingest: Ingest,
    scored: Path,
    text: Path,
    other: Path,
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:
    both = tmp_path / "both.jsonl"
    both.write_text(other.read_text() + json.dumps({"text": "The Congress met."}) + "\n")
    how = ("--tokenizer", tokenizer, "--overwrite")
    ingest("ngrams", scored, "--text", other, *how)
    alone = Store(scored).evaluate("bigram_loss")
    ended = ingest("ngrams", scored, "--text", both, *how)
    assert ended.status == 0 and "1 document was left out" in ended.error
    assert Store(scored).evaluate("bigram_loss").equals(alone)
    ended = ingest("ngrams", scored, "--text", text, *how)
    assert ended.status == 2 and "name another text" in ended.error


def test_another_tokenizer_is_refused(
    ingest: Ingest, scored: Path, other: Path, tmp_path: Path
) -> None:
    from tests.models import byte_level

    unlike = byte_level()
    unlike.add_tokens(["Congress of the"])
    unlike.save_pretrained(tmp_path / "unlike")
    how = ("--text", other, "--tokenizer", tmp_path / "unlike", "--overwrite")
    ended = ingest("ngrams", scored, *how)
    assert ended.status == 2 and "is not the tokenizer of the store" in ended.error
    ended = ingest("ngrams", tmp_path, *how)
    assert ended.status == 2 and "has no manifest.json" in ended.error

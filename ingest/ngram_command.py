"""`python -m ingest ngrams`: what it takes and what it says."""

import argparse
import sys
from pathlib import Path


def add_ngrams(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.set_defaults(command=_ngrams)
    parser.add_argument("store", type=Path)
    parser.add_argument("--text", type=Path, required=True, help=".txt, .jsonl, .parquet or folder")
    parser.add_argument("--tokenizer", required=True, help="the store's: folder or Hub repository")
    parser.add_argument("--column", default="text", help="column that holds the text (%(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace those there are")


def _ngrams(options: argparse.Namespace) -> int:
    from ingest.ngrams import ngrams

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

"""The part of the command line that says what text is scored, and how it is cut."""

import argparse
from typing import Any

# Options of `ingest.prepare` that have the same name here.
_SAME = ("column", "split", "limit_docs", "limit_tokens", "context_length", "max_parts", "stride")


def add_text(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Add --text and all that goes with it."""
    add = parser.add_argument
    # fmt: off
    add("--text", required=required,
        help=".txt, .jsonl, .parquet or folder; wikitext-2, wikitext-103 (a document is an "
        "article); or hf:REPO:CONFIG:SPLIT, a data set on the Hub")
    add("--column", default="text", help="column that holds the text (%(default)s)")
    add("--split", help="of a text on the Hub (test)")
    add("--limit-docs", type=positive, help="read so many documents of the text at most")
    add("--limit-tokens", type=positive, help="score so many tokens of the text at most")
    add("--context-length", type=positive, help="tokens per doc, BOS included (model's)")
    add("--stride", type=positive,
        help="overlapping windows: every token but those of a document's first window is "
        "predicted from at least so many tokens, BOS included; each window begins "
        "CONTEXT_LENGTH - STRIDE tokens after the one before (half of it is a usual choice)")
    # fmt: on
    add("--max-parts", type=positive, help="docs per source document at most")
    add("--no-bos", action="store_true", help="put nothing in front of each doc")


def text_options(options: argparse.Namespace) -> dict[str, Any]:
    """What was said, as arguments of `ingest.prepare.Options`."""
    return {name: getattr(options, name) for name in _SAME} | {"use_bos": not options.no_bos}


def positive(text: str) -> int:
    """A whole number from 1 on. Raises ArgumentTypeError."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return value

"""Bytes per row of a loss file by column, for a large vocabulary and for the demo's."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from transformers import PreTrainedTokenizerFast

from ingest.demo.text import addresses
from ingest.output import writer
from ingest.output.outcomes import Outcome
from ingest.sources.revisions import Checkpoint
from ingest.text.corpus import Convention, build_corpus
from ingest.text.document_names import SourceDocument
from store.layout import Layout

LIMIT, REPORT_ROWS = 6.5, 320_000


def show(tokenizer: PreTrainedTokenizerFast, folder: Path, rows: int) -> None:
    """Print bytes per row by column, for a file of `rows` rows and for one of the demo's.

    The losses of the first file are noise, which compresses worst.
    """
    documents = [SourceDocument(str(a.year), a.text) for a in addresses()]
    corpus = build_corpus(documents, tokenizer, Convention(1_024, 0, limit_tokens=rows))
    rng = np.random.default_rng(0)
    losses = rng.gamma(2.0, 1.7, corpus.n_tokens).astype(np.float32)
    layout = Layout(folder / "columns")
    outcome = Outcome(Checkpoint(1, "1", folder, 1))
    writer.write_losses(layout, outcome, corpus.tokens, losses)
    limit = f", at most {LIMIT} expected" if rows >= REPORT_ROWS else ""
    _print(layout.loss_file(1), f"{len(tokenizer):,} token types{limit}")
    _print(min(Path("data/demo/losses").iterdir()), "the demo's")


def _print(path: Path, what: str) -> None:
    parquet = pq.ParquetFile(path).metadata
    costs: dict[str, int] = {}
    for group in range(parquet.num_row_groups):
        for i in range(parquet.num_columns):
            column = parquet.row_group(group).column(i)
            costs[column.path_in_schema] = (
                costs.get(column.path_in_schema, 0) + column.total_compressed_size
            )
    per_row = {name: cost / parquet.num_rows for name, cost in costs.items()}
    whole = path.stat().st_size / parquet.num_rows
    parts = ", ".join(f"{name} {cost:.2f}" for name, cost in per_row.items())
    print(f"bytes per row ({what}; {parquet.num_rows:,} rows): {whole:.2f} = {parts}", flush=True)

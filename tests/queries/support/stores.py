"""Small synthetic stores on disk, with the real schemas, and the same queries in plain SQL."""

import hashlib
import re
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from store import schema
from store.layout import Layout
from store.manifest import Manifest, write_manifest

VOCABULARY = [
    " Obama",
    " the",
    "The",
    "s",
    ",",
    " level",
    " Noon",
    "\n",
    " naïve",
    "<0xE2>",
    "'",
    "%",
]
STEPS = (0, 1, 2, 4, 8, 16, 400, 1000)


def build_store(
    root: Path, sources: int = 8, steps: tuple[int, ...] = STEPS, seed: int = 0, longest: int = 40
) -> Path:
    """A store of random tokens and losses; each source is one to three docs. Returns `root`."""
    rng = np.random.default_rng(seed)
    layout = Layout(root)
    layout.losses.mkdir(parents=True)
    parts = [(s, p) for s in range(sources) for p in range(int(rng.integers(1, 4)))]
    lengths = rng.integers(1, longest + 1, len(parts))
    tokens = _tokens(rng, lengths)
    pq.write_table(tokens, layout.tokens)
    pq.write_table(_docs(parts, tokens), layout.docs)
    write_manifest(manifest_of(tokens, len(parts)), layout.manifest)
    level = rng.normal(4, 1, sources)[[parts[d][0] for d in tokens["doc"].to_pylist()]]
    for step in steps:
        add_checkpoint(root, step, np.abs(level + rng.normal(0, 1, len(level))))
    return root


def add_checkpoint(root: Path, step: int, losses: np.ndarray) -> Path:
    """Write one loss file, losses in nats (tokens,), and list it; returns the file."""
    layout = Layout(root)
    tokens = pq.read_table(layout.tokens)
    columns = [pa.repeat(pa.scalar(step, pa.int64()), len(losses))]
    columns += [tokens[name].combine_chunks() for name in schema.REPEATED]
    columns.append(pa.array(losses, pa.float32()))
    path = layout.loss_file(step)
    pq.write_table(pa.table(columns, schema=schema.LOSSES), path)
    listed = [{"checkpoint": s, "revision": f"step{s}", "step": s} for s in layout.scored()]
    pq.write_table(pa.Table.from_pylist(listed, schema.CHECKPOINTS), layout.checkpoints)
    return path


def random_losses(root: Path, seed: int) -> np.ndarray:
    """float64 (tokens,) in nats."""
    n_tokens = pq.read_metadata(Layout(root).tokens).num_rows
    return np.random.default_rng(seed).exponential(3, n_tokens)


def hashes(root: Path) -> dict[str, str]:
    """sha256 of every file of a store by name, except generated files."""
    generated = {"index", "catalog.duckdb"}
    files = sorted(p for p in root.rglob("*") if p.is_file() and not generated & set(p.parts))
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


class PlainSql:
    """Answers from the Parquet files alone: the long losses joined with the token's features.

    `loss_at(row, 400)` and `loss_at(row - 1, 400)` in a clause become columns of that join.
    """

    def __init__(self, root: Path) -> None:
        self.connection = duckdb.connect()
        self.connection.execute(f"""
            create view tokens as from '{root}/tokens.parquet';
            create table long as
            select * exclude (n_tokens) from '{root}/losses/*.parquet'
            join (select * exclude (token_id, token_str, is_word_start) from tokens)
                using (doc, "position")
            join '{root}/docs.parquet' using (doc);
            create table wide as from
            (pivot (select "row", checkpoint, loss from long) on checkpoint using any_value(loss))
        """)
        steps = [
            s for (s,) in self.connection.sql("select distinct checkpoint from long").fetchall()
        ]
        at = [f'w."{s}" as at_{s}, v."{s}" as before_{s}' for s in steps]
        self.connection.execute(f"""
            create table facts as select long.*, {", ".join(at)} from long
            join wide as w using ("row") left join wide as v on v."row" = long."row" - 1""")

    def means(self, clause: str) -> pd.DataFrame:
        """checkpoint, mean_loss, n_tokens, n_docs."""
        return self.connection.sql(f"""
            select checkpoint, avg(loss) as mean_loss, count(*) as n_tokens,
                count(distinct source) as n_docs
            from facts where ({_plain(clause)}\n) group by all order by all""").df()

    def changes(self, first: int, last: int, clause: str) -> pd.DataFrame:
        """row, change (nats, last minus first), by row."""
        return self.connection.sql(f"""
            select "row", at_{last} - at_{first} as change
            from facts where checkpoint = {first} and ({_plain(clause)}\n) order by all""").df()

    def members(self, clause: str) -> pd.DataFrame:
        """checkpoint, source, loss of every member."""
        query = f"select checkpoint, source, loss from facts where ({_plain(clause)}\n)"
        return self.connection.sql(query).df()


def _plain(clause: str) -> str:
    clause = re.sub(r"loss_at\(row - 1, (\d+)\)", r"before_\1", clause)
    return re.sub(r"loss_at\(row, (\d+)\)", r"at_\1", clause)


def _tokens(rng: np.random.Generator, lengths: np.ndarray) -> pa.Table:
    rows: list[dict[str, object]] = []
    count = 0
    for doc, length in enumerate(lengths):
        ids = rng.integers(0, len(VOCABULARY), length).tolist()
        begin = 0
        for i, token in enumerate(ids):
            text = VOCABULARY[token]
            word = text.strip() if text.strip().isalpha() else None
            rows.append({
                "row": count, "doc": doc, "position": i + 1, "token_id": token, "token_str": text,
                "is_word_start": text.startswith(" "), "char_start": begin,
                "char_end": begin + len(text), "word": word,
                "prev_token_str": VOCABULARY[ids[i - 1]] if i else None, "word_part": 0,
                "seen_before": ids[:i].count(token),
                "bigram_seen_before": _before(ids, i, 2), "trigram_seen_before": _before(ids, i, 3),
            })  # fmt: skip
            begin += len(text)
            count += 1
    seen = Counter(row["token_id"] for row in rows)
    for row in rows:
        row["corpus_count"] = seen[row["token_id"]]
    return pa.Table.from_pylist(rows, schema.TOKENS)


def _before(ids: list[int], i: int, n: int) -> int:
    """Earlier occurrences of the n tokens that end at i."""
    grams = [tuple(ids[j - n + 1 : j + 1]) for j in range(n - 1, i + 1)]
    return max(grams.count(grams[-1]) - 1, 0) if grams else 0


def _docs(parts: list[tuple[int, int]], tokens: pa.Table) -> pa.Table:
    frame = tokens.select(["doc", "token_str"]).to_pandas().groupby("doc")["token_str"]
    texts, sizes = frame.sum().tolist(), frame.size().tolist()
    columns = [
        range(len(parts)),
        [f"source {s}" for s, _ in parts],
        [p for _, p in parts],
        sizes,
        texts,
    ]
    table = pa.table(
        [pa.array(c, f.type) for c, f in zip(columns, schema.DOCS, strict=True)], schema=schema.DOCS
    )
    return table.append_column("year", pa.array([1900 + s for s, _ in parts], pa.int64()))


def manifest_of(tokens: pa.Table, n_docs: int) -> Manifest:
    """The manifest of a store of these tokens."""
    return Manifest(
        model="made up", text="made up", tokenizer="made up", tokenizer_sha256="0",
        context_length=64, bos=None, bos_id=None, dtype="float32", attention="sdpa",
        n_docs=n_docs, n_tokens=tokens.num_rows, token_fingerprint=schema.fingerprint(tokens),
    )  # fmt: skip

"""A token table next to losses that are published without tokens: one row per token, in order."""

from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from ingest.errors import IngestError
from ingest.imports.files import integers, kind_of, tables
from ingest.imports.results import Tokens

NAMES = {
    "doc": ("doc", "doc_id", "seq_idx", "sequence", "sentence_id", "document"),
    "token_id": ("token_id", "token_ids", "input_ids"),
    "token_str": ("token_str", "token", "word", "tokens"),
    "is_word_start": ("is_word_start",),
    "source": ("source",),
}


def read_tokens(
    path: Path, given: Mapping[str, str], n_losses: Collection[int] | None = None
) -> Tokens:
    """The tokens in a file. `n_losses` of them have a loss (or one of these numbers; None: all).

    .npy: ids (tokens,) or (docs, tokens); .txt: a line of ids per doc; tables: a row per token, or
    per doc with lists. If there are fewer losses than tokens, by one a doc, the first token of each
    doc has none. Raises IngestError for another number of tokens.
    """
    if not path.is_file():
        raise IngestError(f"{path} is not a file: expected a table of tokens")
    columns = _columns(path, given)
    docs = columns["doc"].dictionary_encode()
    codes = docs.indices.to_numpy().astype(np.int64)
    if (np.diff(codes) < 0).any():
        at = int((np.diff(codes) < 0).argmax()) + 2
        raise IngestError(f"{path}, row {at:,}: the tokens of a doc are not one after another")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(codes) != 0]))
    n, n_docs = len(codes), len(starts)
    n_losses = {n} if n_losses is None else n_losses
    if n not in n_losses and n - n_docs not in n_losses:
        sizes = " x ".join(f"{size:,}" for size in sorted(n_losses, reverse=True))
        raise IngestError(
            f"{path} has {n:,} tokens in {n_docs:,} docs, but there are {sizes} losses: expected "
            "one per token, or one per token except the first of each doc"
        )
    scored = np.ones(n, bool)
    if n not in n_losses:
        scored[starts] = False
    position = np.arange(n) - np.repeat(starts, np.diff(np.append(starts, n))) + int(scored[0])
    ids, starts_word = columns.get("token_id"), columns.get("is_word_start")
    return Tokens(
        codes,
        [str(name) for name in docs.dictionary.to_pylist()],
        position,
        scored,
        None if ids is None else integers(ids, path, "token_id"),
        columns.get("token_str"),
        None if starts_word is None else starts_word.to_numpy(zero_copy_only=False),
        _sources(columns, starts),
    )


def _sources(columns: Mapping[str, pa.Array], starts: np.ndarray) -> list[str] | None:
    if "source" not in columns:
        return None
    return [str(name) for name in columns["source"].take(pa.array(starts)).to_pylist()]


def _columns(path: Path, given: Mapping[str, str]) -> dict[str, pa.Array]:
    """doc, and token_id, token_str or both, one value per token."""
    if kind_of(path) == ".npy":
        array = np.load(path, allow_pickle=False)
        rows = np.atleast_2d(array) if array.ndim == 1 else array
        return _numbered(list(rows))
    if kind_of(path) == ".txt":
        lines = path.read_text(encoding="utf-8").splitlines()
        try:
            return _numbered([np.array(line.split(), np.int64) for line in lines if line.split()])
        except ValueError as error:
            raise IngestError(
                f"{path}: expected token ids with blanks between ({error})"
            ) from error
    return _from_table(path, given)


def _numbered(docs: list[np.ndarray]) -> dict[str, pa.Array]:
    number = np.repeat(np.arange(len(docs)), [len(doc) for doc in docs])
    return {"doc": pa.array(number), "token_id": pa.array(np.concatenate(docs).astype(np.int64))}


def _from_table(path: Path, given: Mapping[str, str]) -> dict[str, pa.Array]:
    table = pa.concat_tables(tables(path, None), promote_options="permissive")
    names = {
        ours: given.get(ours) or next((x for x in names if x in table.column_names), None)
        for ours, names in NAMES.items()
    }
    found = {
        ours: table[name].combine_chunks()
        for ours, name in names.items()
        if name is not None and name in table.column_names
    }
    if not {"token_id", "token_str"} & found.keys():
        raise IngestError(
            f"{path} has no tokens; its columns are {', '.join(table.column_names)}: name one with "
            "--map token_id=… or --map token_str=…"
        )
    lists = {k: v for k, v in found.items() if pa.types.is_list(v.type)}
    if lists:
        lengths = next(iter(lists.values())).value_lengths()
        of = pa.array(np.repeat(np.arange(table.num_rows), lengths.to_numpy()))
        found.setdefault("doc", pa.array(np.arange(table.num_rows)))
        found = {k: v.flatten() if k in lists else v.take(of) for k, v in found.items()}
    found.setdefault("doc", pa.array(np.zeros(table.num_rows, np.int64)))
    return found

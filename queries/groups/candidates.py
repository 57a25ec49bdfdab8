"""Candidate groups: named groups, bands of features, token types and source documents."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from queries import sql
from queries.groups.templates.base import literal, shown
from queries.store import Store

DOCUMENT, TOKEN_TYPE = "document", "token type"
_BANDS = {
    "frequency": ("corpus_count", 10),
    "position": ("position", 2),
    "seen before": ("seen_before", 4),
    "word part": ("word_part", 2),
}
"""Kind -> column, and by which factor each band is wider than the one below."""
_OCCURRED = {"bigram seen before": "bigram_seen_before", "copyable": "trigram_seen_before"}


@dataclass(frozen=True)
class Candidates:
    """Disjoint groups of one kind."""

    kind: str
    label: np.ndarray
    """The group of each token, int64 (tokens,); -1 for none."""
    names: list[str]
    clauses: list[str]


def candidates(store: Store, min_count: int) -> tuple[list[Candidates], np.ndarray]:
    """All candidates, and each token's source, int64, from 0.

    Token types need at least `min_count` tokens.
    """
    facts = store.sql(sql.read("groups/candidate_facts"))
    source = facts["source"].astype("category")
    found = [*_named(store), *_banded(facts), *_yes_or_no(facts), _types(facts, min_count)]
    names = [str(name) for name in source.cat.categories]
    label = source.cat.codes.to_numpy(np.int64)
    clauses = [f"source = {literal(name)}" for name in names]
    found.append(Candidates(DOCUMENT, label, names, clauses))
    return found, label


def _named(store: Store) -> Iterator[Candidates]:
    for group in store.named_groups.values():
        label = np.full(store.manifest.n_tokens, -1)
        label[store.members(group.name)] = 0
        yield Candidates("named", label, [group.name], [group.clause])


def _banded(facts: pd.DataFrame) -> Iterator[Candidates]:
    for kind, (column, factor) in _BANDS.items():
        values = facts[column].fillna(-1).to_numpy(np.int64)  # not part of a word: in no band
        edges = _edges(int(values.max()), factor)
        label = np.searchsorted(edges, values, side="right") - 1
        clauses = [
            f"{column} = {low}" if high == low else f"{column} between {low} and {high}"
            for low, high in zip(edges.tolist(), (edges[1:] - 1).tolist(), strict=False)
        ]
        yield Candidates(kind, label, clauses, clauses)


def _edges(largest: int, factor: int) -> np.ndarray:
    """0, 1, and 1 times powers of the factor, until above the largest value."""
    edges = [0, 1]
    while edges[-1] <= largest:
        edges.append(edges[-1] * factor)
    return np.array(edges)


def _yes_or_no(facts: pd.DataFrame) -> Iterator[Candidates]:
    for kind, column in _OCCURRED.items():
        label = (facts[column].to_numpy() > 0).astype(np.int64)
        clauses = [f"{column} = 0", f"{column} > 0"]
        yield Candidates(kind, label, clauses, clauses)
    label = np.where(facts["is_no_word"], 0, -1)
    yield Candidates("word part", label, ["no word"], ["word is null"])


def _types(facts: pd.DataFrame, min_count: int) -> Candidates:
    ids, first, of_token, counts = np.unique(
        facts["token_id"], return_index=True, return_inverse=True, return_counts=True
    )
    enough = counts >= min_count
    label = np.where(enough, np.cumsum(enough) - 1, -1)[of_token]
    names = [shown(text) for text in facts["token_str"].iloc[first[enough]]]
    clauses = [f"token_id = {id_}" for id_ in ids[enough].tolist()]
    return Candidates(TOKEN_TYPE, label, names, clauses)

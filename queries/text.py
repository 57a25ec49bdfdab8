"""The text of a store: a doc token by token, and a group's tokens in their context."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from queries import sql
from queries.errors import QueryError
from queries.stats.changes import region_change
from queries.store import Store

# What a group holds, before anything is averaged: how many tokens, and some in their text.


@dataclass(frozen=True)
class Preview:
    """A group's tokens, counted, with a sample."""

    n_tokens: int
    n_docs: int
    """Source documents."""
    sample: pd.DataFrame
    """`Store.context` of some tokens, in order of row."""


def preview(store: Store, group: str, k: int = 6, seed: int = 0) -> Preview:
    """Count the group's tokens and draw `k` of them by chance. Raises GroupError."""
    rows = store.some_members(group)
    sample = np.random.default_rng(seed).permutation(rows)[:k]
    n_docs = len(np.unique(store.source_of_row[rows]))
    return Preview(len(rows), n_docs, store.context(sample))


USUAL = 0.95
"""The share of a text's tokens that a scale of colours tells apart; the rest is off its ends."""
_BYTE = "<0x"  # as vocabulary writes bytes that are no text


@dataclass(frozen=True)
class Reading:
    """A doc's text in pieces: joined, `before` and `token` of each line, then `after`."""

    doc: int
    source: str
    part: int
    tokens: pd.DataFrame
    """row, position, token_str, before (text without a loss), token; in the text's order."""
    after: str
    """What follows the last token: text without a loss."""


@dataclass(frozen=True)
class Place:
    """A value's place among `of` values, from 1 for the furthest from zero on its own side."""

    rank: int
    of: int
    sign: int
    """-1, 0 or 1: on which side of zero."""


def docs(store: Store) -> pd.DataFrame:
    """The docs that have a token: doc, source, part, n_tokens; in the text's order."""
    return store.sql(sql.read("text/doc_list"))


def reading(store: Store, doc: int) -> Reading:
    """The pieces of a doc. Raises QueryError where there is no such doc.

    A token stands as in the text, but for bytes that are no character by themselves: those stand
    as `<0xE2>`. A text that no token covers, or whose token has no loss, is some token's `before`.
    """
    found = store.sql(sql.read("text/doc_text"), values={"doc": doc})
    if found.empty:
        raise QueryError(
            f"there is no doc {doc}: they are numbered from 0 to {store.manifest.n_docs - 1:,}"
        )
    tokens = store.sql(sql.read("text/doc_tokens"), values={"doc": doc})
    text = str(found["text"][0])
    before, within, end = _pieces(text, tokens)
    pieces = tokens[["row", "position", "token_str"]].assign(before=before, token=within)
    return Reading(doc, str(found["source"][0]), int(found["part"][0]), pieces, text[end:])


def _pieces(text: str, tokens: pd.DataFrame) -> tuple[list[str], list[str], int]:
    """Before each token, of each token, and where the last one ends. Tokens may share characters"""
    before: list[str] = []
    within: list[str] = []
    end = 0
    for token, first, last in zip(
        tokens["token_str"], tokens["char_start"].tolist(), tokens["char_end"].tolist(), strict=True
    ):
        before.append(text[end:first])
        within.append(token if _BYTE in token else text[max(first, end) : last])
        end = max(end, last)
    return before, within, end


def values(store: Store, steps: Sequence[int]) -> np.ndarray:
    """Of all tokens the loss at one step, or the change from one to another, in nats.

    float32 (tokens,), by row. Raises QueryError for a step that is not in the store, and for two
    that are no region.
    """
    if len(steps) == 1:
        return np.array(store.matrix.column(steps[0]))
    first, last = steps
    return region_change(store.matrix, np.arange(store.manifest.n_tokens), (first, last))


def reach(found: np.ndarray) -> float:
    """Where a scale of colours ends, in nats, above 0: USUAL of the values are within."""
    furthest = float(np.quantile(np.abs(found), USUAL))
    return furthest or float(np.abs(found).max()) or 1.0


def place(found: np.ndarray, row: int, rows: np.ndarray | None = None) -> Place:
    """The place of one row's value among all, or among those of `rows`."""
    among = found if rows is None else found[rows]
    value = found[row]
    beyond = among > value if value >= 0 else among < value
    return Place(1 + int(beyond.sum()), len(among), int(np.sign(value)))


def largest(
    store: Store, found: np.ndarray, k: int, rows: np.ndarray | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The k lowest values below zero and the k highest above, of all rows or of `rows`.

    Each: row, value (nats), and `Store.context` of the token; the furthest from zero first.
    """
    asked = np.arange(len(found)) if rows is None else rows
    frame = pd.DataFrame({"row": asked, "value": found[asked]})
    lowest, highest = frame.nsmallest(k, "value"), frame.nlargest(k, "value")
    sides = (lowest[lowest["value"] < 0], highest[highest["value"] > 0])
    low, high = (side.merge(store.context(side["row"], 45, 25), on="row") for side in sides)
    return low, high


def token(store: Store, row: int) -> dict[str, object]:
    """All that is known of a token occurrence and its doc, but texts: column -> value.

    Raises QueryError where there is no such row.
    """
    found = store.sql(sql.read("engine/token_columns"), values={"row": row})
    if found.empty:
        raise QueryError(
            f"there is no token {row}: rows go from 0 to {store.manifest.n_tokens - 1:,}"
        )
    return {str(name): value for name, value in found.iloc[0].items()}


def trajectory(store: Store, row: int) -> pd.DataFrame:
    """The losses of one token: row, token_str, checkpoint, loss (nats), as its SQL gives them."""
    losses = store.matrix.rows(np.array([row]))[0]
    return pd.DataFrame(
        {
            "row": row,
            "token_str": token(store, row)["token_str"],
            "checkpoint": store.matrix.checkpoints,
            "loss": losses,
        }
    )

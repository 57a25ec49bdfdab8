"""The text of a store: a doc token by token, and a group's tokens in context."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from queries import sql
from queries.errors import QueryError
from queries.stats.bands import effective
from queries.stats.changes import region_change
from queries.store import Store


@dataclass(frozen=True)
class Preview:
    """The size of a group, with a sample of its tokens."""

    n_tokens: int
    n_docs: int
    """Source documents."""
    n_docs_effective: float
    """How many of equal size would be as informative."""
    sample: pd.DataFrame
    """`Store.context` of some tokens, in order of row."""


def preview(store: Store, group: str, k: int = 6, seed: int = 0) -> Preview:
    """Count the group's tokens and draw `k` of them at random. Raises GroupError."""
    rows = store.nonempty_members(group)
    sample = np.random.default_rng(seed).permutation(rows)[:k]
    _, counts = np.unique(store.source_of_row[rows], return_counts=True)
    return Preview(len(rows), len(counts), effective(counts), store.context(sample))


IN_SCALE = 0.95
"""The share of a text's tokens within the colour scale; the rest is beyond its ends."""
_BYTE = "<0x"  # how bytes that are not valid text are written


@dataclass(frozen=True)
class DocText:
    """A doc's text in pieces: `before` and `token` of each row, then `after`."""

    doc: int
    source: str
    part: int
    tokens: pd.DataFrame
    """row, position, token_str, before (text without a loss), token; in the text's order."""
    after: str
    """The text after the last token, which has no loss."""


@dataclass(frozen=True)
class Rank:
    """A value's rank among `of` values; 1 is the farthest from zero on its side."""

    rank: int
    of: int
    sign: int
    """-1, 0 or 1: the side of zero."""


def docs(store: Store) -> pd.DataFrame:
    """The docs with at least one token: doc, source, part, n_tokens; in the text's order."""
    return store.sql(sql.read("text/doc_list"))


def doc_text(store: Store, doc: int) -> DocText:
    """The pieces of a doc. Raises QueryError for an unknown doc.

    A token is written as in the text, except that bytes which are not a character by themselves are
    written as `<0xE2>`. Text without a token, or whose token has no loss, is in the next `before`.
    """
    found = store.sql(sql.read("text/doc_text"), values={"doc": doc})
    if found.empty:
        raise QueryError(
            f"there is no doc {doc}: docs are numbered from 0 to {store.manifest.n_docs - 1:,}"
        )
    tokens = store.sql(sql.read("text/doc_tokens"), values={"doc": doc})
    text = str(found["text"][0])
    before, within, end = _pieces(text, tokens)
    pieces = tokens[["row", "position", "token_str"]].assign(before=before, token=within)
    return DocText(doc, str(found["source"][0]), int(found["part"][0]), pieces, text[end:])


def _pieces(text: str, tokens: pd.DataFrame) -> tuple[list[str], list[str], int]:
    """Texts before each token and of each token, and where the last ends. Tokens may overlap."""
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
    """The loss of each token at one step, or its change between two, in nats.

    float32 (tokens,), by row. Raises QueryError for a step that is not in the store, and if the
    second step is not after the first.
    """
    if len(steps) == 1:
        return np.array(store.matrix.column(steps[0]))
    first, last = steps
    return region_change(store.matrix, np.arange(store.manifest.n_tokens), (first, last))


def color_limit(found: np.ndarray) -> float:
    """The positive end of a colour scale, in nats: IN_SCALE of the values are within it."""
    limit = float(np.quantile(np.abs(found), IN_SCALE))
    return limit or float(np.abs(found).max()) or 1.0


def rank(found: np.ndarray, row: int, rows: np.ndarray | None = None) -> Rank:
    """The rank of one row's value among all, or among those of `rows`."""
    among = found if rows is None else found[rows]
    value = found[row]
    beyond = among > value if value >= 0 else among < value
    return Rank(1 + int(beyond.sum()), len(among), int(np.sign(value)))


def largest(
    store: Store, found: np.ndarray, k: int, rows: np.ndarray | None = None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The k lowest values below zero and the k highest above, of all rows or of `rows`.

    Both have row, value (nats), and `Store.context` of the token; farthest from zero first.
    """
    rows = np.arange(len(found)) if rows is None else rows
    frame = pd.DataFrame({"row": rows, "value": found[rows]})
    lowest, highest = frame.nsmallest(k, "value"), frame.nlargest(k, "value")
    sides = (lowest[lowest["value"] < 0], highest[highest["value"] > 0])
    low, high = (side.merge(store.context(side["row"], 25, 45), on="row") for side in sides)
    return low, high


def find(store: Store, wanted: str) -> np.ndarray:
    """Rows of the tokens at which the text continues with a word, part or phrase; int64, in order.

    Upper and lower case are the same, and blanks around `wanted` do not count. Empty for an empty
    text.
    """
    wanted = " ".join(wanted.split())
    if not wanted:
        return np.empty(0, np.int64)
    found = store.sql(sql.read("text/find"), values={"wanted": wanted})
    return found["row"].to_numpy(np.int64)


def token(store: Store, row: int) -> dict[str, object]:
    """All columns of a token occurrence and its doc except long texts: column -> value.

    Raises QueryError for an unknown row.
    """
    found = store.sql(sql.read("engine/token_columns"), values={"row": row})
    if found.empty:
        raise QueryError(
            f"there is no token {row}: rows are numbered from 0 to {store.manifest.n_tokens - 1:,}"
        )
    return {str(name): value for name, value in found.iloc[0].items()}


def trajectory(store: Store, row: int) -> pd.DataFrame:
    """The losses of one token: row, token_str, checkpoint, loss (nats)."""
    losses = store.matrix.rows(np.array([row]))[0]
    return pd.DataFrame(
        {
            "row": row,
            "token_str": token(store, row)["token_str"],
            "checkpoint": store.matrix.checkpoints,
            "loss": losses,
        }
    )

"""Losses of unigram and bigram models: what n-gram statistics alone predict of each token.

Both sides use them: queries estimates the models from a store's own text, ingest from another.
"""

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

UNKNOWN = -1
UNIGRAM, BIGRAM = "unigram_loss", "bigram_loss"


@dataclass(frozen=True)
class Bigrams:
    """Predicted tokens, each with the token before it."""

    context: np.ndarray
    """The token before, perhaps the BOS, int64 (n,); -1 if it is not known."""
    token: np.ndarray
    """int64 (n,)"""
    source: np.ndarray
    """The number of the source document, from 0, int64 (n,)."""


def bigrams_of_store(tokens: pa.Table, docs: pa.Table, bos_id: int | None) -> Bigrams:
    """The bigrams of a store's tables; `bos_id` is the manifest's.

    The first token of a doc without a BOS has no row. As a context, it is identified by its text,
    if only one token type of the store has that text.
    """
    token = tokens["token_id"].to_numpy().astype(np.int64)
    doc, position = tokens["doc"].to_numpy(), tokens["position"].to_numpy()
    follows = np.zeros(len(token), dtype=bool)
    follows[1:] = (doc[1:] == doc[:-1]) & (position[1:] == position[:-1] + 1)
    context = np.where(follows, np.roll(token, 1), UNKNOWN)
    first = np.flatnonzero(~follows)
    texts = tokens["prev_token_str"].take(pa.array(first)).to_pylist()
    ids = _ids_by_text(tokens)
    for at, text in zip(first.tolist(), texts, strict=True):
        is_bos = bos_id is not None and position[at] == 1
        context[at] = bos_id if is_bos else ids.get(text, UNKNOWN)
    _, of_doc = np.unique(docs["source"].to_numpy(zero_copy_only=False), return_inverse=True)
    return Bigrams(context, token, of_doc[doc].astype(np.int64))


def _ids_by_text(tokens: pa.Table) -> dict[str, int]:
    ids: dict[str, int] = {}
    pairs = tokens.select(["token_str", "token_id"]).group_by(["token_str", "token_id"])
    for row in pairs.aggregate([]).to_pylist():
        ids[row["token_str"]] = UNKNOWN if row["token_str"] in ids else row["token_id"]
    return ids


def ngram_losses(
    text: Bigrams, asked: Bigrams, vocabulary: int, leave_out: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Losses in nats of the tokens `asked`, under models estimated from `text`: float64 (n,) twice.

    With V token types (`vocabulary`), counts c and discounts D = n1 / (n1 + 2 n2), where n1 and n2
    are how many events were counted once and twice (after Ney, Essen and Kneser 1994, Computer
    Speech & Language 8:1, not checked):

    - unigram: p(w) = (max(c(w) - D, 0) + D T / V) / N, of N tokens, T types: absolute discounting,
      interpolated with the uniform distribution;
    - bigram: p(w | v) = max(c(v w) - D, 0) / c(v) + D b(v) / c(v) q(w), with b(v) the types that
      follow v and q the unigram formula on how many types each w follows (interpolated Kneser-Ney,
      after Kneser and Ney 1995, ICASSP, and Chen and Goodman 1999, Computer Speech & Language
      13:359, not checked). After an unknown v, or one that is not in the text, it is q(w).

    With `leave_out`, `asked` is `text`, and the counts exclude the token's own source document (the
    discounts do not). NaN where no text remains: for the bigram model, no token whose context is
    known.
    """
    size = (
        int(max(text.token.max(), asked.token.max(), text.context.max(), asked.context.max())) + 2
    )
    return (
        -np.log(_unigram(text, asked, vocabulary, size, leave_out)),
        -np.log(_bigram(text, asked, vocabulary, size, leave_out)),
    )


def _unigram(
    text: Bigrams, asked: Bigrams, vocabulary: int, size: int, leave_out: bool
) -> np.ndarray:
    types, counts = np.unique(text.token, return_counts=True)
    count, n = _found(types, counts, asked.token), len(text.token)
    if not leave_out:
        return _interpolated(count, n, len(types), discount(counts), vocabulary)
    own, own_counts = np.unique(text.source * size + text.token, return_counts=True)
    alone = own_counts == _found(types, counts, own % size)
    n_sources = int(text.source.max()) + 1
    return _interpolated(
        count - _found(own, own_counts, asked.source * size + asked.token),
        n - np.bincount(text.source)[asked.source],
        len(types) - np.bincount(own[alone] // size, minlength=n_sources)[asked.source],
        discount(counts),
        vocabulary,
    )


def _interpolated(
    count: np.ndarray, n: np.ndarray | int, n_types: np.ndarray | int, d: float, vocabulary: int
) -> np.ndarray:
    with np.errstate(invalid="ignore"):  # 0 / 0 where no text remains
        share: np.ndarray = (np.maximum(count - d, 0) + d * n_types / vocabulary) / n
    return share


@dataclass(frozen=True)
class _Counts:
    """The counts of the bigram formula for each token of `asked`, int64 (n,)."""

    pair: np.ndarray
    context: np.ndarray
    follow: np.ndarray
    """Types that follow its context."""
    precede: np.ndarray
    """Types that precede it."""
    pairs: np.ndarray
    """Types of pairs in the text, the same for all tokens; `types` counts those that end a pair."""
    types: np.ndarray

    def __sub__(self, other: "_Counts") -> "_Counts":
        return _Counts(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


def _bigram(
    text: Bigrams, asked: Bigrams, vocabulary: int, size: int, leave_out: bool
) -> np.ndarray:
    known = text.context != UNKNOWN
    if not known.any():
        return np.full(len(asked.token), np.nan)
    text = Bigrams(text.context[known], text.token[known], text.source[known])
    keys = text.context * size + text.token
    pairs, pair_of, counts = np.unique(keys, return_inverse=True, return_counts=True)
    types, precede = np.unique(pairs % size, return_counts=True)
    there = _Counts(
        _found(pairs, counts, asked.context * size + asked.token),
        _found(*np.unique(text.context, return_counts=True), asked.context),
        _found(*np.unique(pairs // size, return_counts=True), asked.context),
        _found(types, precede, asked.token),
        np.full(len(asked.token), len(pairs)),
        np.full(len(asked.token), len(types)),
    )
    if leave_out:
        there -= _own_counts(text, asked, pairs, pair_of, size)
    lower = _interpolated(there.precede, there.pairs, there.types, discount(precede), vocabulary)
    d, n = discount(counts), np.maximum(there.context, 1)
    upper = np.maximum(there.pair - d, 0) / n + d * there.follow / n * lower
    return np.where(there.context > 0, upper, lower)


def _own_counts(
    text: Bigrams, asked: Bigrams, pairs: np.ndarray, pair_of: np.ndarray, size: int
) -> _Counts:
    """The part of the counts that is due to each token's own source document."""
    n_sources = int(asked.source.max()) + 1
    own, own_counts = np.unique(text.source * len(pairs) + pair_of, return_counts=True)
    alone = own[own_counts == np.bincount(pair_of)[own % len(pairs)]]
    source, before, after = alone // len(pairs), *np.divmod(pairs[alone % len(pairs)], size)
    keys = asked.context * size + asked.token
    at = np.searchsorted(pairs, keys).clip(0, len(pairs) - 1)
    types, precede = np.unique(pairs % size, return_counts=True)
    gone, lost = np.unique(source * size + after, return_counts=True)
    gone = gone[lost == _found(types, precede, gone % size)]
    return _Counts(
        np.where(pairs[at] == keys, _found(own, own_counts, asked.source * len(pairs) + at), 0),
        _own(text.source, text.context, asked.source, asked.context, size),
        _own(source, before, asked.source, asked.context, size),
        _own(source, after, asked.source, asked.token, size),
        np.bincount(source, minlength=n_sources)[asked.source],
        np.bincount(gone // size, minlength=n_sources)[asked.source],
    )


def _own(
    source: np.ndarray, key: np.ndarray, asked_source: np.ndarray, asked: np.ndarray, size: int
) -> np.ndarray:
    """How often each key of `asked` occurs in its own source."""
    keys, counts = np.unique(source * size + key, return_counts=True)
    return np.where(asked == UNKNOWN, 0, _found(keys, counts, asked_source * size + asked))


def _found(keys: np.ndarray, counts: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """The counts of the keys `asked`, 0 for those that are not in `keys`, which are sorted."""
    if not len(keys):  # no event is of one document only: the documents are the same
        return np.zeros(len(asked), np.int64)
    at = np.searchsorted(keys, asked).clip(0, len(keys) - 1)
    return np.where(keys[at] == asked, counts[at], 0)


def discount(counts: np.ndarray) -> float:
    """n1 / (n1 + 2 n2); 0.5 if nothing was counted once, or nothing twice."""
    once, twice = int((counts == 1).sum()), int((counts == 2).sum())
    return once / (once + 2 * twice) if once and twice else 0.5

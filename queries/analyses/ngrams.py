"""Is the model learning n-gram statistics here, or something else? Its losses beside theirs."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy import sparse

from queries.engine.sums import Summation
from queries.errors import QueryError
from queries.stats.bands import Band, band
from queries.store import Store
from store.layout import Layout
from store.ngrams import BIGRAM, UNIGRAM, bigrams_of_store, ngram_losses

_AT_ONCE = 4_096  # rows; 20 MB at 609 checkpoints
_ROUNDING = 1e-12  # of the squares: what is left of losses that do not vary
NAMES = (UNIGRAM, BIGRAM)


@dataclass(frozen=True)
class Baseline:
    """A column of tokens with each token's loss under a simpler model, in nats."""

    name: str
    values: np.ndarray
    """float64 (tokens,)"""


def ngrams(store: Store) -> pd.DataFrame:
    """Unigram and bigram losses of each token, estimated from the other documents of the text.

    Interpolated Kneser-Ney, with the token's own source document left out: `store.ngrams` has the
    formulas. Token types are counted up to the largest id in the store. So small a text knows few
    bigrams: for a better baseline, `python -m ingest ngrams` estimates them from another text.
    Returns row, unigram_loss, bigram_loss (nats). Raises QueryError for a single document.
    """
    layout = Layout(store.path)
    text = bigrams_of_store(
        pq.read_table(layout.tokens), pq.read_table(layout.docs), store.manifest.bos_id
    )
    if text.source.max() == 0:
        raise QueryError(
            "one source document leaves no other text to estimate from: use another text, with "
            "`python -m ingest ngrams`"
        )
    losses = ngram_losses(text, text, int(text.token.max()) + 1, leave_out=True)
    columns = dict(zip(NAMES, losses, strict=True))
    return pd.DataFrame({"row": np.arange(len(text.token)), **columns})


def save_ngrams(store: Store, *, overwrite: bool = False) -> None:
    """Keep `ngrams` as the features unigram_loss and bigram_loss. Raises QueryError."""
    for name in NAMES:
        store.features.refuse(name, overwrite=overwrite)
    found = ngrams(store)
    for name in NAMES:
        about = f"{name.replace('_', ' ')} in nats, from the store's other documents (Kneser-Ney)"
        store.features.save(name, found[name], about, overwrite=overwrite)


def baselines(store: Store, group: str = "true") -> pd.DataFrame:
    """A group's mean loss beside its n-gram losses, and how the tokens' losses go with those.

    Takes the features unigram_loss and bigram_loss where the store has them, else `ngrams`.
    Returns checkpoint, mean_loss, low, high, n_tokens, n_docs; unigram_loss and bigram_loss, the
    group's means (the same at every checkpoint: reference lines); and unigram_correlation,
    bigram_correlation (Pearson's r over the group's tokens), each with …_low and …_high. After
    Chang and Bergen 2022 (TACL 10:1), in whose runs models first come close to unigram, then to
    bigram losses, and leave both. A correlation that rises and then falls says the same.

    Bands are cluster-robust by source document: with z standardized, a token's influence on r is
    (z1 z2 - r (z1^2 + z2^2) / 2) / n (delta method; Hampel 1974, J. Am. Stat. Assoc. 69:383, for
    influences). The baselines are taken as given, though they were estimated. Losses at the level
    of a baseline are no proof that it is what was learned. Raises GroupError, and QueryError where
    a baseline has no value for some of the tokens.
    """
    rows = store.some_members(group)
    frame = store.trajectory(rows)
    for baseline in _baselines(store):
        values = baseline.values[rows]
        if np.isnan(values).any():
            raise QueryError(f"{baseline.name} has no value for some tokens of `{group}`")
        short = baseline.name.removesuffix("_loss")
        found = correlation(store, rows, values)
        frame[baseline.name] = values.mean()
        frame[f"{short}_correlation"] = found.estimate
        frame[f"{short}_low"], frame[f"{short}_high"] = found.low, found.high
    return frame


def _baselines(store: Store) -> list[Baseline]:
    there = store.features.all()
    if set(NAMES) <= set(there.loc[there["problem"].isna(), "name"]):
        values = [store.evaluate(name).to_numpy(np.float64, na_value=np.nan) for name in NAMES]
    else:
        found = ngrams(store)
        values = [found[name].to_numpy() for name in NAMES]
    return [Baseline(name, v) for name, v in zip(NAMES, values, strict=True)]


def correlation(store: Store, rows: np.ndarray, values: np.ndarray) -> Band:
    """Pearson's r of the tokens' losses at each checkpoint with `values`, float64 (rows,).

    NaN where either does not vary. The band is that of `baselines`.
    """
    documents, at = np.unique(store.source_of_row[rows], return_inverse=True)
    n, n_docs = len(rows), len(documents)
    other = _standardized(values)
    # All that is needed of the losses: by document their sum, with `other`, and of their squares.
    summation = Summation(store.matrix, store.source_of_row)
    sums = summation.by_slot(rows, at, n_docs)
    products = summation.by_slot(rows, at, n_docs, other)
    squares = _squares(store, rows, at, n_docs)
    mean = sums.sum(axis=0) / n
    variance = squares.sum(axis=0) / n - mean**2
    variance[variance < _ROUNDING * squares.sum(axis=0) / n] = np.nan
    own_other = products - mean * np.bincount(at, other, n_docs)[:, None]
    own_other /= np.sqrt(variance)
    own_own = (squares - 2 * mean * sums + mean**2 * np.bincount(at)[:, None]) / variance
    other_other = np.bincount(at, other**2, n_docs)[:, None]
    r = own_other.sum(axis=0) / n
    return band(r, (own_other - r * (own_own + other_other) / 2) / n, n_docs)


def _squares(store: Store, rows: np.ndarray, at: np.ndarray, n_docs: int) -> np.ndarray:
    """Sums of squared losses by document, float64 (documents, checkpoints)."""
    sums = np.zeros((n_docs, len(store.steps)))
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        n = len(rows[part])
        by_document = sparse.csr_array((np.ones(n), (at[part], np.arange(n))), shape=(n_docs, n))
        squared = store.matrix.rows(rows[part]).astype(np.float64) ** 2
        sums += np.asarray(by_document @ squared)
    return sums


def _standardized(values: np.ndarray) -> np.ndarray:
    off = values - values.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        result: np.ndarray = off / np.sqrt((off**2).mean())
    return result

"""N-grams: is the model learning n-gram statistics, or something else?"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy import sparse

from queries.analyses.base import Chart, Group, WithScript, python_script
from queries.engine.matrix import LossMatrix
from queries.engine.sums import Summation
from queries.errors import QueryError
from queries.stats.bands import Band, Side, one_sided
from queries.store import Store
from store import ngrams as models
from store.layout import Layout
from store.ngrams import BIGRAM, UNIGRAM

_ROWS = 4_096  # read at a time; 20 MB at 609 checkpoints
_ROUNDING = 1e-12  # share of the squares that is left, by rounding, of losses that do not vary
NAMES = (UNIGRAM, BIGRAM)


@dataclass(frozen=True)
class Ngrams(WithScript):
    """A group's loss next to the n-gram losses of its tokens."""

    frame: pd.DataFrame
    """`Store.trajectory`, so with low, high and verdict; unigram_loss and bigram_loss, the group's
    means (the same at every checkpoint: reference lines); unigram_correlation, bigram_correlation
    (Pearson's r over the group's tokens), each with …_low and …_high."""

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.ngrams(self.frame)


def ngrams(
    store: Store,
    group: Annotated[str, Group("group to analyse")] = "true",
    *,
    save: Annotated[bool, "first save unigram_loss and bigram_loss as features"] = False,
    overwrite: Annotated[bool, "replace the existing features"] = False,
) -> Ngrams:
    """A group's mean loss next to its n-gram losses, and its tokens' correlation with them.

    Uses the features unigram_loss and bigram_loss if the store has them, otherwise
    `ngram_losses`. After Chang and Bergen 2022 (TACL 10:1; abstract read), whose models first
    predict unigram frequencies, then loosely bigram probabilities, and then depart from both. They
    compare predicted distributions; a correlation of losses that rises and then falls says the
    same.

    Bands are those of `queries.stats.bands`: with z standardized, a token's influence on r is
    (z1 z2 - r (z1^2 + z2^2) / 2) / n (delta method; Hampel 1974, J. Am. Stat. Assoc. 69:383, for
    influences). The baselines are taken as given, although they were estimated. A loss equal to a
    baseline does not prove that the model learned that baseline. Raises GroupError, and QueryError
    if a baseline has no value for some of the tokens.
    """
    if save:
        save_ngrams(store, overwrite=overwrite)
    rows = store.nonempty_members(group)
    frame = store.trajectory(rows)
    for name, losses in _baselines(store).items():
        values = losses[rows]
        if np.isnan(values).any():
            raise QueryError(
                f"{name} has no value for some tokens of `{group}`, as the other documents hold "
                "too little text: estimate it from another text with `python -m ingest ngrams`"
            )
        short = name.removesuffix("_loss")
        found = correlation(store.matrix, store.source_of_row, rows, values)
        frame[name] = values.mean()
        frame[f"{short}_correlation"] = found.estimate
        frame[f"{short}_low"], frame[f"{short}_high"] = found.low, found.high
    return Ngrams(frame, code=python_script(store, ngrams, group=group))


def ngram_losses(store: Store) -> pd.DataFrame:
    """Unigram and bigram losses of each token, estimated from the other documents of the text.

    Interpolated Kneser-Ney without the token's own source document: `store.ngrams` has the
    formulas. Token types are counted up to the largest id in the store. So small a text contains
    few bigrams: for a better baseline, `python -m ingest ngrams` estimates them from another text.
    Returns row, unigram_loss, bigram_loss (nats). Raises QueryError for a single document.
    """
    layout = Layout(store.path)
    text = models.bigrams_of_store(
        pq.read_table(layout.tokens), pq.read_table(layout.docs), store.manifest.bos_id
    )
    if text.source.max() == 0:
        raise QueryError(
            "the text has one source document, so there is no other to estimate n-grams from: use "
            "another text with `python -m ingest ngrams`"
        )
    losses = models.ngram_losses(text, text, int(text.token.max()) + 1, leave_out=True)
    columns = dict(zip(NAMES, losses, strict=True))
    return pd.DataFrame({"row": np.arange(len(text.token)), **columns})


def save_ngrams(store: Store, *, overwrite: bool = False) -> None:
    """Save `ngram_losses` as the features unigram_loss and bigram_loss. Raises QueryError."""
    for name in NAMES:
        store.features.refuse(name, overwrite=overwrite)
    found = ngram_losses(store)
    for name in NAMES:
        about = f"{name.replace('_', ' ')} in nats, from the store's other documents (Kneser-Ney)"
        store.features.save(name, found[name], about, overwrite=overwrite)


def _baselines(store: Store) -> dict[str, np.ndarray]:
    """Each token's loss under the n-gram models, float64 (tokens,) in nats."""
    saved = store.features.all()
    if set(NAMES) <= set(saved.loc[saved["problem"].isna(), "name"]):
        return {name: store.evaluate(name).to_numpy(np.float64, na_value=np.nan) for name in NAMES}
    found = ngram_losses(store)
    return {name: found[name].to_numpy() for name in NAMES}


def correlation(
    matrix: LossMatrix, source_of_row: np.ndarray, rows: np.ndarray, values: np.ndarray
) -> Band:
    """Pearson's r of the tokens' losses at each checkpoint with `values`, float64 (rows,).

    `source_of_row` int64 (tokens,) as in `Summation`. NaN if either does not vary. `ngrams` says
    what the band is.
    """
    documents, at = np.unique(source_of_row[rows], return_inverse=True)
    n, n_docs = len(rows), len(documents)
    other = _standardized(values)
    # Three sums by document are enough: of the losses, of their products with `other`, and of
    # their squares.
    summation = Summation(matrix, source_of_row)
    sums = summation.by_slot(rows, at, n_docs)
    products = summation.by_slot(rows, at, n_docs, other)
    squares = _squares(matrix, rows, at, n_docs)
    mean = sums.sum(axis=0) / n
    variance = squares.sum(axis=0) / n - mean**2
    variance[variance < _ROUNDING * squares.sum(axis=0) / n] = np.nan
    own_other = products - mean * np.bincount(at, other, n_docs)[:, None]
    own_other /= np.sqrt(variance)
    own_own = (squares - 2 * mean * sums + mean**2 * np.bincount(at)[:, None]) / variance
    other_other = np.bincount(at, other**2, n_docs)[:, None]
    r = own_other.sum(axis=0) / n
    influence = (own_other - r * (own_own + other_other) / 2) / n
    return one_sided(Side.weighted(r, influence, np.bincount(at) / n, n))


def _squares(matrix: LossMatrix, rows: np.ndarray, at: np.ndarray, n_docs: int) -> np.ndarray:
    """Sums of squared losses by document, float64 (documents, checkpoints)."""
    sums = np.zeros((n_docs, len(matrix.checkpoints)))
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        n = len(rows[part])
        by_document = sparse.csr_array((np.ones(n), (at[part], np.arange(n))), shape=(n_docs, n))
        squared = matrix.rows(rows[part]).astype(np.float64) ** 2
        sums += np.asarray(by_document @ squared)
    return sums


def _standardized(values: np.ndarray) -> np.ndarray:
    off = values - values.mean()
    with np.errstate(divide="ignore", invalid="ignore"):
        result: np.ndarray = off / np.sqrt((off**2).mean())
    return result

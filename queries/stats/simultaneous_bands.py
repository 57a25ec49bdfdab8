"""Simultaneous bands: of a difference, valid at all checkpoints together.

A 95% band of one checkpoint misses somewhere in most runs of a hundred checkpoints. Here the
interval is widened until, in 95 of 100 texts, the whole true trajectory lies in it: its half-width
is c standard errors, where c is the 95% quantile of the largest |t| of any checkpoint (a sup-t
band: Montiel Olea and Plagborg-Møller 2019, J. Applied Econometrics 34:1). That largest |t| is
drawn by changing the signs of whole source documents' residuals, with the mean and its standard
error estimated anew in each draw (wild cluster bootstrap-t with Rademacher weights: Cameron,
Gelbach and Miller 2008, Review of Economics and Statistics 90:414). The standard error is the
jackknife's (CV3), as in `queries.stats.bands`.
"""

import numpy as np

from queries.engine.sums import GroupSums
from queries.stats.bands import (
    LEVEL,
    Band,
    Side,
    cannot_tell,
    jackknife,
    t_quantile,
    welch,
)

FEWEST_DOCS = 6
"""Documents: five have 16 ways to change signs, too few for a 95% quantile."""
DRAWS = 1_999


def simultaneous_band(first: GroupSums, second: GroupSums, seed: int = 0) -> Band:
    """First mean minus second (nats), with a 95% band for all checkpoints at once.

    Paired by source document, as `bands.difference_band`, and nowhere narrower. NaN, with the
    reason as its verdict, if either group is in fewer than 6 documents or 4 effective ones.
    """
    kept = (first.counts > 0) | (second.counts > 0)
    one, two = (_kept(Side.of(group), kept) for group in (first, second))
    estimate, fewer = one.mean - two.mean, min(one.effective, two.effective)
    verdict = _verdict(min(first.n_docs, second.n_docs)) or cannot_tell(fewer)
    if verdict:
        none = np.full_like(estimate, np.nan)
        return Band(estimate, none, none, none, none, fewer, verdict)
    n = int(kept.sum())
    left = one.left_out, two.left_out
    error = np.sqrt(jackknife(left[0] - left[1], n))
    degrees = welch(one, two, jackknife(left[0], n), jackknife(left[1], n))
    reach = np.maximum(_critical(one, two, seed), t_quantile(degrees)) * error
    return Band(estimate, estimate - reach, estimate + reach, error, degrees, fewer, "")


def _kept(side: Side, kept: np.ndarray) -> Side:
    return Side(side.mean, side.left_out[kept], side.share[kept], side.n_tokens)


def _verdict(n_docs: int) -> str:
    if n_docs >= FEWEST_DOCS:
        return ""
    documents = "source document" if n_docs == 1 else "source documents"
    return f"cannot tell: {n_docs} {documents}, at least {FEWEST_DOCS} are needed"


def _critical(one: Side, two: Side, seed: int) -> float:
    """How many standard errors the widest miss of any checkpoint stays within, in 95% of draws."""
    n = len(one.share)
    signs = np.random.default_rng(seed).choice((-1.0, 1.0), (DRAWS, n))
    a, b = signs @ one.left_out, signs @ two.left_out  # the drawn means
    h, k = ((side.share / (1 - side.share))[:, None] for side in (one, two))
    stretched = one.left_out * (1 + h) - two.left_out * (1 + k)
    # The sum over documents of (sign * stretched - a h + b k)^2, multiplied out.
    squares = (stretched**2).sum(axis=0) + a**2 * (h**2).sum() + b**2 * (k**2).sum()
    squares -= 2 * a * (signs @ (stretched * h)) - 2 * b * (signs @ (stretched * k))
    squares -= 2 * a * b * (h * k).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.abs(a - b) / np.sqrt((n - 1) / n * np.maximum(squares, 0))
    largest = np.nan_to_num(ratios, nan=0.0).max(axis=1)
    return float(np.quantile(largest, LEVEL, method="higher"))

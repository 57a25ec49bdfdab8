"""Sum a group's losses within each source document: the one loop that every mean and band needs.

The members' rows are read where they lie in the memory-mapped matrix, not copied; the blocks of
checkpoints are shared out over the cores. A group of most tokens is what all tokens sum to, less
the others, so at most half of the matrix is read.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

import numba
import numpy as np

from queries.matrix import LossMatrix

POOL = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sums")
_Kernel = TypeVar("_Kernel", bound=Callable[..., None])


@dataclass(frozen=True)
class GroupSums:
    """One group's losses summed within each source document: all that means and bands need."""

    counts: np.ndarray
    """Member tokens by source, int64 (sources,)."""
    sums: np.ndarray
    """Summed losses in nats, float64 (sources, checkpoints)."""

    @property
    def n_tokens(self) -> int:
        return int(self.counts.sum())

    @property
    def n_docs(self) -> int:
        """Source documents with at least one member."""
        return int((self.counts > 0).sum())

    @property
    def mean(self) -> np.ndarray:
        """Mean loss over all member tokens, float64 (checkpoints,)."""
        mean: np.ndarray = self.sums.sum(axis=0) / self.n_tokens
        return mean

    @property
    def influence(self) -> np.ndarray:
        """What each source adds to the mean's error: its summed residuals / n; as `sums`."""
        residuals: np.ndarray = self.sums - self.counts[:, None] * self.mean
        return residuals / self.n_tokens


@dataclass(frozen=True)
class Summation:
    """A matrix and the source document of each row, int64 (tokens,), counting from 0."""

    matrix: LossMatrix
    source_of_row: np.ndarray

    @property
    def n_sources(self) -> int:
        return int(self.source_of_row.max()) + 1

    @cached_property
    def everything(self) -> GroupSums:
        """The sums over all tokens."""
        return self._read(np.arange(len(self.source_of_row)))

    def group(self, members: np.ndarray) -> GroupSums:
        """The sums over `members`, int64 (n,) increasing rows."""
        n_tokens = len(self.source_of_row)
        if len(members) == n_tokens:
            return self.everything
        if 2 * len(members) <= n_tokens:
            return self._read(members)
        outside = np.ones(n_tokens, dtype=bool)
        outside[members] = False
        others = self._read(np.flatnonzero(outside))
        whole = self.everything
        return GroupSums(whole.counts - others.counts, whole.sums - others.sums)

    def _read(self, rows: np.ndarray) -> GroupSums:
        def of_block(block: np.ndarray) -> np.ndarray:
            sums = np.zeros((self.n_sources, block.shape[1]))
            _add_rows(block, rows, self.source_of_row, sums)
            return sums

        counts = np.bincount(self.source_of_row[rows], minlength=self.n_sources)
        parts = list(POOL.map(of_block, self.matrix.blocks))
        return GroupSums(counts, np.concatenate(parts, axis=1))


def _compiled(kernel: _Kernel) -> _Kernel:
    """Compiled once and kept on disk; runs without the interpreter's lock, so on all cores."""
    return cast(_Kernel, numba.njit(nogil=True, cache=True)(kernel))


@_compiled
def _add_rows(
    block: np.ndarray, rows: np.ndarray, source_of_row: np.ndarray, sums: np.ndarray
) -> None:
    """sums[source_of_row[r]] += block[r] for r in rows; float32 read, float64 added."""
    for i in range(len(rows)):
        row = rows[i]
        source = source_of_row[row]
        for column in range(block.shape[1]):
            sums[source, column] += block[row, column]

"""Sums of a group's losses within each source document: the one loop that means and bands need.

The members' rows are read in place in the memory-mapped matrix, without a copy; the blocks of
checkpoints are distributed over the cores. Two groups are read in one pass. The largest part of the
tokens is not read at all: it is the sum over all tokens minus the other parts.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, TypeVar, cast

import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from queries.engine.clauses import Expression
from queries.engine.matrix import LossMatrix

POOL = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sums")


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

    def __add__(self, other: "GroupSums") -> "GroupSums":
        return GroupSums(self.counts + other.counts, self.sums + other.sums)

    def __sub__(self, other: "GroupSums") -> "GroupSums":
        return GroupSums(self.counts - other.counts, self.sums - other.sums)

    @property
    def influence(self) -> np.ndarray:
        """What each source adds to the mean's error: its summed residuals / n; shape of `sums`."""
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
        rows = np.arange(len(self.source_of_row))
        return self._read(rows, self.source_of_row, self.n_sources)

    def group(self, members: np.ndarray) -> GroupSums:
        """The sums over `members`, int64 (n,) increasing rows."""
        return self.pair(members, members)[0]

    def pair(self, first: np.ndarray, second: np.ndarray) -> tuple[GroupSums, GroupSums]:
        """The sums over two groups, from one pass over the rows of either.

        The tokens fall into four parts: in neither, in the first only, in the second only, in
        both. The largest is not read: it is the sum over all tokens minus the other three.
        """
        part = np.zeros(len(self.source_of_row), dtype=np.int64)
        part[first] += 1
        part[second] += 2
        largest = int(np.bincount(part, minlength=4).argmax())
        parts = self._parts(part, unread=largest)
        if largest > 0:
            parts[largest] = self.everything - (parts[0] + parts[1] + parts[2] + parts[3])
        return parts[1] + parts[3], parts[2] + parts[3]

    def by_slot(
        self, rows: np.ndarray, slots: np.ndarray, n_slots: int, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """Summed losses of the rows by slot, weighted or not, float64 (n_slots, checkpoints).

        `rows` int64 (n,), `slots` int64 (n,) below `n_slots`, `weights` float64 (n,).
        """
        if weights is None:
            return self._read(rows, slots, n_slots).sums

        def of_block(block: np.ndarray) -> np.ndarray:
            sums = np.zeros((n_slots, block.shape[1]))
            _add_weighted_rows(block, rows, slots, weights, sums)
            return sums

        return np.concatenate(list(POOL.map(of_block, self.matrix.blocks)), axis=1)

    def _parts(self, part: np.ndarray, unread: int) -> list[GroupSums]:
        rows = np.flatnonzero(part != unread)
        slots = part[rows] * self.n_sources + self.source_of_row[rows]
        read = self._read(rows, slots, 4 * self.n_sources)
        counts, sums = np.split(read.counts, 4), np.split(read.sums, 4)
        return [GroupSums(c, s) for c, s in zip(counts, sums, strict=True)]

    def _read(self, rows: np.ndarray, slots: np.ndarray, n_slots: int) -> GroupSums:
        """Sums of the rows by slot, where slots int64 (rows,) are below `n_slots`."""

        def of_block(block: np.ndarray) -> np.ndarray:
            sums = np.zeros((n_slots, block.shape[1]))
            _add_rows(block, block.ctypes.data, rows, slots, sums)
            return sums

        counts = np.bincount(slots, minlength=n_slots)
        parts = list(POOL.map(of_block, self.matrix.blocks))
        return GroupSums(counts, np.concatenate(parts, axis=1))


KEPT_GROUPS = 8  # up to 25 MB each with 5,000 source documents


class Engine(Protocol):
    """Sums losses within source documents: `Summation`, or `queries.engine.spark`."""

    @property
    def everything(self) -> GroupSums:
        """The sums over all tokens."""

    def group(self, members: np.ndarray) -> GroupSums:
        """The sums over `members`, int64 (n,) increasing rows."""

    def pair(self, first: np.ndarray, second: np.ndarray) -> tuple[GroupSums, GroupSums]:
        """The sums over two groups of rows, which may overlap."""


class GroupSumsCache:
    """Keeps the sums of the last groups: a difference usually follows its trajectories.

    `members` gives a group's rows, `engine` the engine. Safe to use from several threads.
    """

    def __init__(
        self, members: Callable[[Expression], np.ndarray], engine: Callable[[], Engine]
    ) -> None:
        self._members = members
        self._engine = engine
        self._kept: OrderedDict[Expression, GroupSums] = OrderedDict()
        self._lock = threading.Lock()

    def pair(self, *groups: Expression) -> tuple[GroupSums, GroupSums]:
        """The sums of two groups; those that are not in the cache are read in one pass."""
        kept = self._kept  # a new one takes its place if `clear` is called meanwhile
        with self._lock:
            known = {group: kept[group] for group in groups if group in kept}
        new = [group for group in dict.fromkeys(groups) if group not in known]
        if new:
            members = [self._members(group) for group in new]
            read = self._engine().pair(members[0], members[-1])
            known |= dict(zip(new, read, strict=False))
        with self._lock:
            kept.update(known)
            for group in groups:
                kept.move_to_end(group)
            while len(kept) > KEPT_GROUPS:
                kept.popitem(last=False)
        return known[groups[0]], known[groups[1]]

    def clear(self) -> None:
        """Forget all sums: a function or a feature that clauses use has changed."""
        self._kept = OrderedDict()


# The compiled loops.
#
# Each row is requested from memory some rows before it is added, otherwise every row that is not
# adjacent to the last one costs a wait: the processor prefetches by itself only adjacent rows.
# numba has no name for the instruction, so it gets one here:
# https://llvm.org/docs/LangRef.html#llvm-prefetch-intrinsic

_AHEAD = 8  # rows; 4 and 16 were not faster
_READ, _KEEP, _DATA = 0, 3, 1
_Kernel = TypeVar("_Kernel", bound=Callable[..., None])


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(_typing: Any, _address: Any) -> Any:
    """prefetch(address): for compiled code only; harmless for any address."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        address = builder.inttoptr(arguments[0], pointer)
        builder.call(function, [address, number(_READ), number(_KEEP), number(_DATA)])
        return context.get_dummy_value()

    return types.void(types.intp), generate


def _compiled(kernel: _Kernel) -> _Kernel:
    """Compiled once and cached on disk; runs without the interpreter's lock, so on all cores."""
    return cast(_Kernel, numba.njit(nogil=True, cache=True)(kernel))


@_compiled
def _add_rows(
    block: np.ndarray, address: int, rows: np.ndarray, slots: np.ndarray, sums: np.ndarray
) -> None:
    """sums[slots[i]] += block[rows[i]] for each i; float32 read, float64 added.

    `address` is that of the block, which is contiguous.
    """
    width = block.shape[1]
    for i in range(len(rows)):
        if i + _AHEAD < len(rows):
            start = address + rows[i + _AHEAD] * width * 4
            for line in range(start, start + width * 4, 64):
                prefetch(line)
        row, slot = rows[i], slots[i]
        for column in range(width):
            sums[slot, column] += block[row, column]


@_compiled
def _add_weighted_rows(
    block: np.ndarray, rows: np.ndarray, slots: np.ndarray, weights: np.ndarray, sums: np.ndarray
) -> None:
    """sums[slots[i]] += weights[i] * block[rows[i]] for each i."""
    for i in range(len(rows)):
        row, slot, weight = rows[i], slots[i], weights[i]
        for column in range(block.shape[1]):
            sums[slot, column] += weight * block[row, column]

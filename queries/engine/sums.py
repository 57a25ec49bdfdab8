"""Sum a group's losses within each source document: the one loop that every mean and band needs.

The members' rows are read where they lie in the memory-mapped matrix, not copied; the blocks of
checkpoints are shared out over the cores. Two groups are read in one pass, and the largest part of
the tokens not at all, as it is what all tokens sum to, less the others.
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

from queries.engine.matrix import LossMatrix

# Ask memory for a row some rows before it is added: else each row that is skipped costs a wait.
#
# The processor fetches ahead by itself only where rows follow each other. numba has no name for
# the instruction, so it is given one here: https://llvm.org/docs/LangRef.html#llvm-prefetch-
# intrinsic

_READ, _KEEP, _DATA = 0, 3, 1


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(_typing: Any, _address: Any) -> Any:
    """prefetch(address): to be called in compiled code only; harmless for any address."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        number, pointer = ir.IntType(32), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.VoidType(), [pointer, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer], kind)
        address = builder.inttoptr(arguments[0], pointer)
        builder.call(function, [address, number(_READ), number(_KEEP), number(_DATA)])
        return context.get_dummy_value()

    return types.void(types.intp), generate


POOL = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="sums")
_AHEAD = 8  # rows; 4 and 16 were no quicker
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

    def __add__(self, other: "GroupSums") -> "GroupSums":
        return GroupSums(self.counts + other.counts, self.sums + other.sums)

    def __sub__(self, other: "GroupSums") -> "GroupSums":
        return GroupSums(self.counts - other.counts, self.sums - other.sums)

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
        rows = np.arange(len(self.source_of_row))
        return self._read(rows, self.source_of_row, self.n_sources)

    def group(self, members: np.ndarray) -> GroupSums:
        """The sums over `members`, int64 (n,) increasing rows."""
        return self.pair(members, members)[0]

    def pair(self, first: np.ndarray, second: np.ndarray) -> tuple[GroupSums, GroupSums]:
        """The sums over two groups, from one pass over the rows of either.

        The tokens fall into four parts: in neither, in the first only, in the second only, in
        both. The largest is never read: it is what all tokens sum to, less the other three.
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


def _compiled(kernel: _Kernel) -> _Kernel:
    """Compiled once and kept on disk; runs without the interpreter's lock, so on all cores."""
    return cast(_Kernel, numba.njit(nogil=True, cache=True)(kernel))


@_compiled
def _add_rows(
    block: np.ndarray, address: int, rows: np.ndarray, slots: np.ndarray, sums: np.ndarray
) -> None:
    """sums[slots[i]] += block[rows[i]] for each i; float32 read, float64 added.

    `address` is where the block lies; it is contiguous.
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


# Sums of the groups that were asked for lately: a difference mostly follows its trajectories.

KEPT_GROUPS = 8  # up to 25 MB each where there are 5,000 source documents
Members = Callable[[str], np.ndarray]


class Engine(Protocol):
    """What sums losses within source documents: `sums.Summation` or `spark.SparkSummation`."""

    def pair(self, first: np.ndarray, second: np.ndarray) -> tuple[GroupSums, GroupSums]:
        """The sums over two groups of rows, which may overlap."""


class AskedSums:
    """The sums of clauses; safe to use from several threads."""

    def __init__(self, members: Members, engine: Callable[[], Engine]) -> None:
        self._members = members
        self._engine = engine
        self._kept: OrderedDict[str, GroupSums] = OrderedDict()
        self._lock = threading.Lock()

    def pair(self, *clauses: str) -> tuple[GroupSums, GroupSums]:
        """Of two clauses; those that are not kept are read, both in one pass."""
        kept = self._kept  # another's, where they are forgotten meanwhile
        with self._lock:
            known = {clause: kept[clause] for clause in clauses if clause in kept}
        new = [clause for clause in dict.fromkeys(clauses) if clause not in known]
        if new:
            members = [self._members(clause) for clause in new]
            read = self._engine().pair(members[0], members[-1])
            known |= dict(zip(new, read, strict=False))
        with self._lock:
            kept.update(known)
            for clause in clauses:
                kept.move_to_end(clause)
            while len(kept) > KEPT_GROUPS:
                kept.popitem(last=False)
        return known[clauses[0]], known[clauses[1]]

    def forget(self) -> None:
        """Keep none: a function that clauses use has changed."""
        self._kept = OrderedDict()

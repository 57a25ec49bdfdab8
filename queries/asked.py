"""Sums of the groups that were asked for lately: a difference mostly follows its trajectories."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import numpy as np

from queries.sums import GroupSums

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

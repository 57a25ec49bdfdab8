"""Batches of tokens, in any order, become the tokens and one column of losses per checkpoint.

The first checkpoint that appears says which tokens there are. Every other one must have the same.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.errors import IngestError
from ingest.imports.results import Batch, Column, Tokens, Unit
from ingest.imports.units import first_unusable, refuse, to_nats

IN_MEMORY = 2**28
"""Bytes of unfinished columns that are kept in memory. Further ones are in files."""
Batches = Callable[[], Iterator[Batch]]


class TokensIncompleteError(Exception):
    """The first checkpoint goes on after others have begun: collect all of its tokens first."""


def assemble(
    batches: Batches, unit: Unit, scratch: Path, read: Callable[[int], object], all_of_it: bool
) -> tuple[Tokens, Iterator[Column]]:
    """The tokens, and each checkpoint's losses in nats once they are complete.

    `scratch` is an empty folder for unfinished columns. `read` is called with the number of losses
    of each batch. The tokens are those of the first checkpoint: with `all_of_it`, all files are
    searched for them; else, only up to a batch without any. Raises, here or by the iterator,
    TokensIncompleteError if that was too early, and IngestError with the first row that has no
    usable loss, is there twice, or belongs to tokens that another checkpoint does not have.
    """
    table = _Table.collect(batches, all_of_it)
    tokens = table.tokens()
    return tokens, _Placing(table, tokens, unit, scratch).columns(batches, read)


@dataclass
class _Keys:
    """Docs and token types as integers, and positions where a file does not say them."""

    docs: dict[Any, int] = field(default_factory=dict)
    types: dict[str, int] = field(default_factory=dict)
    last: tuple[int, int, int] = (-1, -1, 0)
    """Checkpoint, doc and position of the token before."""

    def of_docs(self, batch: Batch) -> np.ndarray:
        """Number of each token's doc, int64 (n,)."""
        if batch.doc is None:
            self.docs.setdefault("", 0)
            return np.zeros(len(batch), np.int64)
        return _numbers(batch.doc, self.docs, batch, "doc")

    def sort_docs(self) -> np.ndarray:
        """Number docs anew if their names are integers, which then give the order of docs.

        Other docs keep the order in which they appear. Returns the new number of each old one.
        """
        names = list(self.docs)
        if all(isinstance(name, int) for name in names):
            self.docs = {name: number for number, name in enumerate(sorted(names))}
        return np.array([self.docs[name] for name in names])

    def of_types(self, batch: Batch) -> np.ndarray:
        """What identifies each token's type, int64 (n,): its id, else a number of its text."""
        if batch.token_id is not None:
            return batch.token_id
        if batch.token_str is None:
            raise IngestError(
                f"{batch.file} has neither token ids nor texts: name their column with --map "
                "token_id=… or --map token_str=…, or a table of tokens with --tokens"
            )
        return _numbers(batch.token_str, self.types, batch, "token")

    def of_positions(self, batch: Batch, docs: np.ndarray) -> np.ndarray:
        """Position in its doc, int64 (n,): counted from 1, or from 0 if the first has no loss.

        Raises IngestError for a negative one, as from the end of a doc, which would turn it round.
        """
        if batch.position is not None:
            _refuse_negative(batch, batch.position)
            return batch.position
        here = np.stack([batch.checkpoint, docs])
        begins = np.concatenate([[True], (here[:, 1:] != here[:, :-1]).any(axis=0)])
        starts = np.flatnonzero(begins)
        first = np.where(np.isnan(batch.loss[starts]), 0, 1)
        if tuple(here[:, 0]) == self.last[:2]:
            first[0] = self.last[2] + 1
        lengths = np.diff(np.append(starts, len(batch)))
        positions = np.arange(len(batch)) + np.repeat(first - starts, lengths)
        self.last = (int(here[0, -1]), int(here[1, -1]), int(positions[-1]))
        return np.asarray(positions, np.int64)


def _refuse_negative(batch: Batch, positions: np.ndarray) -> None:
    if (wrong := positions < 0).any():
        at = int(np.argmax(wrong))
        raise IngestError(
            f"{batch.file}, row {batch.record[at]:,}: position {positions[at]:,} is negative: "
            "positions count from the start of a doc, from 0 or 1"
        )


def _numbers(values: pa.Array, known: dict[Any, int], batch: Batch, what: str) -> np.ndarray:
    if values.null_count:
        at = int(values.is_null().to_numpy(zero_copy_only=False).argmax())
        raise IngestError(f"{_row(batch, at)}: no {what}; nothing was imported")
    coded = values.dictionary_encode()
    found = coded.dictionary.to_pylist()
    table = np.array([known.setdefault(name, len(known)) for name in found], np.int64)
    return np.asarray(table[coded.indices.to_numpy()])


def _row(batch: Batch, at: int) -> str:
    return f"{batch.file}, row {batch.record[at]:,}"


@dataclass
class _Table:
    """The rows of the first checkpoint, as they come."""

    first: int
    keys: _Keys
    parts: list[dict[str, Any]] = field(default_factory=list)
    order: np.ndarray = field(init=False)
    columns: dict[str, Any] = field(init=False)

    @classmethod
    def collect(cls, batches: Batches, all_of_it: bool) -> "_Table":
        """Reads until a whole batch has no row of the first checkpoint, or `all_of_it`."""
        table: _Table | None = None
        for batch in batches():
            if not len(batch):
                continue
            table = table or cls(int(batch.checkpoint[0]), _Keys())
            if not table._add(batch) and not all_of_it:
                break
        if table is None:
            raise IngestError("there are no losses in the files; nothing was imported")
        return table

    def _add(self, batch: Batch) -> bool:
        docs = self.keys.of_docs(batch)
        positions = self.keys.of_positions(batch, docs)
        here = batch.checkpoint == self.first
        if not here.any():
            return False
        part: dict[str, Any] = {
            "doc": docs[here],
            "position": positions[here],
            "key": self.keys.of_types(batch)[here],
            "scored": ~np.isnan(batch.loss[here]),
            "record": batch.record[here],
            "file": batch.file,
        }
        for name in ("token_str", "source"):
            values = getattr(batch, name)
            part[name] = None if values is None else values.filter(pa.array(here))
        for name in ("token_id", "is_word_start"):
            values = getattr(batch, name)
            part[name] = None if values is None else values[here]
        self.parts.append(part)
        return True

    def tokens(self) -> Tokens:
        """Raises IngestError for a token that is there twice, or missing."""
        joined = {name: _joined([p[name] for p in self.parts]) for name in self.parts[0]}
        joined["doc"] = self.keys.sort_docs()[joined["doc"]]
        order = np.lexsort((joined["position"], joined["doc"]))
        names = [str(name) for name in self.keys.docs]
        self._refuse_gaps(joined["doc"][order], joined["position"][order], order, names)
        self.columns = {
            name: None if v is None else v.take(pa.array(order)) if name in _ARROW else v[order]
            for name, v in joined.items()
            if name != "file"
        }
        found = self.columns
        begins = np.concatenate([[True], np.diff(found["doc"]) != 0])
        if (silent := ~found["scored"] & ~begins).any():
            at = int(silent.argmax())
            place = f"doc {names[found['doc'][at]]}, position {found['position'][at]:,}"
            raise IngestError(f"{self._where(order[at])}: no loss (NaN or null) for {place}")
        sources = found["source"]
        return Tokens(
            found["doc"],
            names,
            found["position"],
            found["scored"],
            found["token_id"],
            found["token_str"],
            found["is_word_start"],
            None if sources is None else _of_docs(sources, begins, found["doc"], names),
        )

    def _refuse_gaps(
        self, docs: np.ndarray, positions: np.ndarray, order: np.ndarray, names: list[str]
    ) -> None:
        step = np.where(np.diff(docs) == 0, np.diff(positions), 1)
        if (step == 1).all():
            return
        at = int((step != 1).argmax()) + 1
        doc, position = names[docs[at]], positions[at]
        where = self._where(max(order[at], order[at - 1]) if step[at - 1] == 0 else order[at])
        if step[at - 1] == 0:
            raise IngestError(
                f"{where}: doc {doc}, position {position:,} is there twice at checkpoint "
                f"{self.first:,}; name the columns that tell them apart with --map doc=… or "
                "--map position=…"
            )
        raise IngestError(
            f"{where}: doc {doc} goes from position {positions[at - 1]:,} to {position:,} at "
            f"checkpoint {self.first:,}; the tokens between are missing"
        )

    def _where(self, row: int) -> str:
        for part in self.parts:
            if row < len(part["doc"]):
                return f"{part['file']}, row {part['record'][row]:,}"
            row -= len(part["doc"])
        raise AssertionError


_ARROW = {"token_str", "source"}


def _joined(values: list[Any]) -> Any:
    if isinstance(values[0], pa.Array):
        return pa.concat_arrays(values)
    return np.concatenate(values) if isinstance(values[0], np.ndarray) else values[0]


def _of_docs(values: pa.Array, begins: np.ndarray, docs: np.ndarray, names: list[str]) -> list[str]:
    """The value at the first token of each doc; of docs without one, their names."""
    found = dict(
        zip(docs[begins].tolist(), values.filter(pa.array(begins)).to_pylist(), strict=True)
    )
    return [str(found.get(number, name)) for number, name in enumerate(names)]


class _Filling:
    """A column that is not complete yet. Loss, rank and entropy are NaN where nothing is known."""

    def __init__(
        self, checkpoint: int, file: str, arrays: dict[str, np.ndarray], left: int
    ) -> None:
        self.checkpoint, self.file, self.arrays, self.left = checkpoint, file, arrays, left


class _Placing:
    """Puts losses where their tokens are."""

    def __init__(self, table: _Table, tokens: Tokens, unit: Unit, scratch: Path) -> None:
        self._table, self._tokens, self._unit, self._scratch = table, tokens, unit, scratch
        self._keys = _Keys(dict(table.keys.docs), dict(table.keys.types))
        counts = np.bincount(tokens.doc, minlength=len(tokens.names))
        self._count, self._start = counts, np.concatenate([[0], np.cumsum(counts)[:-1]])
        self._first = np.zeros(len(counts), np.int64)
        has = counts > 0
        self._first[has] = tokens.position[self._start[has]]
        self._row = np.cumsum(tokens.scored) - 1
        self._open: dict[int, _Filling] = {}
        self._done: set[int] = set()

    def columns(self, batches: Batches, read: Callable[[int], object]) -> Iterator[Column]:
        """Each checkpoint's column, in nats, once it is complete."""
        for batch in batches():
            if len(batch):
                yield from self._place(batch)
                read(len(batch))
        for filling in self._open.values():
            raise self._incomplete(filling)

    def _place(self, batch: Batch) -> Iterator[Column]:
        at = self._find(batch)
        losses = to_nats(batch.loss, self._unit)
        wanted = self._tokens.scored[at]
        if not wanted.all():
            self._refuse_unexpected(batch, wanted)
        if (bad := first_unusable(np.where(wanted, losses, 0))) is not None:
            where = f"{_row(batch, bad)} ({self._place_name(at[bad])})"
            raise refuse(where, float(batch.loss[bad]), self._unit)
        rows = self._row[at]
        for checkpoint, chosen in _by_checkpoint(batch.checkpoint, wanted):
            filling = self._filling(checkpoint, batch)
            self._refuse_repeats(filling, batch, rows, chosen)
            values = {"loss": losses, "rank": batch.rank, "entropy": batch.entropy}
            for name, array in filling.arrays.items():
                if (found := values[name]) is not None:
                    array[rows[chosen]] = found[chosen]
            filling.left -= len(rows[chosen])
            if not filling.left:
                self._done.add(checkpoint)
                del self._open[checkpoint]
                yield Column(checkpoint, filling.file, **filling.arrays)

    def _find(self, batch: Batch) -> np.ndarray:
        """Place among the tokens, int64 (n,). Refuses tokens that are not among them."""
        docs = self._keys.of_docs(batch)
        positions = self._keys.of_positions(batch, docs)
        known = docs < len(self._count)
        docs = np.where(known, docs, 0)
        ordinal = positions - self._first[docs]
        known &= (ordinal >= 0) & (ordinal < self._count[docs])
        at = np.where(known, self._start[docs] + ordinal, 0)
        if not known.all():
            bad = int((~known).argmax())
            self._refuse_unknown(batch, bad, int(positions[bad]))
        if batch.token_id is None and batch.token_str is None:
            return at
        if (other := self._keys.of_types(batch) != self._table.columns["key"][at]).any():
            bad = int(other.argmax())
            raise IngestError(
                f"{_row(batch, bad)}: another token at {self._place_name(at[bad])} than at "
                f"checkpoint {self._table.first:,}; one store holds one text"
            )
        return at

    def _refuse_unknown(self, batch: Batch, bad: int, position: int) -> None:
        checkpoint = int(batch.checkpoint[bad])
        if checkpoint == self._table.first:
            raise TokensIncompleteError
        doc = "" if batch.doc is None else f"doc {batch.doc[bad]}, "
        raise IngestError(
            f"{_row(batch, bad)}: {doc}position {position:,} at checkpoint {checkpoint:,} is not "
            f"among the tokens of checkpoint {self._table.first:,}; every checkpoint must have the "
            "same tokens"
        )

    def _refuse_unexpected(self, batch: Batch, wanted: np.ndarray) -> None:
        """Refuse a loss of a token that has none at the first checkpoint."""
        if (extra := ~wanted & ~np.isnan(batch.loss)).any():
            raise IngestError(
                f"{_row(batch, int(extra.argmax()))}: a loss of a token that has none at "
                f"checkpoint {self._table.first:,}; every checkpoint must have the same tokens"
            )

    def _refuse_repeats(
        self, filling: _Filling | None, batch: Batch, rows: np.ndarray, chosen: Any
    ) -> None:
        here = rows[chosen]
        again = np.ones(len(here), bool) if filling is None else np.zeros(len(here), bool)
        if filling is not None:
            again |= ~np.isnan(filling.arrays["loss"][here])
            if (np.diff(here) <= 0).any():
                first = np.unique(here, return_index=True)[1]
                repeated = np.ones(len(here), bool)
                repeated[first] = False
                again |= repeated
        if again.any():
            at = int(np.arange(len(rows))[chosen][int(again.argmax())])
            token = np.flatnonzero(self._tokens.scored)[rows[at]]
            raise IngestError(
                f"{_row(batch, at)}: {self._place_name(token)} is there twice at checkpoint "
                f"{int(batch.checkpoint[at]):,}"
            )

    def _filling(self, checkpoint: int, batch: Batch) -> Any:
        if checkpoint in self._done:
            return None
        if checkpoint not in self._open:
            if checkpoint < 0:
                at = int((batch.checkpoint == checkpoint).argmax())
                raise IngestError(f"{_row(batch, at)}: checkpoint {checkpoint} is negative")
            n = self._tokens.n_scored
            extra = {name: getattr(batch, name) is not None for name in ("rank", "entropy")}
            names = ["loss", *(name for name, is_there in extra.items() if is_there)]
            arrays = {name: self._empty(checkpoint, name, n) for name in names}
            self._open[checkpoint] = _Filling(checkpoint, batch.file, arrays, n)
        return self._open[checkpoint]

    def _empty(self, checkpoint: int, name: str, n: int) -> np.ndarray:
        held = sum(len(f.arrays) * n * 4 for f in self._open.values())
        if held + n * 4 <= IN_MEMORY:
            return np.full(n, np.nan, np.float32)
        path = self._scratch / f"{checkpoint}-{name}.f32"
        array = np.memmap(path, np.float32, "w+", shape=(n,))
        path.unlink()  # the kernel frees it with the last reference to the array
        array[:] = np.nan
        return array

    def _incomplete(self, filling: _Filling) -> IngestError:
        at = int(np.isnan(filling.arrays["loss"]).argmax())
        token = np.flatnonzero(self._tokens.scored)[at]
        return IngestError(
            f"checkpoint {filling.checkpoint:,} has no loss for {self._place_name(token)}, which "
            f"checkpoint {self._table.first:,} has ({filling.left:,} of "
            f"{self._tokens.n_scored:,} losses are missing); nothing was imported"
        )

    def _place_name(self, at: int) -> str:
        doc, position = self._tokens.doc[at], self._tokens.position[at]
        return f"doc {self._tokens.names[doc]}, position {position:,}"


def _by_checkpoint(
    checkpoints: np.ndarray, wanted: np.ndarray
) -> Iterator[tuple[int, slice | np.ndarray]]:
    """Each checkpoint, and where its rows are: a slice if they are all of the batch."""
    if wanted.all() and (checkpoints[0] == checkpoints).all():
        yield int(checkpoints[0]), slice(None)
        return
    order = np.flatnonzero(wanted)
    order = order[np.argsort(checkpoints[order], kind="stable")]
    if len(order):
        bounds = np.flatnonzero(np.diff(checkpoints[order])) + 1
        for chosen in np.split(order, bounds):
            yield int(checkpoints[chosen[0]]), chosen

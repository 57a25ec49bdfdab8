"""Features computed after ingest, such as kinds of trajectories: columns of `tokens`."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from queries.engine.clauses import reserved_words
from queries.engine.database import Database
from queries.errors import QueryError
from queries.groups.named_groups import SHARED, find_group
from store import schema
from store.features import Feature, FeatureError, read_feature, write_feature
from store.layout import Layout
from store.manifest import Manifest

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
Version = tuple[tuple[str, int, int], ...]
"""Of each file its name, size in bytes, and when it was written, in nanoseconds."""


@dataclass(frozen=True)
class Found:
    """What stands in a store's `features/`."""

    layout: Layout
    manifest: Manifest
    usable: dict[str, Feature]
    problems: dict[str, str]
    """Name -> why it is no column."""
    version: Version
    """Of the files, before they were read."""

    @property
    def table(self) -> pa.Table | None:
        """row and a column for each; None where there is no feature."""
        if not self.usable:
            return None
        columns = {name: feature.values for name, feature in self.usable.items()}
        n_tokens = len(next(iter(columns.values())))
        return pa.table({"row": pa.array(np.arange(n_tokens), pa.int64()), **columns})


def find(layout: Layout, manifest: Manifest) -> Found:
    """Read a store's features, in order of name."""
    version = _version(layout)
    usable: dict[str, Feature] = {}
    problems: dict[str, str] = {}
    for path in sorted(layout.features.glob("*.parquet")):
        name = path.stem
        if trouble := _objection(name, layout):
            problems[name] = f"{path} {trouble}: delete it, or give it another name"
            continue
        try:
            usable[name] = read_feature(path, manifest)
        except FeatureError as error:
            problems[name] = str(error)
    return Found(layout, manifest, usable, problems, version)


def _version(layout: Layout) -> Version:
    found = []
    for path in sorted(layout.features.glob("*.parquet")):
        with suppress(FileNotFoundError):  # somebody deletes it just now
            facts = path.stat()
            found.append((path.stem, facts.st_size, facts.st_mtime_ns))
    return tuple(found)


class Features:
    """The features of a store. `changed` is called after each change.

    A file that is damaged or of other tokens is no column; `all` and clauses that name it say why.
    """

    def __init__(self, database: Database, found: Found, changed: Callable[[], None]) -> None:
        self._database = database
        self._layout = found.layout
        self._manifest = found.manifest
        self._changed = changed
        self._found = found
        database.unusable_columns = found.problems

    def all(self) -> pd.DataFrame:
        """name, type, n_tokens (that have a value), description, problem (None: usable)."""
        lines: list[tuple[str, str | None, int | None, str | None, str | None]] = [
            (f.name, str(f.values.type), len(f.values) - f.values.null_count, f.description, None)
            for f in self._found.usable.values()
        ]
        lines += [(name, None, None, None, why) for name, why in self._found.problems.items()]
        return pd.DataFrame(lines, columns=["name", "type", "n_tokens", "description", "problem"])

    def save(
        self,
        name: str,
        values: Sequence[Any] | np.ndarray | pd.Series,
        description: str = "",
        *,
        rows: np.ndarray | pd.Series | None = None,
        overwrite: bool = False,
    ) -> None:
        """Keep one value a token, in order of row, as the column `name` of `tokens`.

        Booleans, numbers or texts; None and NaN become NULL. With `rows`, int64, values are of
        those tokens and NULL for others. Raises QueryError for a name that is none or that is taken
        (unless by a feature and `overwrite`), for other numbers of values than tokens, and where
        the folder cannot be written.
        """
        self.refuse(name, overwrite=overwrite)
        with self._written():
            write_feature(
                self._layout, self._manifest, Feature(name, self._array(values, rows), description)
            )
        self.load()

    def delete(self, name: str) -> None:
        """Delete a feature's file, usable or not. Raises QueryError."""
        names = [*self._found.usable, *self._found.problems]
        if name not in names:
            raise QueryError(f"there is no feature {name}: there are {', '.join(names) or 'none'}")
        with self._written():
            (self._layout.features / f"{name}.parquet").unlink(missing_ok=True)
        self.load()

    @property
    def version(self) -> Version:
        """What tells these features from those after a change: for caches of answers."""
        return self._found.version

    def follow(self) -> bool:
        """`load` where somebody else, such as the command line, changed the folder. Was it so?"""
        if _version(self._layout) == self._found.version:
            return False
        self.load()
        return True

    def load(self) -> None:
        """Read the folder again, for all queries that begin from now on."""
        found = find(self._layout, self._manifest)
        with self._database.alone():
            self._database.load_tokens(found.table)
            self._database.unusable_columns = found.problems
            self._found = found
        self._changed()

    def refuse(self, name: str, *, overwrite: bool = False) -> None:
        """Raises QueryError where a feature cannot be saved under this name."""
        there = [*self._found.usable, *self._found.problems]
        if trouble := _objection(name, self._layout):
            raise QueryError(f"{name!r} cannot name a feature: it {trouble}")
        if find_group(name, SHARED, self._layout.groups):
            raise QueryError(f"{name} cannot name a feature: there is a group of that name")
        if name in there and not overwrite:
            raise QueryError(
                f"there is a feature {name} already: choose another name, or ask to overwrite it"
            )

    def _array(
        self,
        values: Sequence[Any] | np.ndarray | pd.Series,
        rows: np.ndarray | pd.Series | None,
    ) -> pa.Array:
        n_tokens = self._manifest.n_tokens
        n = n_tokens if rows is None else len(rows)
        if len(values) != n:
            raise QueryError(f"found {len(values):,} values, expected one for each of {n:,} tokens")
        try:
            array = pa.array(values, from_pandas=True)
        except pa.ArrowException as error:
            raise QueryError(f"such values cannot be kept ({error}): give one type") from error
        if not _is_plain(array.type):
            raise QueryError(f"values of type {array.type} cannot be kept: give numbers or texts")
        return array if rows is None else _spread(array, np.asarray(rows), n_tokens)

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise QueryError(
                f"{self._layout.features} cannot be changed ({error.strerror}): make it writable"
            ) from error


def _objection(name: str, layout: Layout) -> str | None:
    """What is wrong with a feature's name, if anything."""
    if not _NAME.fullmatch(name):
        return "has not a name of up to 63 small letters a to z, digits and _, no digit first"
    own = [*schema.TOKENS.names, *pq.read_schema(layout.docs).names, "doc_tokens", "loss"]
    if name in own:
        return "has the name of another column"
    return "has a name that SQL keeps for itself" if name in reserved_words() else None


def _is_plain(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_boolean,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_string,
        pa.types.is_large_string,
    )
    return any(test(kind) for test in tests)


def _spread(values: pa.Array, rows: np.ndarray, n_tokens: int) -> pa.Array:
    """The values at their rows, NULL elsewhere."""
    place = np.full(n_tokens, -1)
    place[rows] = np.arange(len(rows))
    return values.take(pa.array(place, mask=place < 0))

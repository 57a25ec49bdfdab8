"""Features computed after ingest, such as clusters of trajectories: columns of `tokens`."""

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
from store.features import Feature, FeatureError, read_feature, write_feature
from store.layout import Layout
from store.manifest import Manifest

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
Version = tuple[tuple[str, int, int], ...]
"""Name, size in bytes and mtime in nanoseconds of each file."""


@dataclass(frozen=True)
class StoredFeatures:
    """The files in a store's `features/`."""

    layout: Layout
    manifest: Manifest
    usable: dict[str, Feature]
    problems: dict[str, str]
    """Name -> why it cannot be a column."""
    version: Version
    """Version of the files before they were read."""

    @property
    def table(self) -> pa.Table | None:
        """row and a column per feature; None if there is no feature."""
        if not self.usable:
            return None
        columns = {name: feature.values for name, feature in self.usable.items()}
        n_tokens = len(next(iter(columns.values())))
        return pa.table({"row": pa.array(np.arange(n_tokens), pa.int64()), **columns})


def read_features(layout: Layout, manifest: Manifest) -> StoredFeatures:
    """Read a store's features, in order of name."""
    version = _version(layout)
    usable: dict[str, Feature] = {}
    problems: dict[str, str] = {}
    for path in sorted(layout.features.glob("*.parquet")):
        name = path.stem
        if problem := _name_problem(name, layout):
            problems[name] = f"{path} {problem}: delete it, or give it another name"
            continue
        try:
            usable[name] = read_feature(path, manifest)
        except FeatureError as error:
            problems[name] = str(error)
    return StoredFeatures(layout, manifest, usable, problems, version)


def _version(layout: Layout) -> Version:
    found = []
    for path in sorted(layout.features.glob("*.parquet")):
        with suppress(FileNotFoundError):  # it is being deleted
            facts = path.stat()
            found.append((path.stem, facts.st_size, facts.st_mtime_ns))
    return tuple(found)


class Features:
    """The features of a store. `changed` is called after each change.

    A file that is damaged or of other tokens is not a column; `all` and the errors of clauses that
    name it say why.
    """

    def __init__(
        self, database: Database, found: StoredFeatures, changed: Callable[[], None]
    ) -> None:
        self._database = database
        self._layout = found.layout
        self._manifest = found.manifest
        self._changed = changed
        self._found = found
        database.unusable_columns = found.problems

    def all(self) -> pd.DataFrame:
        """name, type, n_tokens (with a value), description, problem (None: usable)."""
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
        """Save one value per token, in order of row, as the column `name` of `tokens`.

        Values are booleans, numbers or texts; None and NaN become NULL. With `rows`, int64, they
        are the values of those tokens; other tokens get NULL. Raises QueryError for an invalid name
        or one that is in use (unless by a feature and `overwrite`), for a wrong number of values,
        and if the folder cannot be written.
        """
        self.refuse(name, overwrite=overwrite)
        with self._writing():
            write_feature(
                self._layout, self._manifest, Feature(name, self._array(values, rows), description)
            )
        self.load()

    def delete(self, name: str) -> None:
        """Delete a feature's file, usable or not. Raises QueryError."""
        names = [*self._found.usable, *self._found.problems]
        if name not in names:
            saved = f"expected one of {', '.join(names)}" if names else "none has been saved"
            raise QueryError(f"there is no feature {name}: {saved}")
        with self._writing():
            (self._layout.features / f"{name}.parquet").unlink(missing_ok=True)
        self.load()

    @property
    def stored(self) -> StoredFeatures:
        """The files as they were read."""
        return self._found

    @property
    def version(self) -> Version:
        """Differs after each change; a key for caches of answers."""
        return self._found.version

    def follow(self) -> bool:
        """`load` if another process has changed the folder; returns whether it has."""
        if _version(self._layout) == self._found.version:
            return False
        self.load()
        return True

    def load(self) -> None:
        """Read the folder again, for all queries that begin afterwards."""
        found = read_features(self._layout, self._manifest)
        with self._database.alone():
            self._database.load_tokens(found.table)
            self._database.unusable_columns = found.problems
            self._found = found
        self._changed()

    def refuse(self, name: str, *, overwrite: bool = False) -> None:
        """Raises QueryError if a feature cannot be saved under this name."""
        existing = [*self._found.usable, *self._found.problems]
        if problem := _name_problem(name, self._layout):
            raise QueryError(f"{name!r} cannot be the name of a feature: it {problem}")
        if find_group(name, SHARED, self._layout.groups):
            raise QueryError(f"{name} cannot be the name of a feature: a group has that name")
        if name in existing and not overwrite:
            raise QueryError(
                f"the feature {name} exists already: choose another name, or overwrite it"
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
            raise QueryError(f"these values cannot be saved ({error}): use one type") from error
        if not _is_plain(array.type):
            raise QueryError(f"values of type {array.type} cannot be saved: use numbers or texts")
        return array if rows is None else _spread(array, np.asarray(rows), n_tokens)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise QueryError(
                f"{self._layout.features} cannot be changed ({error.strerror}): make it writable"
            ) from error


def _name_problem(name: str, layout: Layout) -> str | None:
    """What is wrong with a feature's name; None if nothing is."""
    if not _NAME.fullmatch(name):
        return "is not 1 to 63 lower-case letters, digits and _, or begins with a digit"
    own = [n for path in (layout.tokens, layout.docs) for n in pq.read_schema(path).names]
    if name in {*own, "doc_tokens", "loss"}:
        return "is the name of another column"
    return "is a reserved word of SQL" if name in reserved_words() else None


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

"""Functions for clauses: users' Python functions in DuckDB, and lookups in the loss matrix."""

import ctypes
import inspect
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa

from queries import sql
from queries.engine import clauses
from queries.engine.database import Database
from queries.engine.matrix import LossMatrix
from queries.errors import QueryError, StoreError
from queries.stats import acquisition as learning

# A time limit for Python code, since DuckDB's own interrupt waits for it to return.
#
# An exception is raised in the thread that runs the code, between two steps of the interpreter.
# This stops loops and long computations in Python. It cannot stop a single call of C code that does
# not return, such as time.sleep or a regular expression with catastrophic backtracking, or code
# that catches every BaseException.

Answer = TypeVar("Answer")


class TooLateError(BaseException):
    """Raised in code past its deadline; not an Exception, so that `except Exception` ignores it."""


def call_until(deadline: float, call: Callable[[], Answer]) -> Answer:
    """The result of `call()`; raises TooLateError if it does not return by `deadline`.

    `deadline` is a time of time.monotonic, in seconds.
    """
    thread, lock, waiting = threading.get_ident(), threading.Lock(), [True]

    def stop() -> None:
        with lock:
            if waiting:
                _raise_in(thread, TooLateError)

    timer = threading.Timer(max(deadline - time.monotonic(), 0), stop)
    timer.daemon = True
    timer.start()
    try:
        return call()
    finally:
        with lock:
            waiting.clear()
        timer.cancel()
        _raise_in(thread, None)  # an exception that is still pending would hit other code


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Raise `kind` in a thread at its next step; None cancels an exception that is pending."""
    exception = ctypes.py_object(kind) if kind else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), exception)


# A user's Python function as DuckDB calls it: once per distinct value, with a time limit, and with
# errors that name the value.
#
# The result is assumed to depend only on the arguments, so that it is reused for all tokens and
# later queries; a function marked `every_row` is called for each token instead.

KEPT_VALUES = 2**18
"""Cached values per function, more than a vocabulary has; further values are not cached."""
ARROW = {
    "VARCHAR": pa.string(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
}
_PANDAS = {"VARCHAR": "str", "BIGINT": "int64", "DOUBLE": "float64", "BOOLEAN": "bool"}
Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class PythonFunction:
    """A function with its SQL signature; types are DuckDB's names."""

    name: str
    call: Callable[..., Any]
    parameters: tuple[str, ...]
    result: str
    vectorised: bool = False
    """Takes and returns pandas Series instead of single values."""
    every_row: bool = False
    """The result does not depend only on the arguments: call it for every row."""


def over_chunks(function: PythonFunction, deadline: Callable[[], float]) -> Callable[..., pa.Array]:
    """The function over chunks: columns of up to 2,048 rows without NULLs -> a column.

    `deadline` gives the time (time.monotonic) by which a call must end. The result raises
    QueryError.
    """
    known: dict[Any, Any] = {}  # by argument; by a tuple of them where there are several
    one = len(function.parameters) == 1

    def chunk(*columns: pa.ChunkedArray) -> pa.Array:
        lists = [column.to_pylist() for column in columns]
        keys = lists[0] if one else list(zip(*lists, strict=True))
        if function.every_row:
            return evaluate(keys)
        try:
            values = list(map(known.__getitem__, keys))
        except KeyError:
            new = [key for key in dict.fromkeys(keys) if key not in known]
            fresh = dict(zip(new, evaluate(new).to_pylist(), strict=True))
            values = [fresh[key] if key in fresh else known[key] for key in keys]
            if len(known) < KEPT_VALUES:
                known.update(fresh)
        return pa.array(values, ARROW[function.result])

    def evaluate(keys: list[Any]) -> pa.Array:
        rows = [(key,) for key in keys] if one else keys
        return _evaluate(function, rows, deadline())

    columns = [
        inspect.Parameter(f"column_{i}", inspect.Parameter.POSITIONAL_ONLY)
        for i in range(len(function.parameters))
    ]
    chunk.__signature__ = inspect.Signature(columns)  # type: ignore[attr-defined]  # DuckDB counts
    return chunk


def _evaluate(function: PythonFunction, rows: list[Arguments], deadline: float) -> pa.Array:
    """The function's values, (len(rows),), without NULLs."""
    results: list[Any] = []
    run = partial(_together if function.vectorised else _one_by_one, function, rows, results)
    try:
        call_until(deadline, run)
    except TooLateError as error:
        left = rows if function.vectorised else rows[len(results) :][:1]
        raise QueryError(
            f"{_given(function, left or rows[-1:])}: it was still running at the time limit and "
            "was stopped: make it faster, or end its loop"
        ) from error
    return _converted(function, rows, results)


def _one_by_one(function: PythonFunction, rows: list[Arguments], results: list[Any]) -> None:
    for row in rows:
        results.append(_call(function, row, [row]))


def _together(function: PythonFunction, rows: list[Arguments], results: list[Any]) -> None:
    try:
        answer = _call(function, _series(function, rows), rows)
    except QueryError:
        for row in rows if len(rows) > 1 else ():  # to find out which one fails
            _call(function, _series(function, [row]), [row])
        raise
    if not isinstance(answer, pd.Series) or not answer.index.equals(pd.RangeIndex(len(rows))):
        other = (
            "a Series with another index" if isinstance(answer, pd.Series) else _shortened(answer)
        )
        raise QueryError(
            f"{_given(function, rows)}: it returned {other}, expected a Series of {len(rows):,} "
            "values with the index of its arguments"
        )
    results.extend(answer.tolist())


def _series(function: PythonFunction, rows: list[Arguments]) -> "list[pd.Series[Any]]":
    columns = zip(zip(*rows, strict=True), function.parameters, strict=True)
    return [pd.Series(list(values), dtype=_PANDAS[kind]) for values, kind in columns]


def _call(function: PythonFunction, arguments: Sequence[Any], rows: list[Arguments]) -> Any:
    try:
        return function.call(*arguments)
    except Exception as error:  # whatever the user's code raises
        message = f"{type(error).__name__}: {error}"
        raise QueryError(f"{_given(function, rows)}: {message}") from error


def _converted(function: PythonFunction, rows: list[Arguments], results: list[Any]) -> pa.Array:
    try:
        values = _column(results, ARROW[function.result])
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        for row, result in zip(rows, results, strict=True) if len(rows) > 1 else ():
            _converted(function, [row], [result])  # to find out which one fails
        raise QueryError(
            f"{_given(function, rows)}: it returned {_shortened(results[0])}, "
            f"expected {function.result}"
        ) from error
    if values.null_count:
        at = rows[values.is_null().index(True).as_py()]
        raise QueryError(f"{_given(function, [at])}: it returned None, expected a value")
    return values


def _column(results: list[Any], kind: pa.DataType) -> pa.Array:
    found = pa.array(results) if kind == pa.int64() else None
    if found is not None and pa.types.is_floating(found.type):
        return found.cast(kind)  # this refuses 0.5; the line below would make it 0
    return pa.array(results, kind, from_pandas=False)


def _given(function: PythonFunction, rows: list[Arguments]) -> str:
    """The beginning of an error: the first row, and how many came with it."""
    others = f" and {len(rows) - 1:,} more" if len(rows) > 1 else ""
    values = ", ".join(map(_shortened, rows[0]))
    return f"the function {function.name} failed for {values}{others}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


# SQL functions over the loss matrix, so that membership can depend on learning.

Values = Callable[[LossMatrix, np.ndarray, int], np.ndarray]
NAMES = ("loss_at", "forgetting_at", "acquisition")


def register(database: Database, matrix: Callable[[], LossMatrix]) -> None:
    """Register loss_at(row, checkpoint), forgetting_at(row, checkpoint) (nats) and acquisition(row)
    (a step). They give NULL for a row that does not exist, such as the one before the first."""
    how: dict[str, Any] = {"type": "arrow", "null_handling": "special"}
    for name, values in (("loss_at", _losses), ("forgetting_at", learning.forgetting)):
        of_both = _at(matrix, values)
        database.register(
            name, of_both, parameters=["BIGINT", "BIGINT"], return_type="FLOAT", **how
        )
    database.register(
        "acquisition", _acquisition(matrix), parameters=["BIGINT"], return_type="BIGINT", **how
    )


def _losses(matrix: LossMatrix, rows: np.ndarray, checkpoint: int) -> np.ndarray:
    losses: np.ndarray = matrix.column(checkpoint)[rows]
    return losses


def _at(
    matrix: Callable[[], LossMatrix], values: Values
) -> Callable[[pa.Array, pa.Array], pa.Array]:
    def at(row: pa.Array, checkpoint: pa.Array) -> pa.Array:
        rows, known = _known(matrix(), row)
        checkpoints = checkpoint.fill_null(-1).to_numpy(zero_copy_only=False)
        named = checkpoint.is_valid().to_numpy(zero_copy_only=False)
        found = np.zeros(len(rows), dtype=np.float32)
        for value in np.unique(checkpoints[named]):
            of_value = known & named & (checkpoints == value)
            found[of_value] = values(matrix(), rows[of_value], int(value))
        return pa.array(found, mask=~(known & named))

    return at


def _acquisition(matrix: Callable[[], LossMatrix]) -> Callable[[pa.Array], pa.Array]:
    def acquisition(row: pa.Array) -> pa.Array:
        rows, known = _known(matrix(), row)
        steps = np.full(len(rows), -1)
        steps[known] = learning.acquisition(matrix(), rows[known])
        return pa.array(steps, mask=steps < 0)

    return acquisition


def _known(matrix: LossMatrix, row: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers, and which of them exist."""
    rows = row.fill_null(-1).to_numpy(zero_copy_only=False)
    return rows, (rows >= 0) & (rows < matrix.n_tokens)


OURS = Path(__file__).parents[1] / "udfs.py"
TYPES: dict[Any, str] = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}
_BY_NAME = {kind.__name__: sql_type for kind, sql_type in TYPES.items()}
_SERIES = re.compile(r"(?:\w+\.)*Series\[(\w+)\]")
Function = TypeVar("Function", bound=Callable[..., Any])


def every_row(function: Function) -> Function:
    """Marks a function whose result depends on more than its arguments, such as time or chance."""
    function.every_row = True  # type: ignore[attr-defined]
    return function


class Functions:
    """A store's SQL functions in addition to DuckDB's; `load` reads their files again.

    Raises StoreError for a file that cannot be loaded and a function that cannot be registered.
    """

    def __init__(
        self, database: Database, matrix: Callable[[], LossMatrix], named: str | Path | None
    ) -> None:
        register(database, matrix)
        self._database = database
        self._files = [OURS, *([Path(named).absolute()] if named else [])]
        self._reserved = {name for (name,) in database.rows(sql.read("engine/function_names"))}
        self._loaded: list[str] = []
        self.load()

    @property
    def names(self) -> list[str]:
        return [*NAMES, *self._loaded]

    @property
    def changed(self) -> bool:
        """Whether a file of functions was modified after it was loaded."""
        return self._stamp != _stamp(self._files)

    def load(self) -> None:
        """Read the files and register their functions; if that fails, nothing changes."""
        stamp = _stamp(self._files)
        found = {f.name: f for path in self._files for f in _functions(path)}
        self._check_names(list(found))
        with self._database.alone():
            for name in self._loaded:
                self._database.unregister(name)
            for function in found.values():
                self._register(function)
            self._loaded, self._stamp = list(found), stamp

    def _register(self, function: PythonFunction) -> None:
        self._database.register(
            function.name,
            over_chunks(function, self._database.deadline),
            parameters=list(function.parameters),
            return_type=function.result,
            type="arrow",
            side_effects=function.every_row,
        )

    def _check_names(self, found: list[str]) -> None:
        """SQL ignores case, and has names of its own."""
        seen: set[str] = set()
        for name in found:
            if name.lower() in self._reserved | clauses.reserved_words() | seen:
                raise StoreError(
                    f"the function {name} cannot be registered: SQL has a function or word of that "
                    "name (case is ignored); choose another name"
                )
            seen.add(name.lower())


def _stamp(files: list[Path]) -> list[tuple[int, int]]:
    """Changes when a file does; a deleted file counts as changed."""
    return [(s.st_mtime_ns, s.st_size) for s in (path.stat() for path in files if path.is_file())]


def _functions(path: Path) -> list[PythonFunction]:
    """The public functions that a file defines itself, by name."""
    module = _load(path)
    return [
        _described(name, function)
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    ]


def _load(path: Path) -> ModuleType:
    """Run a file. Not by import, which may use an old compiled file and leaves one behind."""
    if not path.is_file() or path.suffix != ".py":
        raise StoreError(f"{path} is not a Python file: --functions takes a .py file")
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except Exception as error:  # whatever the code raises
        raise StoreError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _described(name: str, function: Callable[..., Any]) -> PythonFunction:
    hints = inspect.get_annotations(function)
    kinds = [_kind(hints.get(p)) for p in [*inspect.signature(function).parameters, "return"]]
    if len(kinds) == 1:
        raise StoreError(f"the function {name} takes no argument: give it a column, as token_str")
    types = [sql_type for sql_type, _ in kinds if sql_type]
    if len(types) < len(kinds) or len({series for _, series in kinds}) > 1:
        raise StoreError(
            f"the function {name} needs annotations of str, int, float or bool on every parameter "
            "and its result, as in def f(token_str: str) -> bool, or of Series on all of them, as "
            'in def f(token_str: "pd.Series[str]") -> "pd.Series[bool]"; '
            "begin its name with _ if it is not for groups"
        )
    marked = bool(getattr(function, "every_row", False))
    return PythonFunction(name, function, tuple(types[:-1]), types[-1], kinds[0][1], marked)


def _kind(annotation: Any) -> tuple[str | None, bool]:
    """The SQL type of an annotation, and whether it is a Series of it.

    Those of Series are texts, since pandas defines them for type checkers only.
    """
    if not isinstance(annotation, str):
        return (TYPES.get(annotation) if isinstance(annotation, type) else None), False
    if series := _SERIES.fullmatch(annotation):
        return _BY_NAME.get(series[1]), True
    return _BY_NAME.get(annotation), False

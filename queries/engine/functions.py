"""Functions for clauses: Python functions in DuckDB, and lookups in the loss matrix."""

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

# Python code that runs too long is stopped: DuckDB's own interrupt waits for it to return.
#
# An exception is raised in the thread that runs the code, between two steps of the interpreter.
# So this stops loops and long computations in Python; what it cannot stop is one call of C code
# that does not return, such as time.sleep or a regular expression that backtracks without end,
# and code that catches every BaseException.

Answer = TypeVar("Answer")


class TooLateError(BaseException):
    """Raised in code past its deadline; no Exception, so that `except Exception` lets it pass."""


def call_until(deadline: float, call: Callable[[], Answer]) -> Answer:
    """The answer of `call()`; raises TooLateError where it has none by `deadline`.

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
        _raise_in(thread, None)  # one that came too late to be raised would hit other code


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Raise `kind` in a thread at its next step; None takes back what was not raised yet."""
    exception = ctypes.py_object(kind) if kind else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), exception)


# A person's Python function as DuckDB calls it: once per distinct value, in time, errors named.
#
# A function is taken to be one of its arguments alone, so that a value that it gave once holds
# for all tokens and for later queries; one that is marked `every_row` is called for each token
# instead.

KEPT_VALUES = 2**18
"""Values kept of one function, more than a vocabulary has; what comes later is called anew."""
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
    """A function and what SQL must know of it; types are DuckDB's names."""

    name: str
    call: Callable[..., Any]
    parameters: tuple[str, ...]
    result: str
    vectorised: bool = False
    """Takes and gives pandas Series, else single values."""
    every_row: bool = False
    """Not a function of its arguments alone: to be called for every row."""


def over_chunks(function: PythonFunction, deadline: Callable[[], float]) -> Callable[..., pa.Array]:
    """The function over chunks: columns of up to 2,048 rows without NULLs -> a column.

    `deadline` says until when (time.monotonic) a call may run. The result raises QueryError.
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
            "was stopped: make it quicker, or end its loop"
        ) from error
    return _converted(function, rows, results)


def _one_by_one(function: PythonFunction, rows: list[Arguments], results: list[Any]) -> None:
    for row in rows:
        results.append(_call(function, row, [row]))


def _together(function: PythonFunction, rows: list[Arguments], results: list[Any]) -> None:
    try:
        answer = _call(function, _series(function, rows), rows)
    except QueryError:
        for row in rows if len(rows) > 1 else ():  # which of them is it?
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
    except Exception as error:  # whatever a person's own code raises
        trouble = f"{type(error).__name__}: {error}"
        raise QueryError(f"{_given(function, rows)}: {trouble}") from error


def _converted(function: PythonFunction, rows: list[Arguments], results: list[Any]) -> pa.Array:
    try:
        values = _column(results, ARROW[function.result])
    except (ValueError, TypeError, OverflowError, pa.ArrowException) as error:
        for row, result in zip(rows, results, strict=True) if len(rows) > 1 else ():
            _converted(function, [row], [result])  # which of them is it?
        raise QueryError(
            f"{_given(function, rows)}: it returned {_shortened(results[0])}, "
            f"expected {function.result}"
        ) from error
    if values.null_count:
        at = rows[values.is_null().index(True).as_py()]
        raise QueryError(f"{_given(function, [at])}: it returned nothing, expected a value")
    return values


def _column(results: list[Any], kind: pa.DataType) -> pa.Array:
    found = pa.array(results) if kind == pa.int64() else None
    if found is not None and pa.types.is_floating(found.type):
        return found.cast(kind)  # which refuses 0.5, where the line below makes it 0
    return pa.array(results, kind, from_pandas=False)


def _given(function: PythonFunction, rows: list[Arguments]) -> str:
    """The beginning of a complaint: of the first row, and how many came with it."""
    others = f" and {len(rows) - 1:,} more" if len(rows) > 1 else ""
    values = ", ".join(map(_shortened, rows[0]))
    return f"the function {function.name} failed for {values}{others}"


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:199]}…"


# SQL functions over the loss matrix, so that membership can depend on learning itself.

Values = Callable[[LossMatrix, np.ndarray, int], np.ndarray]
NAMES = ("loss_at", "forgetting_at", "acquisition")


def register(database: Database, matrix: Callable[[], LossMatrix]) -> None:
    """Make them known: loss_at(row, checkpoint), forgetting_at(row, checkpoint) in nats, and
    acquisition(row), a step. NULL for a row that there is not, such as the one before the first."""
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
    """Row numbers, and which of them there are."""
    rows = row.fill_null(-1).to_numpy(zero_copy_only=False)
    return rows, (rows >= 0) & (rows < matrix.n_tokens)


OURS = Path(__file__).parents[1] / "udfs.py"
TYPES: dict[Any, str] = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}
_BY_NAME = {kind.__name__: sql_type for kind, sql_type in TYPES.items()}
_SERIES = re.compile(r"(?:\w+\.)*Series\[(\w+)\]")
Function = TypeVar("Function", bound=Callable[..., Any])


def every_row(function: Function) -> Function:
    """Marks a function of more than its arguments (chance, time): called for every row."""
    function.every_row = True  # type: ignore[attr-defined]
    return function


class Functions:
    """The functions that a store's SQL knows beside DuckDB's; `load` reads them again.

    Raises StoreError for a file that cannot be loaded and a function that cannot be registered.
    """

    def __init__(
        self, database: Database, matrix: Callable[[], LossMatrix], named: str | Path | None
    ) -> None:
        register(database, matrix)
        self._database = database
        self._files = [OURS, *([Path(named).absolute()] if named else [])]
        self._taken = {name for (name,) in database.rows(sql.read("engine/function_names"))}
        self._loaded: list[str] = []
        self.load()

    @property
    def names(self) -> list[str]:
        return [*NAMES, *self._loaded]

    @property
    def changed(self) -> bool:
        """Was a file of functions written since it was loaded?"""
        return self._stamp != _stamp(self._files)

    def load(self) -> None:
        """Read the files and register what they hold now; where that fails nothing changes."""
        stamp = _stamp(self._files)
        found = {f.name: f for path in self._files for f in _functions(path)}
        self._refuse_taken(list(found))
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

    def _refuse_taken(self, found: list[str]) -> None:
        """SQL tells no A from a, and keeps its own names."""
        seen: set[str] = set()
        for name in found:
            if name.lower() in self._taken | clauses.reserved_words() | seen:
                raise StoreError(
                    f"the function {name} cannot be registered: SQL has that name already, "
                    "and takes capitals for small letters; choose another"
                )
            seen.add(name.lower())


def _stamp(files: list[Path]) -> list[tuple[int, int]]:
    """Changes when a file does; a file that has gone counts as changed."""
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
    """Run a file anew. Not by import, which may take an older compiled one and leaves one."""
    if not path.is_file() or path.suffix != ".py":
        raise StoreError(f"{path} is not a Python file: --functions takes a .py file")
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    try:
        exec(compile(path.read_bytes(), str(path), "exec"), module.__dict__)
    except Exception as error:  # whatever the operator's own code raises
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

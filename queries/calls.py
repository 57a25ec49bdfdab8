"""A person's Python function as DuckDB calls it: once per distinct value, in time, errors named.

A function is taken to be one of its arguments alone, so that a value that it gave once holds for
all tokens and for later queries; one that is marked `every_row` is called for each token instead.
"""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd
import pyarrow as pa

from queries.deadlines import TooLateError, call_until
from queries.errors import QueryError

KEPT_VALUES = 2**18
"""Values kept of one function, more than a vocabulary has; what comes later is called anew."""
ARROW = {
    "VARCHAR": pa.string(), "BIGINT": pa.int64(), "DOUBLE": pa.float64(), "BOOLEAN": pa.bool_(),
}  # fmt: skip
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

    columns = [inspect.Parameter(f"column_{i}", inspect.Parameter.POSITIONAL_ONLY)
               for i in range(len(function.parameters))]  # fmt: skip
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

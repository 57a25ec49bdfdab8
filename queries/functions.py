"""Python functions -> DuckDB: the project's own, the operator's file, and loss_at."""

import functools
import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from queries import udfs
from queries.database import Database
from queries.errors import QueryError, StoreError
from queries.matrix import LossMatrix

TYPES: dict[Any, str] = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN"}


def register_functions(
    database: Database, matrix: Callable[[], LossMatrix], named: Path | None
) -> list[str]:
    """Register loss_at and all annotated functions; returns their names.

    Raises StoreError for a file that cannot be loaded or a function without annotations.
    """
    database.register("loss_at", _loss_at(matrix), parameters=["BIGINT", "BIGINT"],
                      return_type="FLOAT", type="arrow", null_handling="special")  # fmt: skip
    functions = _public(udfs) | (_public(_load(named)) if named else {})
    for name, function in functions.items():
        parameters, result = _signature(name, function)
        try:
            database.register(
                name, _named(name, function), parameters=parameters, return_type=result
            )
        except Exception as error:  # DuckDB has no common class for what it refuses here
            raise StoreError(f"the function {name} cannot be registered: {error}") from error
    return ["loss_at", *functions]


def _named(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose errors say its name and the values that it was given."""

    @functools.wraps(function)
    def call(*values: Any) -> Any:
        given = f"the function {name} failed for {', '.join(map(repr, values))}"
        try:
            result = function(*values)
        except Exception as error:  # whatever a person's own code raises
            raise QueryError(f"{given}: {type(error).__name__}: {error}") from error
        if result is None:
            raise QueryError(f"{given}: it returned nothing, expected a value")
        return result

    return call


def _loss_at(matrix: Callable[[], LossMatrix]) -> Callable[[pa.Array, pa.Array], pa.Array]:
    def loss_at(row: pa.Array, checkpoint: pa.Array) -> pa.Array:
        """Losses in nats; NULL for a row that there is not, such as the one before the first."""
        rows = row.fill_null(-1).to_numpy(zero_copy_only=False)
        checkpoints = checkpoint.fill_null(-1).to_numpy(zero_copy_only=False)
        named = checkpoint.is_valid().to_numpy(zero_copy_only=False)
        losses = np.zeros(len(rows), dtype=np.float32)
        known = (rows >= 0) & (rows < matrix().n_tokens) & named
        for value in np.unique(checkpoints[named]):
            at = known & (checkpoints == value)
            losses[at] = matrix().column(int(value))[rows[at]]
        return pa.array(losses, mask=~known)

    return loss_at


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise StoreError(f"{path} is not a Python file: --functions takes a .py file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the operator's own code raises
        raise StoreError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def _public(module: ModuleType) -> dict[str, Callable[..., Any]]:
    return {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }


def _signature(name: str, function: Callable[..., Any]) -> tuple[list[str], str]:
    try:
        hints = inspect.get_annotations(function, eval_str=True)
        kinds = [TYPES[hints[p]] for p in [*inspect.signature(function).parameters, "return"]]
    except (KeyError, NameError) as error:
        raise StoreError(
            f"the function {name} needs annotations of str, int, float or bool on every parameter "
            "and its result, as in def f(token_str: str) -> bool"
        ) from error
    if len(kinds) == 1:
        raise QueryError(f"the function {name} takes no argument: give it a column, as token_str")
    return kinds[:-1], kinds[-1]

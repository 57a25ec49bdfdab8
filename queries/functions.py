"""Python functions -> DuckDB: the project's own, the operator's file."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from queries import matrix_functions, names, sql
from queries.calls import PythonFunction, over_chunks
from queries.database import Database
from queries.errors import StoreError
from queries.matrix import LossMatrix

OURS = Path(__file__).with_name("udfs.py")
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
        matrix_functions.register(database, matrix)
        self._database = database
        self._files = [OURS, *([Path(named).absolute()] if named else [])]
        self._taken = {name for (name,) in database.rows(sql.read("function_names"))}
        self._loaded: list[str] = []
        self.load()

    @property
    def names(self) -> list[str]:
        return [*matrix_functions.NAMES, *self._loaded]

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
            if name.lower() in self._taken | names.reserved_words() | seen:
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

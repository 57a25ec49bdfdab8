"""What all analyses share: how they describe their arguments, their results, and their scripts.

An analysis is a function of a store that returns a frozen result. Positional parameters of the
function are positional on the command line too; keyword-only parameters become options. The help
text stands in the annotation, as in `group: Annotated[str, Group("group to analyse")] = "true"`.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    TypeAlias,
    get_args,
    get_origin,
    get_type_hints,
)

import pandas as pd

from queries.stats.changes import Region
from queries.store import Store

Language = Literal["sql", "python"]
OpenRegion = tuple[int | None, int | None]
"""First and last checkpoint; None for the first or last of the store."""
Role = Literal["value", "group", "region", "store"]
Chart: TypeAlias = Any
"""An Altair chart. `queries` does not import altair before a chart is drawn."""
Tables: TypeAlias = Mapping[str, Callable[[Any], pd.DataFrame]]
"""Name -> function of a result that gives the table."""


@dataclass(frozen=True)
class Help:
    """An argument's help text; `flags` are its option names if they differ from its name."""

    text: str
    flags: tuple[str, ...] = ()


class Group(Help):
    """The argument is a group: a WHERE clause over `tokens`, or the name of a named group."""


class Between(Help):
    """The argument is a region: its first and its last checkpoint."""


@dataclass(frozen=True)
class Argument:
    """One argument of an analysis, read from the signature of its function."""

    name: str
    type: Any
    """The annotation without its help text."""
    help: str
    role: Role
    positional: bool
    required: bool
    default: Any
    """None for required arguments."""
    flags: tuple[str, ...]
    """Option names on the command line, if they are not made from `name`."""

    @property
    def is_list(self) -> bool:
        """Whether it takes several texts."""
        return get_origin(self.type) is Sequence

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed values of a Literal; else empty."""
        return get_args(self.type) if get_origin(self.type) is Literal else ()


def arguments_of(function: Callable[..., Any]) -> tuple[Argument, ...]:
    """The arguments after the store. Raises TypeError for one without a help text."""
    hints = get_type_hints(function, include_extras=True)
    _, *parameters = inspect.signature(function).parameters.values()
    return tuple(_argument(parameter, hints[parameter.name]) for parameter in parameters)


def _argument(parameter: inspect.Parameter, annotation: Any) -> Argument:
    if get_origin(annotation) is not Annotated:
        raise TypeError(f"the argument {parameter.name} has no help text: use Annotated[…, Help]")
    kind, about, *_ = get_args(annotation)
    about = Help(about) if isinstance(about, str) else about
    required = parameter.default is parameter.empty
    return Argument(
        parameter.name,
        kind,
        about.text,
        _role(kind, about),
        parameter.kind is not parameter.KEYWORD_ONLY,
        required,
        None if required else parameter.default,
        about.flags,
    )


def _role(kind: Any, about: Help) -> Role:
    if isinstance(about, Group):
        return "group"
    if isinstance(about, Between) or kind == Region:
        return "region"
    return "store" if Store in (kind, *get_args(kind)) else "value"


@dataclass(frozen=True)
class Script:
    """A script that gives the main table of a result."""

    text: str
    language: Language


class Result(Protocol):
    """What every analysis returns: a frozen dataclass that holds data frames only."""

    tables: ClassVar[Tables]
    """Name -> table of a result with several tables; the first is `frame`. Empty: only `frame`."""

    @property
    def frame(self) -> pd.DataFrame:
        """The main table: what the command line prints."""

    @property
    def language(self) -> Language:
        """Language of `script`."""

    def chart(self) -> Chart:
        """An Altair chart of the result."""

    def script(self) -> str:
        """SQL for the store's catalog.duckdb, or Python; gives `frame`."""


@dataclass(frozen=True, kw_only=True)
class WithScript:
    """The part of a `Result` that is the same for all."""

    code: Script
    tables: ClassVar[Tables] = {}

    @property
    def language(self) -> Language:
        return self.code.language

    def script(self) -> str:
        return self.code.text


def python_script(store: Store, function: Callable[..., Any], **arguments: Any) -> Script:
    """The call of an analysis as Python; arguments that are left at their default are omitted."""
    return _call(store_call(store), function, arguments)


def store_call(store: Store) -> str:
    """The Python expression that opens the store again."""
    values = [repr(store.url or str(store.path))]
    if store.functions_file:
        values.append(f"functions={str(store.functions_file)!r}")
    return f"Store({', '.join(values)})"


def python_script_of_stores(
    stores: list[Store], function: Callable[..., Any], **arguments: Any
) -> Script:
    """The same for an analysis of several stores."""
    return _call(f"[{', '.join(map(store_call, stores))}]", function, arguments)


def _call(first: str, function: Callable[..., Any], arguments: Mapping[str, Any]) -> Script:
    defaults = inspect.signature(function).parameters
    texts = [
        f"{name}={store_call(value) if isinstance(value, Store) else repr(value)}"
        for name, value in arguments.items()
        if isinstance(value, Store) or value != defaults[name].default
    ]
    name = function.__name__
    call = f"{name}({', '.join([first, *texts])})"
    return Script(f"from queries import Store, {name}\n\nresult = {call}\nresult.frame\n", "python")


sql_script = partial(Script, language="sql")

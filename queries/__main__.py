"""The command line of queries: `python -m queries COMMAND STORE …`.

A command is a function of an open store that returns an `Answer`. The decorator `_command` gives it
the arguments that all commands share: the store, --functions, --format and --output. The commands
of analyses are generated from the registry.
"""

import inspect
import io
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import pandas as pd
import pyarrow as pa
import typer
from typer.core import TyperCommand, TyperOption
from typer.exceptions import TyperException
from typer.models import ArgumentInfo

from queries.analyses.base import Argument, Chart, Result
from queries.analyses.registry import ANALYSES, Analysis
from queries.engine.matrix import Progress
from queries.engine.measures import MEASURES, MeasureName
from queries.errors import QueryError
from queries.stats.distribution import QUARTILES
from queries.store import EngineName, Store

PROGRAM = (
    "token-trails queries" if Path(sys.argv[0]).stem == "token-trails" else "python -m queries"
)
"""How the user called this command line, for the help."""

TABLES = ("csv", "json", "parquet")
PICTURES = ("svg", "png", "html")
Format = Literal["csv", "json", "parquet", "svg", "png", "html"]
DASH = "\0"
"""Marks an argument that begins with a dash but is not an option."""

app = typer.Typer(
    name="queries",
    help="Query a store: how were groups of tokens learned?",
    epilog=f"Example: {PROGRAM} trajectories data/demo copyable not_copyable",
    rich_markup_mode="markdown",
    add_completion=False,  # the console script token-trails has it, for these commands too
    pretty_exceptions_enable=False,
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 2 for invalid arguments or no answer."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        status = app(args=arguments or ["--help"], prog_name=PROGRAM, standalone_mode=False)
    except (QueryError, TyperException) as error:
        print(f"error: {_sentence(error)}", file=sys.stderr)
        return 2
    return status or 0


def _sentence(error: QueryError | TyperException) -> str:
    """The message in one line; invalid arguments come with the command that shows the help."""
    if isinstance(error, QueryError):
        return " ".join(str(error).replace(DASH, "").split())
    text = error.format_message().replace(DASH, "").replace(": Value error,", ":")
    message = " ".join(text.split()).rstrip(".")
    context = getattr(error, "ctx", None)  # of a usage error
    return f"{message} (see `{context.command_path} --help`)" if context else message


# What a command is.


@dataclass(frozen=True)
class Answer:
    """What a command prints: a table, or its chart."""

    frame: pd.DataFrame
    chart: Callable[[], Chart] | None = None


class Command(TyperCommand):
    """Options that can be repeated also take several values: `--on position corpus_count`.

    An argument with a space is never an option, so that a clause may begin with a dash.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        options = [param for param in self.params if isinstance(param, TyperOption)]
        repeated = {flag for option in options if option.multiple for flag in option.opts}
        marked = [_marked(arg) for arg in args]
        return super().parse_args(ctx, list(_with_repeated_flags(marked, repeated)))


def _marked(argument: str) -> str:
    is_text = argument.startswith("-") and any(map(str.isspace, argument.partition("=")[0]))
    return f"{DASH}{argument}" if is_text else argument


def _with_repeated_flags(arguments: Sequence[str], repeated: set[str]) -> Iterable[str]:
    """`--on a b` -> `--on a --on b`."""
    flag = None
    for at, argument in enumerate(arguments):
        if argument.startswith("-"):
            flag = argument if argument in repeated else None
            follows = arguments[at + 1 : at + 2]
            if flag and follows and not follows[0].startswith("-"):
                continue  # it is written in front of each of its values
        elif flag:
            yield flag
        yield argument


Stored = Annotated[
    str,
    typer.Argument(metavar="STORE", help="a store's folder, or an fsspec URL", show_default=False),
]
ManyStored = Annotated[
    list[str],
    typer.Argument(metavar="STORE...", help="folders or fsspec URLs of stores", show_default=False),
]
_PANEL = "Input and output"
SHARED = {
    "functions": Annotated[
        Path | None,
        typer.Option(help="a .py file with functions for groups", rich_help_panel=_PANEL),
    ],
    "format": Annotated[Format, typer.Option(help="format of the output", rich_help_panel=_PANEL)],
    "output": Annotated[
        Path | None,
        typer.Option(help="file to write (default: standard output)", rich_help_panel=_PANEL),
    ],
}
DEFAULTS = {"functions": None, "format": "csv", "output": None}


def _register(
    name: str,
    function: Callable[..., Answer],
    parameters: Sequence[inspect.Parameter],
    help: str,
    panel: str,
    example: str,
    several: bool = False,
) -> None:
    """Add a command; `function` gets the opened store (or stores) and the values by name."""

    def run(stores: str | list[str], **values: Any) -> None:
        functions, format, output = (values.pop(shared) for shared in SHARED)
        engine: EngineName = values.pop("engine", "matrix")
        paths = [stores] if isinstance(stores, str) else stores
        opened = [Store(path, functions, _progress(), engine) for path in paths]
        plain = {key: _plain(value) for key, value in values.items()}
        _write(function(opened if several else opened[0], **plain), format, output)

    store = _parameter("stores", ManyStored if several else Stored)
    _name_arguments(parameters)
    shared = [_parameter(key, kind, DEFAULTS[key]) for key, kind in SHARED.items()]
    signature = inspect.Signature([store, *parameters, *shared])
    run.__signature__ = signature  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in signature.parameters.values()}
    epilog = f"Example: {PROGRAM} {name} {example}"
    app.command(name, cls=Command, help=help, epilog=epilog, rich_help_panel=panel)(run)


def _progress() -> Progress | None:
    """A line on standard error while a store is downloaded or its index built, if someone looks."""
    if not sys.stderr.isatty():
        return None
    began = time.monotonic()

    def show(done: int, total: int) -> None:
        if time.monotonic() - began > _PATIENCE:
            end = "\n" if done == total else ""
            print(
                f"\rpreparing the store: {done / total:.0%}", end=end, file=sys.stderr, flush=True
            )

    return show


_PATIENCE = 1.0  # seconds


def _name_arguments(parameters: Sequence[inspect.Parameter]) -> None:
    """Positional arguments are shown in capitals."""
    for parameter in parameters:
        for info in get_args(parameter.annotation)[1:]:
            if isinstance(info, ArgumentInfo):
                info.metavar = parameter.name.upper()


def _plain(value: Any) -> Any:
    """The value without DASH."""
    if isinstance(value, str):
        return value.removeprefix(DASH)
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _parameter(name: str, annotation: Any, default: Any = inspect.Parameter.empty) -> Any:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _command(
    panel: str, example: str, name: str = ""
) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Make a command of a function whose docstring is the help text."""

    def decorate(function: Callable[..., Answer]) -> Callable[..., Answer]:
        _, *parameters = inspect.signature(function).parameters.values()
        keywords = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
        help = inspect.getdoc(function) or ""
        _register(name or function.__name__, function, keywords, help, panel, example)
        return function

    return decorate


# Groups and regions: what `Store` answers.

GROUPS, STORE = "Groups and regions", "The store"
Group = Annotated[str, typer.Argument(help="a WHERE clause, or a named group", show_default=False)]
Smooth = Annotated[
    float | None,
    typer.Option(help="smooth over the log of the step: a standard deviation in log10 steps"),
]
Measured = Annotated[
    MeasureName,
    typer.Option(help="what is averaged; all except the loss need a store with predictions"),
]
Engine = Annotated[EngineName, typer.Option(help="engine that computes the sums")]


@_command(GROUPS, 'data/demo "position = 500" "position = 50"')
def trajectories(
    store: Store,
    group: Annotated[
        list[str], typer.Argument(help="WHERE clauses, or named groups", show_default=False)
    ],
    smooth: Smooth = None,
    measure: Measured = "loss",
    engine: Engine = "matrix",
) -> Answer:
    """Mean loss of groups at each checkpoint."""
    frame = store.trajectories(dict(zip(group, group, strict=True)), smooth, measure=measure)

    def chart() -> Chart:
        from queries.charts import curves, theme

        shown = MEASURES[measure]
        means = curves.trajectories(frame, value=shown.mean, title=shown.label)
        if len(group) != 2:
            return means
        difference = store.difference(group[0], group[1], smooth, measure=measure)
        title = _in_unit("first minus second", measure)
        return theme.stack(means, _relative(difference, "difference", title, 0))

    return Answer(frame, chart)


def _in_unit(title: str, measure: MeasureName) -> str:
    """`first minus second (nats)`, or `(rank)`."""
    return f"{title} ({MEASURES[measure].unit or measure})"


@_command(GROUPS, "data/demo word_continuation word_start")
def difference(
    store: Store,
    first: Group,
    second: Group,
    smooth: Smooth = None,
    measure: Measured = "loss",
    engine: Engine = "matrix",
) -> Answer:
    """Mean loss of one group minus another's."""
    frame = store.difference(first, second, smooth, measure=measure)
    title = _in_unit("first minus second", measure)
    return Answer(frame, partial(_relative, frame, "difference", title, 0))


@_command(GROUPS, "data/demo copyable not_copyable")
def ratio(
    store: Store,
    first: Group,
    second: Group,
    smooth: Smooth = None,
    measure: Measured = "loss",
    engine: Engine = "matrix",
) -> Answer:
    """Mean loss of one group divided by another's."""
    frame = store.ratio(first, second, smooth, measure=measure)
    return Answer(frame, partial(_relative, frame, "ratio", "first divided by second", 1))


@_command(GROUPS, "data/demo copyable 1380")
def change(
    store: Store,
    group: Group,
    since: Annotated[int, typer.Argument(help="checkpoint to compare with", show_default=False)],
    smooth: Smooth = None,
    measure: Measured = "loss",
    engine: Engine = "matrix",
) -> Answer:
    """Mean loss of a group minus its mean at one checkpoint."""
    frame = store.change(group, since, smooth, measure=measure)
    title = _in_unit(f"change since {since:,}", measure)
    return Answer(frame, partial(_relative, frame, "change", title, 0))


def _relative(frame: pd.DataFrame, value: str, title: str, zero: float) -> Chart:
    from queries.charts import curves

    return curves.relative(frame, value, title, zero)


@_command(GROUPS, "data/demo copyable --quantiles 0.1 0.5 0.9")
def summary(
    store: Store,
    group: Group,
    quantiles: Annotated[
        list[float] | None, typer.Option(help="from 0 to 1 (default: 0.25 0.5 0.75)")
    ] = None,
) -> Answer:
    """Quantiles, standard deviation and perplexity of a group's losses."""
    return Answer(store.summary(group, quantiles or QUARTILES))


@_command(GROUPS, "data/demo 1380 1640 --where is_word_start --top 10")
def zoom(
    store: Store,
    first: Annotated[
        int, typer.Argument(help="checkpoint at which the region begins", show_default=False)
    ],
    last: Annotated[
        int, typer.Argument(help="checkpoint at which the region ends", show_default=False)
    ],
    where: Annotated[str, typer.Option(help="group to analyse")] = "true",
    top: Annotated[int, typer.Option(help="number of tokens per list")] = 50,
    measure: Measured = "loss",
) -> Answer:
    """The tokens that changed most between two checkpoints."""
    found = store.zoom(first, last, where, top, measure=measure)
    selected = pd.concat(
        [f.drop_duplicates("row").assign(token_list=name) for name, f in found.lists.items()]
    )
    facts = found.changes.drop(columns=["change", "token_str"])
    context = store.context(selected["row"].to_numpy())[["row", "before", "token", "after"]]
    frame = selected[["token_list", "row", "token_str", "change"]].merge(facts, on="row")
    frame = frame.merge(context.drop_duplicates("row"), on="row", how="left")

    def chart() -> Chart:
        from queries.charts import changes

        return changes.histogram(found.histogram)

    return Answer(frame, chart)


# The store: its groups, features and catalog, free SQL, and the report.


@_command(
    STORE, 'data/demo "select source, avg(loss) from losses join docs using (doc) group by all"'
)
def sql(
    store: Store,
    query: Annotated[str, typer.Argument(help="one SELECT statement", show_default=False)],
) -> Answer:
    """Run one SELECT over losses, tokens, docs and checkpoints."""
    return Answer(store.sql(query))


Name = Annotated[str | None, typer.Option(metavar="NAME", help="delete the one with this name")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace an existing one")]


@_command(STORE, "data/demo")
def groups(
    store: Store,
    save: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="NAME CLAUSE", help="save a named group"),
    ] = None,
    rename: Annotated[
        tuple[str, str] | None,
        typer.Option(metavar="NAME NEW", help="rename a named group"),
    ] = None,
    delete: Name = None,
    title: Annotated[str, typer.Option(help="title of the saved group (default: its name)")] = "",
    description: Annotated[str, typer.Option(help="description of the saved group")] = "",
    shared: Annotated[
        bool, typer.Option("--shared", help="share the group with all stores")
    ] = False,
    overwrite: Overwrite = False,
) -> Answer:
    """The named groups of a store: list, save, rename, delete."""
    _check_one(save=save, rename=rename, delete=delete)
    if save:
        name, clause = save
        store.groups.save(name, clause, title, description, shared=shared, overwrite=overwrite)
    elif rename:
        store.groups.rename(*rename, shared=shared, overwrite=overwrite)
    elif delete:
        store.groups.delete(delete, shared=shared)
    rows = [
        (g.name, g.title, len(store.members(g.name)), g.description, g.clause)
        for g in store.named_groups.values()
    ]
    columns = ["name", "title", "n_tokens", "description", "clause"]
    return Answer(pd.DataFrame(rows, columns=columns))


@_command(STORE, 'data/demo --save acquired "acquisition(row)"')
def features(
    store: Store,
    save: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="NAME EXPRESSION",
            help="save an expression over tokens, such as acquisition(row)",
        ),
    ] = None,
    delete: Name = None,
    overwrite: Overwrite = False,
) -> Answer:
    """Features computed after ingest: list, save, delete."""
    _check_one(save=save, delete=delete)
    if save:
        name, expression = save
        store.features.refuse(name, overwrite=overwrite)
        values = store.evaluate(expression)
        store.features.save(name, values, expression, overwrite=overwrite)
    elif delete:
        store.features.delete(delete)
    return Answer(store.features.all())


def _check_one(**options: object) -> None:
    given = [f"--{name}" for name, value in options.items() if value]
    if len(given) > 1:
        raise QueryError(f"{' and '.join(given)} cannot be combined: use one of them")


@_command(STORE, "data/demo")
def catalog(store: Store) -> Answer:
    """Rebuild STORE/catalog.duckdb: views and macros for any DuckDB.

    DuckDB cannot open a database whose path has a ? or a backslash: change to its folder first.
    """
    return Answer(store.make_catalog())


@_command(STORE, "data/demo --to build/losses.npy", "export")
def export_command(
    store: Store,
    to: Annotated[
        Path,
        typer.Option(
            help="file to write: .parquet (a row per token and checkpoint), .npy (tokens x "
            "checkpoints, with a token table next to it) or .zarr (for xarray)"
        ),
    ],
    where: Annotated[str, typer.Option(help="group to export")] = "true",
    overwrite: Overwrite = False,
) -> Answer:
    """Write the losses to files for other tools."""
    from queries.export import export

    found = export(store, to, where, overwrite)
    if store.files.predictions:
        print("note: losses are exported, predictions are not", file=sys.stderr)
    return Answer(found)


@_command(STORE, "data/demo --html build/report.html")
def report(
    store: Store,
    html: Annotated[
        Path | None,
        typer.Option(help="write an HTML page instead of printing the table of findings"),
    ] = None,
) -> Answer:
    """The report's ten figures on this store, with findings in sentences."""
    from queries.report import report, to_html, to_table

    found = report(store)
    if not html:
        return Answer(to_table(found))
    content = to_html(found).encode()
    _write_page(html, content)
    row = {"file": str(html), "n_figures": len(found.exhibits), "bytes": len(content)}
    return Answer(pd.DataFrame([row]))


@_command(STORE, "data/demo --html build/spike.html")
def spike(
    store: Store,
    nth: Annotated[int, typer.Option(help="which spike: 1 is the largest")] = 1,
    where: Annotated[str, typer.Option(help="the tokens to look at")] = "true",
    top: Annotated[int, typer.Option(help="number of tokens per list")] = 50,
    html: Annotated[
        Path | None, typer.Option(help="write the story as an HTML page as well")
    ] = None,
) -> Answer:
    """The story of a spike of the mean loss, in sentences: rise, recovery, tokens, groups."""
    from queries.analyses.events import spikes
    from queries.report import spike_story, to_html

    found = spikes(store)
    if not 1 <= nth <= len(found):
        raise QueryError(
            f"there is no spike {nth}: choose one of 1 to {len(found)}"
            if found
            else "the mean loss of this store never rises, so there is no spike to describe"
        )
    story = spike_story(store, found[nth - 1], where, top)
    if html:
        _write_page(html, to_html(story.report()).encode())
    return Answer(pd.DataFrame({"finding": story.sentences}))


def _write_page(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise QueryError(f"{path} cannot be written: {error.strerror}") from error


# Analyses: their commands are generated from the registry.


def _add_analysis(analysis: Analysis) -> None:
    parameters = [p for argument in analysis.arguments for p in _parameters(argument)]
    tables = analysis.result.tables
    if tables:
        names: Any = Literal[tuple(tables)]
        choices = Annotated[names, typer.Option(help="table to print")]
        parameters.append(_parameter("show", choices, next(iter(tables))))
    function = partial(_analysis_answer, analysis)
    _register(
        analysis.command,
        function,
        parameters,
        analysis.sentence,
        f"Analyses: {analysis.section.lower()}",
        analysis.example,
        analysis.of_runs,
    )


def _analysis_answer(
    analysis: Analysis, stores: Store | list[Store], show: str = "", **values: Any
) -> Answer:
    given = {argument.name: _value(argument, values) for argument in analysis.arguments}
    result: Result = analysis.function(stores, **given)
    frame = result.tables[show](result) if show else result.frame
    return Answer(frame, result.chart)


def _value(argument: Argument, values: dict[str, Any]) -> Any:
    """The argument's value, from the values of its parameters on the command line."""
    if argument.role == "region":
        return tuple(values[name] for name in _ends(argument))
    value = values[argument.name]
    return Store(value) if argument.role == "store" and value else value


def _ends(argument: Argument) -> tuple[str, str]:
    """first, last of `region` and `between`; second_first, second_last of `second_region`."""
    prefix = argument.name.removesuffix("region").removesuffix("between")
    return f"{prefix}first", f"{prefix}last"


def _parameters(argument: Argument) -> list[inspect.Parameter]:
    """One parameter; two for a region, which are options if the region is open."""
    help = argument.help
    if argument.role == "region":
        ends = zip(_ends(argument), ("first", "last"), (0, 1), strict=True)
        return [_end(argument, name, f"{end} checkpoint of {help}", at) for name, end, at in ends]
    kind = argument.type
    if argument.role == "store":
        kind = str | None
    elif argument.is_list:
        kind = list[str]
    default = inspect.Parameter.empty if argument.required else argument.default
    default = list(default) if isinstance(default, tuple) else default
    flags = argument.flags or (f"--{argument.name.replace('_', '-')}",)
    shown: bool = not argument.required
    info = (
        typer.Argument(help=help, show_default=shown)
        if argument.positional
        else typer.Option(*flags, help=help, show_default=shown)
    )
    return [_parameter(argument.name, Annotated[kind, info], default)]


def _end(argument: Argument, name: str, help: str, at: int) -> inspect.Parameter:
    if argument.required:
        info = typer.Argument(help=help, show_default=False)
        return _parameter(name, Annotated[int, info])  # type: ignore[no-any-return]
    kind = int | None
    return _parameter(name, Annotated[kind, typer.Option(help=help)], argument.default[at])  # type: ignore[no-any-return]


# Output.


def _write(answer: Answer, format: str, output: Path | None) -> None:
    """Write the answer to a file or to standard output. Raises QueryError."""
    content = _content(answer, format)
    try:
        if output:
            output.write_bytes(content)
        else:
            _print(content)
    except BrokenPipeError:  # the reader, such as `head`, needs no more
        return
    except OSError as error:
        target = output or "standard output"
        raise QueryError(f"{target} cannot be written: {error.strerror}") from error


def _print(content: bytes) -> None:
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError:
        # Otherwise the rest of the buffer would be written, and fail again, at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _content(answer: Answer, format: str) -> bytes:
    if format in PICTURES:
        if answer.chart is None:
            raise QueryError(f"this answer has no chart: use --format {' or '.join(TABLES)}")
        from queries.charts.render import render

        return render(answer.chart(), format)
    try:
        return _table(answer.frame, format)
    except (ValueError, OverflowError, pa.ArrowException) as error:  # types that the format lacks
        raise QueryError(
            f"the answer cannot be written as {format} ({error}): cast its columns, as in "
            "x::varchar"
        ) from error


def _table(frame: pd.DataFrame, format: str) -> bytes:
    if format == "json":
        text = frame.to_json(orient="records", indent=1, double_precision=15, date_format="iso")
        return text.encode() + b"\n"
    if format == "parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        return buffer.getvalue()
    return frame.to_csv(index=False).encode()


for _analysis in ANALYSES:
    _add_analysis(_analysis)

if __name__ == "__main__":
    sys.exit(main())

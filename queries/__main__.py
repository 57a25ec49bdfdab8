"""The command line of queries: `python -m queries trajectories | zoom | groups | sql | …`."""

import argparse
import io
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from queries import analysis_commands, comparison_commands, kind_commands, report_command
from queries.errors import QueryError
from queries.group_commands import add_options, change_groups
from queries.runs import MATCHED_BY, compare
from queries.store import Store
from queries.summary import QUARTILES

TABLES = ("csv", "json", "parquet")
PICTURES = ("svg", "png", "html")
ENGINES = ("matrix", "spark")
SMOOTH = "smooth over the log of the step: a standard deviation, in factors of 10 (not smoothed)"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 2 for a question that has no answer."""
    options = _parser().parse_args(arguments)
    try:
        engine = getattr(options, "engine", "matrix")
        stores = [Store(path, options.functions, engine=engine) for path in options.stores]
        output, picture = options.command(*stores, options=options)
        _write(output, picture, options)
    except QueryError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m queries", description="Ask a store how groups of tokens were learned."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add = _adder(commands)
    trajectories = add("trajectories", _trajectories, "mean loss of groups at each checkpoint")
    trajectories.add_argument("group", nargs="+", help="a WHERE clause, or a named group")
    difference = add("difference", _difference, "mean loss of one group minus another's")
    ratio = add("ratio", _ratio, "mean loss of one group over another's")
    for pair in (difference, ratio):
        pair.add_argument("first")
        pair.add_argument("second")
    for means in (trajectories, difference, ratio):
        means.add_argument("--engine", choices=ENGINES, default=ENGINES[0], help="(%(default)s)")
    change = add("change", _change, "mean loss of a group minus its mean at one checkpoint")
    change.add_argument("group")
    change.add_argument("since", type=int, help="the checkpoint to compare with")
    for smoothable in (trajectories, difference, ratio, change):
        smoothable.add_argument("--smooth", type=float, metavar="DECADES", help=SMOOTH)
    summary = add("summary", _summary, "quantiles, standard deviation, perplexity of a group")
    summary.add_argument("group")
    summary.add_argument("--quantiles", type=float, nargs="+", default=QUARTILES, metavar="SHARE")
    compare = add("compare", _compare, "one group in several runs, and the runs' spread", "+")
    compare.add_argument("--group", default="true", help="a WHERE clause or name (all tokens)")
    compare.add_argument("--by", choices=MATCHED_BY, default="step", help="(%(default)s)")
    zoom = add("zoom", _zoom, "the tokens that changed most between two checkpoints")
    zoom.add_argument("first", type=int, help="checkpoint at which the region begins")
    zoom.add_argument("last", type=int, help="checkpoint at which it ends")
    zoom.add_argument("--where", default="true", help="group to look at (all tokens)")
    zoom.add_argument("--top", type=int, default=50, help="tokens a list (%(default)s)")
    analysis_commands.add_commands(add)
    kind_commands.add_commands(add)
    comparison_commands.add_commands(add)
    report_command.add_command(add)
    add_options(add("groups", _groups, "the named groups of a store: list, save, rename, delete"))
    add("catalog", _catalog, "make DIR/catalog.duckdb again: views and macros for any DuckDB")
    add("sql", _sql, "one SELECT over losses, tokens, docs, checkpoints").add_argument("query")
    return parser


def _adder(commands: Any) -> Any:
    def add(name: str, command: Any, text: str, n_stores: int | str = 1) -> argparse.ArgumentParser:
        parser: argparse.ArgumentParser = commands.add_parser(name, help=text, description=text)
        parser.set_defaults(command=command)
        parser.add_argument(
            "stores", nargs=n_stores, metavar="store", help="a store's folder, or an fsspec URL"
        )
        parser.add_argument("--functions", type=Path, help="a .py file of functions for groups")
        parser.add_argument("--format", choices=TABLES + PICTURES, default="csv")
        parser.add_argument("--output", type=Path, help="file to write (standard output)")
        return parser

    return add


Answer = tuple[pd.DataFrame, dict[str, Any] | None]


def _trajectories(store: Store, options: argparse.Namespace) -> Answer:
    from queries.figures import trajectories_spec

    groups = dict(zip(options.group, options.group, strict=True))
    frame = store.trajectories(groups, options.smooth)
    if len(options.group) != 2:
        return frame, trajectories_spec(frame, None)
    first, second = options.group
    return frame, trajectories_spec(frame, store.difference(first, second, options.smooth))


def _difference(store: Store, options: argparse.Namespace) -> Answer:
    from queries.figures import relative_spec

    frame = store.difference(options.first, options.second, options.smooth)
    return frame, relative_spec(frame, "difference", "first minus second (nats)", 0)


def _ratio(store: Store, options: argparse.Namespace) -> Answer:
    from queries.figures import relative_spec

    frame = store.ratio(options.first, options.second, options.smooth)
    return frame, relative_spec(frame, "ratio", "first over second", 1)


def _change(store: Store, options: argparse.Namespace) -> Answer:
    from queries.figures import relative_spec

    frame = store.change_since(options.group, options.since, options.smooth)
    return frame, relative_spec(frame, "change", f"change since {options.since:,} (nats)", 0)


def _summary(store: Store, options: argparse.Namespace) -> Answer:
    return store.summary(options.group, options.quantiles), None


def _compare(*stores: Store, options: argparse.Namespace) -> Answer:
    from queries.figures import comparison_spec

    comparison = compare(stores, options.group, options.by)
    spread = comparison.spread.add_prefix("runs_").rename(columns={"runs_n_runs": "n_runs"})
    frame = comparison.runs.merge(spread, left_on="at", right_on="runs_at").drop(columns="runs_at")
    return frame, comparison_spec(comparison, options.by)


def _zoom(store: Store, options: argparse.Namespace) -> Answer:
    from queries.figures import zoom_spec

    zoom = store.zoom(options.first, options.last, options.where, options.top)
    lists = {"decreased": zoom.decreased, "increased": zoom.increased, "random": zoom.random}
    chosen = pd.concat(
        [f.drop_duplicates("row").assign(token_list=name) for name, f in lists.items()]
    )
    facts = zoom.changes.drop(columns=["change", "token_str"])
    context = store.context(chosen["row"].to_numpy())[["row", "before", "token", "after"]]
    frame = chosen[["token_list", "row", "token_str", "change"]].merge(facts, on="row")
    frame = frame.merge(context.drop_duplicates("row"), on="row", how="left")
    return frame, zoom_spec(zoom.histogram, options.first, options.last)


def _groups(store: Store, options: argparse.Namespace) -> Answer:
    change_groups(store, options)
    lines = [
        (g.name, g.title, len(store.members(g.name)), g.description, g.clause)
        for g in store.named_groups.values()
    ]
    return pd.DataFrame(lines, columns=["name", "title", "n_tokens", "description", "clause"]), None


def _catalog(store: Store, options: argparse.Namespace) -> Answer:
    return store.make_catalog(), None


def _sql(store: Store, options: argparse.Namespace) -> Answer:
    return store.sql(options.query), None


def _write(frame: pd.DataFrame, spec: dict[str, Any] | None, options: argparse.Namespace) -> None:
    content = _content(frame, spec, options.format)
    try:
        if options.output:
            options.output.write_bytes(content)
        else:
            _print(content)
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        return
    except OSError as error:
        target = options.output or "standard output"
        raise QueryError(f"{target} cannot be written: {error.strerror}") from error


def _print(content: bytes) -> None:
    try:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    except OSError:
        # Else what is left in the buffer would be written, and fail once more, at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _content(frame: pd.DataFrame, spec: dict[str, Any] | None, kind: str) -> bytes:
    if kind in PICTURES:
        if spec is None:
            raise QueryError(f"this answer has no picture: use --format {' or '.join(TABLES)}")
        from queries.figures import render

        return render(spec, kind)
    try:
        return _table(frame, kind)
    except (ValueError, OverflowError, pa.ArrowException) as error:  # types that the format lacks
        raise QueryError(
            f"the answer cannot be written as {kind} ({error}): cast its columns, as in x::varchar"
        ) from error


def _table(frame: pd.DataFrame, kind: str) -> bytes:
    if kind == "json":
        text = frame.to_json(orient="records", indent=1, double_precision=15, date_format="iso")
        return text.encode() + b"\n"
    if kind == "parquet":
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        return buffer.getvalue()
    return frame.to_csv(index=False).encode()


if __name__ == "__main__":
    sys.exit(main())

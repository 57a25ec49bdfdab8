"""The command line of queries: `python -m queries trajectories | zoom | groups | sql | …`."""

import argparse
import io
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from queries.analyses.clusters import COMPARED, clusters
from queries.analyses.compare import MATCHED_BY, compare
from queries.analyses.events import events, trajectory
from queries.analyses.explain import explain
from queries.analyses.matched import INITIAL_LOSS, USUAL, matched
from queries.analyses.mechanism import mechanism
from queries.analyses.ngrams import baselines, save_ngrams
from queries.analyses.overlap import overlap
from queries.analyses.positions import in_context_score, loss_by_position, position_slope
from queries.analyses.rho_1 import rho_1, rho_1_summary
from queries.errors import QueryError
from queries.stats.distribution import QUARTILES
from queries.store import Store

# `python -m queries events | explain | overlap | mechanism …`: and what would chance give?

Answer = tuple[pd.DataFrame, dict[str, Any] | None]


def _add_analysis_commands(add: Any) -> None:
    """Add them with `add(name, command, help)`, which returns the command's parser."""
    happened = add("events", _events, "spikes, the fastest fall, plateaus, change points")
    happened.add_argument("group", nargs="?", default="true", help="a group (all tokens)")
    happened.add_argument("baseline", nargs="?", help="a group to subtract")
    explained = add("explain", _explain, "the groups that moved unlike the rest in a region")
    explained.add_argument("first", type=int, help="checkpoint at which the region begins")
    explained.add_argument("last", type=int, help="checkpoint at which it ends")
    explained.add_argument("--min-count", type=int, default=20, help="tokens (%(default)s)")
    explained.add_argument("--min-docs", type=int, default=10, help="documents (%(default)s)")
    formed = add("mechanism", _mechanism, "probes beside a group's loss, and which moves first")
    formed.add_argument("group", nargs="?", default="copyable", help="a group (%(default)s)")
    formed.add_argument("baseline", nargs="?", help="a group to subtract")
    formed.add_argument("--first", type=int, help="checkpoint to begin at (the first)")
    formed.add_argument("--last", type=int, help="checkpoint to end at (the last)")
    formed.add_argument("--curves", action="store_true", help="the curves, not their lags")
    shared = add("overlap", _overlap, "tokens most changed in both of two regions, and by chance")
    for name in ("first", "last", "second_first", "second_last"):
        shared.add_argument(name, type=int, help="checkpoint")
    shared.add_argument("--where", default="true", help="group to look at (all tokens)")
    shared.add_argument("--top", type=int, default=50, help="tokens a list (%(default)s)")
    shared.add_argument(
        "--types", type=int, metavar="COUNT", help="compare token types that occur so often"
    )
    shared.add_argument("--other", metavar="STORE", help="the second region is of this store")


def _events(store: Store, options: argparse.Namespace) -> Answer:
    from queries.charts.vega import events_spec

    values = trajectory(store, options.group, options.baseline)
    frame = events(store, options.group, options.baseline)
    title = "first minus second (nats)" if options.baseline else "mean loss (nats)"
    return frame, events_spec(frame, np.array(store.steps), values, title)


def _explain(store: Store, options: argparse.Namespace) -> Answer:
    region = options.first, options.last
    from queries.charts.vega import explain_spec

    frame = explain(store, *region, options.min_count, options.min_docs)
    return frame, explain_spec(frame, *region)


def _mechanism(store: Store, options: argparse.Namespace) -> Answer:
    from queries.charts.vega import mechanism_spec

    asked = options.group, options.baseline, options.first, options.last
    found = mechanism(store, *asked)
    return (found.curves if options.curves else found.lags), mechanism_spec(found.curves)


def _overlap(store: Store, options: argparse.Namespace) -> Answer:
    regions = (options.first, options.last), (options.second_first, options.second_last)
    other = Store(options.other) if options.other else None
    from queries.charts.vega import overlap_spec

    frame = overlap(store, *regions, options.where, options.top, options.types, other)
    return frame, overlap_spec(frame)


# `python -m queries matched | positions | ngrams`: groups beside controls, positions, n-grams.

Answer2 = tuple[pd.DataFrame, dict[str, Any] | None]


def _add_comparison_commands(add: Any) -> None:
    """Add them with `add(name, command, help)`, which returns the command's parser."""
    fair = add("matched", _matched, "a group beside tokens that are like it in some features")
    fair.add_argument("group", help="a WHERE clause, or a named group")
    fair.add_argument(
        "--on",
        nargs="+",
        default=USUAL,
        metavar="FEATURE",
        help=f"columns, SQL, or {INITIAL_LOSS} (%(default)s)",
    )
    fair.add_argument("--among", default="true", help="where controls are from (all tokens)")
    fair.add_argument("--bins", type=int, default=10, help="quantiles of a number (%(default)s)")
    fair.add_argument(
        "--show",
        choices=("trajectories", "difference", "balance"),
        default="trajectories",
        help="(%(default)s)",
    )
    placed = add("positions", _positions, "mean loss by position and step; its slope; the score")
    placed.add_argument("--where", default="true", help="group to look at (all tokens)")
    placed.add_argument(
        "--show",
        choices=("losses", "slope", "score"),
        default="losses",
        help="score: late minus early position (%(default)s)",
    )
    placed.add_argument("--late", type=int, default=500, help="(%(default)s)")
    placed.add_argument("--early", type=int, default=50, help="(%(default)s)")
    simple = add("ngrams", _ngrams, "a group's loss beside that of unigrams and bigrams")
    simple.add_argument("group", nargs="?", default="true", help="a group (all tokens)")
    simple.add_argument(
        "--save", action="store_true", help="keep unigram_loss and bigram_loss as features first"
    )
    simple.add_argument("--overwrite", action="store_true", help="replace those there are")


def _matched(store: Store, options: argparse.Namespace) -> Answer2:
    from queries.charts.vega import matched_spec

    found = matched(store, options.group, options.on, options.among, options.bins)
    frame: pd.DataFrame = getattr(found, options.show)
    return frame, matched_spec(found)


def _positions(store: Store, options: argparse.Namespace) -> Answer2:
    from queries.charts.vega import positions_spec, relative_spec

    if options.show == "slope":
        frame = position_slope(store, options.where)
        return frame, relative_spec(frame, "slope", "slope (nats per doubling)", 0)
    if options.show == "score":
        frame = in_context_score(store, options.late, options.early, options.where)
        title = f"position {options.late:,} minus {options.early:,} (nats)"
        return frame, relative_spec(frame, "difference", title, 0)
    frame = loss_by_position(store, options.where)
    return frame, positions_spec(frame)


def _ngrams(store: Store, options: argparse.Namespace) -> Answer2:
    from queries.charts.vega import baselines_spec

    if options.save:
        save_ngrams(store, overwrite=options.overwrite)
    frame = baselines(store, options.group)
    return frame, baselines_spec(frame)


# `python -m queries groups DIR --save | --rename | --delete`: named groups, from a shell.


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command takes beside the store; without any of it, it lists the groups."""
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--save", nargs=2, metavar=("NAME", "CLAUSE"), help="save a named group")
    change.add_argument("--rename", nargs=2, metavar=("NAME", "NEW"), help="rename one")
    change.add_argument("--delete", metavar="NAME", help="delete one")
    parser.add_argument("--title", default="", help="of the group to save (its name)")
    parser.add_argument("--description", default="", help="of the group to save")
    parser.add_argument("--shared", action="store_true", help="for all stores, not for this one")
    parser.add_argument("--overwrite", action="store_true", help="replace one of that name")


def change_groups(store: Store, options: argparse.Namespace) -> None:
    """Do what the options ask for, if anything. Raises GroupError."""
    if options.save:
        name, clause = options.save
        store.groups.save(
            name,
            clause,
            options.title,
            options.description,
            shared=options.shared,
            overwrite=options.overwrite,
        )
    elif options.rename:
        name, new = options.rename
        store.groups.rename(name, new, shared=options.shared, overwrite=options.overwrite)
    elif options.delete:
        store.groups.delete(options.delete, shared=options.shared)


# `python -m queries kinds | rho | features`: how single tokens are learned, kept as features.

Answer3 = tuple[pd.DataFrame, dict[str, Any] | None]
SHOWN = ("kinds", "means", "typical", "features", "stability", "members")


def _add_kind_commands(add: Any) -> None:
    """Add them with `add(name, command, help)`, which returns the command's parser."""
    clustered = add("kinds", _kinds, "kinds of trajectories: tokens that are learned alike")
    clustered.add_argument(
        "--kinds", type=int, metavar="K", help="how many (as many as are stable)"
    )
    clustered.add_argument(
        "--compared", choices=COMPARED, default=COMPARED[0], help="(%(default)s)"
    )
    clustered.add_argument("--show", choices=SHOWN, default=SHOWN[0], help="(%(default)s)")
    sorted_ = add("rho", _rho, "Rho-1's four categories: high or low loss at the start and end")
    sorted_.add_argument("--log", action="store_true", help="fit over the log of the step")
    for command in (clustered, sorted_):
        command.add_argument("--where", default="true", help="group to look at (all tokens)")
        command.add_argument("--save", metavar="NAME", help="keep each token's as a feature")
        command.add_argument("--overwrite", action="store_true", help="replace one of that name")
    listed = add("features", _features, "features computed after ingest: list, save, delete")
    change = listed.add_mutually_exclusive_group()
    change.add_argument(
        "--save",
        nargs=2,
        metavar=("NAME", "EXPRESSION"),
        help='keep an expression over tokens, as "acquisition(row)"',
    )
    change.add_argument("--delete", metavar="NAME", help="delete one")
    listed.add_argument("--overwrite", action="store_true", help="replace one of that name")


def _kinds(store: Store, options: argparse.Namespace) -> Answer3:
    from queries.charts.vega import kinds_spec

    if options.save:
        store.features.refuse(options.save, overwrite=options.overwrite)
    found = clusters(store, options.where, options.kinds, options.compared)
    frame: pd.DataFrame = getattr(found, options.show)
    if options.save:
        description = f"kinds of trajectories by {options.compared} of {options.where}"
        _save(store, options, found.members["kind"], found.members["row"], description)
    if options.show == "stability" and frame.empty:
        raise QueryError("the number of kinds was given, so none was tried: leave out --kinds")
    if options.show == "typical":
        context = store.context(frame["row"])[["row", "before", "token", "after"]]
        frame = frame.merge(context, on="row")
    return frame, kinds_spec(found.means)


def _rho(store: Store, options: argparse.Namespace) -> Answer3:
    from queries.charts.vega import categories_spec

    if options.save:
        store.features.refuse(options.save, overwrite=options.overwrite)
    tokens = rho_1(store, options.where, options.log)
    if options.save:
        _save(
            store,
            options,
            tokens["category"],
            tokens["row"],
            f"Rho-1's categories of {options.where}",
        )
    frame = rho_1_summary(tokens)
    return frame, categories_spec(frame)


def _save(
    store: Store, options: argparse.Namespace, values: pd.Series, rows: pd.Series, what: str
) -> None:
    store.features.save(options.save, values, what, rows=rows, overwrite=options.overwrite)


def _features(store: Store, options: argparse.Namespace) -> Answer3:
    if options.save:
        name, expression = options.save
        store.features.refuse(name, overwrite=options.overwrite)
        values = store.evaluate(expression)
        store.features.save(name, values, expression, overwrite=options.overwrite)
    elif options.delete:
        store.features.delete(options.delete)
    return store.features.all(), None


# `python -m queries report STORE --html out.html`: the report's ten figures on a store.


def add_command(add: Any) -> None:
    """Add it with `add(name, command, help)`, which returns the command's parser."""
    told = add(
        "report", _report, "the report's ten figures on this store, and what is seen in them"
    )
    told.add_argument("--html", type=Path, help="a page to write, instead of the table of findings")


def _report(store: Store, options: argparse.Namespace) -> tuple[pd.DataFrame, None]:
    from queries.report import report, to_html, to_table

    found = report(store)
    if not options.html:
        return to_table(found), None
    content = to_html(found).encode()
    try:
        options.html.write_bytes(content)
    except OSError as error:
        raise QueryError(f"{options.html} cannot be written: {error.strerror}") from error
    written = {"file": str(options.html), "n_figures": len(found.exhibits), "bytes": len(content)}
    return pd.DataFrame([written]), None


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
    _add_analysis_commands(add)
    _add_kind_commands(add)
    _add_comparison_commands(add)
    add_command(add)
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


Answer4 = tuple[pd.DataFrame, dict[str, Any] | None]


def _trajectories(store: Store, options: argparse.Namespace) -> Answer4:
    from queries.charts.vega import trajectories_spec

    groups = dict(zip(options.group, options.group, strict=True))
    frame = store.trajectories(groups, options.smooth)
    if len(options.group) != 2:
        return frame, trajectories_spec(frame, None)
    first, second = options.group
    return frame, trajectories_spec(frame, store.difference(first, second, options.smooth))


def _difference(store: Store, options: argparse.Namespace) -> Answer4:
    from queries.charts.vega import relative_spec

    frame = store.difference(options.first, options.second, options.smooth)
    return frame, relative_spec(frame, "difference", "first minus second (nats)", 0)


def _ratio(store: Store, options: argparse.Namespace) -> Answer4:
    from queries.charts.vega import relative_spec

    frame = store.ratio(options.first, options.second, options.smooth)
    return frame, relative_spec(frame, "ratio", "first over second", 1)


def _change(store: Store, options: argparse.Namespace) -> Answer4:
    from queries.charts.vega import relative_spec

    frame = store.change_since(options.group, options.since, options.smooth)
    return frame, relative_spec(frame, "change", f"change since {options.since:,} (nats)", 0)


def _summary(store: Store, options: argparse.Namespace) -> Answer4:
    return store.summary(options.group, options.quantiles), None


def _compare(*stores: Store, options: argparse.Namespace) -> Answer4:
    from queries.charts.vega import comparison_spec

    comparison = compare(stores, options.group, options.by)
    spread = comparison.spread.add_prefix("runs_").rename(columns={"runs_n_runs": "n_runs"})
    frame = comparison.runs.merge(spread, left_on="at", right_on="runs_at").drop(columns="runs_at")
    return frame, comparison_spec(comparison, options.by)


def _zoom(store: Store, options: argparse.Namespace) -> Answer4:
    from queries.charts.vega import zoom_spec

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


def _groups(store: Store, options: argparse.Namespace) -> Answer4:
    change_groups(store, options)
    lines = [
        (g.name, g.title, len(store.members(g.name)), g.description, g.clause)
        for g in store.named_groups.values()
    ]
    return pd.DataFrame(lines, columns=["name", "title", "n_tokens", "description", "clause"]), None


def _catalog(store: Store, options: argparse.Namespace) -> Answer4:
    return store.make_catalog(), None


def _sql(store: Store, options: argparse.Namespace) -> Answer4:
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
        from queries.charts.vega import render

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

"""`python -m queries kinds | rho | features`: how single tokens are learned, kept as features."""

import argparse
from typing import Any

import pandas as pd

from queries.errors import QueryError
from queries.kinds import COMPARED, kinds
from queries.rho import rho_1, rho_1_summary
from queries.store import Store

Answer = tuple[pd.DataFrame, dict[str, Any] | None]
SHOWN = ("kinds", "means", "typical", "features", "stability", "members")


def add_commands(add: Any) -> None:
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
    change.add_argument("--save", nargs=2, metavar=("NAME", "EXPRESSION"),
                        help='keep an expression over tokens, as "acquisition(row)"')  # fmt: skip
    change.add_argument("--delete", metavar="NAME", help="delete one")
    listed.add_argument("--overwrite", action="store_true", help="replace one of that name")


def _kinds(store: Store, options: argparse.Namespace) -> Answer:
    from queries.analysis_figures import kinds_spec

    if options.save:
        store.features.refuse(options.save, overwrite=options.overwrite)
    found = kinds(store, options.where, options.kinds, options.compared)
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


def _rho(store: Store, options: argparse.Namespace) -> Answer:
    from queries.analysis_figures import categories_spec

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


def _features(store: Store, options: argparse.Namespace) -> Answer:
    if options.save:
        name, expression = options.save
        store.features.refuse(name, overwrite=options.overwrite)
        values = store.evaluate(expression)
        store.features.save(name, values, expression, overwrite=options.overwrite)
    elif options.delete:
        store.features.delete(options.delete)
    return store.features.all(), None

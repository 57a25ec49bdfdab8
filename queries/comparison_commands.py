"""`python -m queries matched | positions | ngrams`: groups beside controls, positions, n-grams."""

import argparse
from typing import Any

import pandas as pd

from queries.balance import INITIAL_LOSS
from queries.baselines import baselines, save_ngrams
from queries.matched import USUAL, matched
from queries.positions import in_context_score, loss_by_position, position_slope
from queries.store import Store

Answer = tuple[pd.DataFrame, dict[str, Any] | None]


def add_commands(add: Any) -> None:
    """Add them with `add(name, command, help)`, which returns the command's parser."""
    fair = add("matched", _matched, "a group beside tokens that are like it in some features")
    fair.add_argument("group", help="a WHERE clause, or a named group")
    fair.add_argument("--on", nargs="+", default=USUAL, metavar="FEATURE",
                      help=f"columns, SQL, or {INITIAL_LOSS} (%(default)s)")  # fmt: skip
    fair.add_argument("--among", default="true", help="where controls are from (all tokens)")
    fair.add_argument("--bins", type=int, default=10, help="quantiles of a number (%(default)s)")
    fair.add_argument("--show", choices=("trajectories", "difference", "balance"),
                      default="trajectories", help="(%(default)s)")  # fmt: skip
    placed = add("positions", _positions, "mean loss by position and step; its slope; the score")
    placed.add_argument("--where", default="true", help="group to look at (all tokens)")
    placed.add_argument("--show", choices=("losses", "slope", "score"), default="losses",
                        help="score: late minus early position (%(default)s)")  # fmt: skip
    placed.add_argument("--late", type=int, default=500, help="(%(default)s)")
    placed.add_argument("--early", type=int, default=50, help="(%(default)s)")
    simple = add("ngrams", _ngrams, "a group's loss beside that of unigrams and bigrams")
    simple.add_argument("group", nargs="?", default="true", help="a group (all tokens)")
    simple.add_argument("--save", action="store_true",
                        help="keep unigram_loss and bigram_loss as features first")  # fmt: skip
    simple.add_argument("--overwrite", action="store_true", help="replace those there are")


def _matched(store: Store, options: argparse.Namespace) -> Answer:
    from queries.analysis_figures import matched_spec

    found = matched(store, options.group, options.on, options.among, options.bins)
    frame: pd.DataFrame = getattr(found, options.show)
    return frame, matched_spec(found)


def _positions(store: Store, options: argparse.Namespace) -> Answer:
    from queries.analysis_figures import positions_spec
    from queries.figures import relative_spec

    if options.show == "slope":
        frame = position_slope(store, options.where)
        return frame, relative_spec(frame, "slope", "slope (nats per doubling)", 0)
    if options.show == "score":
        frame = in_context_score(store, options.late, options.early, options.where)
        title = f"position {options.late:,} minus {options.early:,} (nats)"
        return frame, relative_spec(frame, "difference", title, 0)
    frame = loss_by_position(store, options.where)
    return frame, positions_spec(frame)


def _ngrams(store: Store, options: argparse.Namespace) -> Answer:
    from queries.analysis_figures import baselines_spec

    if options.save:
        save_ngrams(store, overwrite=options.overwrite)
    frame = baselines(store, options.group)
    return frame, baselines_spec(frame)

"""`python -m queries events | explain | overlap | mechanism …`: and what would chance give?"""

import argparse
from typing import Any

import numpy as np
import pandas as pd

from queries.event_list import events, trajectory
from queries.leaderboard import explain
from queries.mechanism import mechanism
from queries.overlaps import overlap
from queries.store import Store

Answer = tuple[pd.DataFrame, dict[str, Any] | None]


def add_commands(add: Any) -> None:
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
    from queries.analysis_figures import events_spec

    values = trajectory(store, options.group, options.baseline)
    frame = events(store, options.group, options.baseline)
    title = "first minus second (nats)" if options.baseline else "mean loss (nats)"
    return frame, events_spec(frame, np.array(store.steps), values, title)


def _explain(store: Store, options: argparse.Namespace) -> Answer:
    region = options.first, options.last
    from queries.analysis_figures import explain_spec

    frame = explain(store, *region, options.min_count, options.min_docs)
    return frame, explain_spec(frame, *region)


def _mechanism(store: Store, options: argparse.Namespace) -> Answer:
    from queries.figures import mechanism_spec

    asked = options.group, options.baseline, options.first, options.last
    found = mechanism(store, *asked)
    return (found.curves if options.curves else found.lags), mechanism_spec(found.curves)


def _overlap(store: Store, options: argparse.Namespace) -> Answer:
    regions = (options.first, options.last), (options.second_first, options.second_last)
    other = Store(options.other) if options.other else None
    from queries.analysis_figures import overlap_spec

    frame = overlap(store, *regions, options.where, options.top, options.types, other)
    return frame, overlap_spec(frame)

"""Compare runs: one group's trajectory in several stores of the same tokens, and their spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from queries.errors import QueryError, StoreError
from queries.store import Store

MATCHED_BY = {"step": "step", "tokens_seen": "number of tokens seen"}


@dataclass(frozen=True)
class Comparison:
    """A group in several runs, at the checkpoints that all of them have; losses in nats."""

    runs: pd.DataFrame
    """at, run, checkpoint, mean_loss, low, high, n_tokens, n_docs: each run's trajectory. `at` is
    what checkpoints are matched by, a step or a number of tokens; `run` is the store's path."""
    spread: pd.DataFrame
    """at, mean_loss, standard_deviation, lowest, highest, n_runs: the mean over runs, the standard
    deviation of the runs (divisor n - 1), the lowest and highest run."""


def compare(stores: Sequence[Store | str | Path], group: str, by: str = "step") -> Comparison:
    """The trajectories of `group` in several runs, matched by "step" or "tokens_seen".

    The group's tokens are found once, in the first store, so that all runs are asked about the same
    ones: a named group is that store's, and `loss_at` its losses. Each run's band is its own, over
    source documents. Raises StoreError where the stores hold other tokens or do not say the tokens
    seen, QueryError where there are no two stores or no checkpoint that all have, GroupError.
    """
    runs = [store if isinstance(store, Store) else Store(store) for store in stores]
    _refuse_unlike(runs)
    places = [_places(run, by) for run in runs]
    at = _shared(places, by)
    rows = runs[0].some_members(group)
    frames = [_matched(r, rows, at, p) for r, p in zip(runs, places, strict=True)]
    frame = pd.concat(frames, ignore_index=True)
    return Comparison(frame, _spread(frame))


def _refuse_unlike(runs: list[Store]) -> None:
    if len({run.path.resolve() for run in runs}) < max(2, len(runs)):
        names = ", ".join(str(run.path) for run in runs) or "none"
        raise QueryError(f"expected two or more stores, each one once; got {names}")
    for other in runs[1:]:
        refuse_other_tokens(runs[0], other)


def refuse_other_tokens(first: Store, other: Store) -> None:
    """Raises StoreError unless both stores hold the same tokens, so that rows are the same."""
    if other.manifest.token_fingerprint != first.manifest.token_fingerprint:
        raise StoreError(
            f"{first.path} and {other.path} hold other tokens (their fingerprints differ): "
            "score both runs on one text, with one tokenizer and context length"
        )


def _places(run: Store, by: str) -> dict[int, int]:
    """Where each scored checkpoint of a run is matched -> the checkpoint."""
    if by not in MATCHED_BY:
        raise QueryError(f"runs cannot be matched by {by}: expected {' or '.join(MATCHED_BY)}")
    if by == "step":
        return {step: step for step in run.steps}
    table = run.checkpoints[["checkpoint", "tokens_seen"]].dropna()
    table = table[table["checkpoint"].isin(run.steps)].astype(np.int64)
    if table.empty:
        raise StoreError(
            f"{run.path} does not say how many tokens its checkpoints have seen: match by step"
        )
    if twice := table["tokens_seen"][table["tokens_seen"].duplicated()].tolist():
        raise StoreError(
            f"two checkpoints of {run.path} have seen {twice[0]:,} tokens: match by step"
        )
    return dict(zip(table["tokens_seen"].tolist(), table["checkpoint"].tolist(), strict=True))


def _shared(places: list[dict[int, int]], by: str) -> list[int]:
    shared = sorted(set(places[0]).intersection(*places[1:]))
    if not shared:
        name = MATCHED_BY[by]
        ranges = "; ".join(f"{len(p)} from {min(p):,} to {max(p):,}" for p in places)
        raise QueryError(
            f"the stores have no checkpoint of the same {name} ({ranges}): score some at the same "
            f"{name}, or match by {next(m for m in MATCHED_BY if m != by)}"
        )
    return shared


def _matched(run: Store, rows: np.ndarray, at: list[int], places: dict[int, int]) -> pd.DataFrame:
    frame = run.trajectory(rows).set_index("checkpoint").loc[[places[a] for a in at]].reset_index()
    frame.insert(0, "at", at)
    frame.insert(1, "run", str(run.path))
    return frame


def _spread(runs: pd.DataFrame) -> pd.DataFrame:
    return runs.groupby("at", as_index=False).agg(
        mean_loss=("mean_loss", "mean"),
        standard_deviation=("mean_loss", "std"),
        lowest=("mean_loss", "min"),
        highest=("mean_loss", "max"),
        n_runs=("run", "size"),
    )

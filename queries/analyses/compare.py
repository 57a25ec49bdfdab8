"""Compare runs: one group's trajectory in several stores of the same tokens, and their spread."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd

from queries.analyses.base import Chart, Group, WithScript, python_script_of_stores
from queries.errors import QueryError, StoreError
from queries.store import Store

By = Literal["step", "tokens_seen"]
_TITLES: dict[By, str] = {"step": "step", "tokens_seen": "number of tokens seen"}


@dataclass(frozen=True)
class Comparison(WithScript):
    """A group in several runs, at the checkpoints that all of them have; losses in nats."""

    runs: pd.DataFrame
    """at, run, checkpoint, mean_loss, low, high, n_tokens, n_docs: each run's trajectory. `at` is
    the step or number of tokens by which checkpoints are matched; `run` is the store's path."""
    spread: pd.DataFrame
    """at, mean_loss, standard_deviation, lowest, highest, n_runs: the mean over runs, their
    standard deviation (divisor n - 1), the lowest and the highest run."""
    by: By

    @property
    def frame(self) -> pd.DataFrame:
        """`runs` with the columns of `spread`, prefixed with runs_."""
        spread = self.spread.add_prefix("runs_").rename(columns={"runs_n_runs": "n_runs"})
        return self.runs.merge(spread, left_on="at", right_on="runs_at").drop(columns="runs_at")

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.compare(self.runs, self.spread, self.by)


def compare(
    stores: Sequence[Store | str | Path],
    *,
    group: Annotated[str, Group("group to compare")] = "true",
    by: Annotated[By, "match checkpoints by this"] = "step",
) -> Comparison:
    """The trajectories of `group` in several runs, matched by step or by tokens seen.

    The group is evaluated once, in the first store, so that every run is measured on the same
    tokens: a named group is that store's, and `loss_at` gives its losses. Each run has its own
    band over source documents. Raises StoreError if the stores hold different tokens or do not
    record the tokens seen, QueryError for fewer than two stores or no common checkpoint, and
    GroupError.
    """
    runs = [store if isinstance(store, Store) else Store(store) for store in stores]
    _refuse_incomparable(runs)
    places = [_places(run, by) for run in runs]
    at = _shared(places, by)
    rows = runs[0].nonempty_members(group)
    frames = [_trajectory(r, rows, at, p) for r, p in zip(runs, places, strict=True)]
    frame = pd.concat(frames, ignore_index=True)
    code = python_script_of_stores(runs, compare, group=group, by=by)
    return Comparison(frame, _spread(frame), by, code=code)


def _refuse_incomparable(runs: list[Store]) -> None:
    if len({run.path.resolve() for run in runs}) < max(2, len(runs)):
        names = ", ".join(str(run.path) for run in runs) or "none"
        raise QueryError(f"expected two or more different stores, got {names}")
    for other in runs[1:]:
        refuse_other_tokens(runs[0], other)


def refuse_other_tokens(first: Store, other: Store) -> None:
    """Raises StoreError unless both stores hold the same tokens, so that rows are the same."""
    if other.manifest.token_fingerprint != first.manifest.token_fingerprint:
        raise StoreError(
            f"{first.path} and {other.path} hold different tokens (their fingerprints differ): "
            "score both runs on one text, with one tokenizer and context length"
        )


def _places(run: Store, by: By) -> dict[int, int]:
    """Step or number of tokens seen -> scored checkpoint of a run."""
    if by not in _TITLES:
        raise QueryError(f"runs cannot be matched by {by}: expected {' or '.join(_TITLES)}")
    if by == "step":
        return {step: step for step in run.steps}
    table = run.checkpoints[["checkpoint", "tokens_seen"]].dropna()
    table = table[table["checkpoint"].isin(run.steps)].astype(np.int64)
    if table.empty:
        raise StoreError(
            f"{run.path} does not record how many tokens its checkpoints have seen: match by step"
        )
    if twice := table["tokens_seen"][table["tokens_seen"].duplicated()].tolist():
        raise StoreError(
            f"two checkpoints of {run.path} have seen {twice[0]:,} tokens: match by step"
        )
    return dict(zip(table["tokens_seen"].tolist(), table["checkpoint"].tolist(), strict=True))


def _shared(places: list[dict[int, int]], by: By) -> list[int]:
    shared = sorted(set(places[0]).intersection(*places[1:]))
    if not shared:
        name = _TITLES[by]
        ranges = "; ".join(f"{len(p)} from {min(p):,} to {max(p):,}" for p in places)
        raise QueryError(
            f"the stores have no checkpoint with the same {name} ({ranges}): score some at the "
            f"same {name}, or match by {next(other for other in _TITLES if other != by)}"
        )
    return shared


def _trajectory(
    run: Store, rows: np.ndarray, at: list[int], places: dict[int, int]
) -> pd.DataFrame:
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

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
BINS = 60
"""Of the histograms of changes."""
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


@dataclass(frozen=True)
class RunChanges:
    """How a group's tokens changed between two checkpoints in several runs."""

    frame: pd.DataFrame
    """run (the store's path), mean_change (nats), share_rose, correlation (Pearson's, of the
    tokens' changes with those in the first run), shared_decreased and shared_increased (tokens
    among the most changed ones of both this run and the first)."""
    histogram: pd.DataFrame
    """run, low, high (nats), share (of the tokens)."""
    lacking: Sequence[str]
    """Paths of the runs without one of the checkpoints."""
    k: int
    """Tokens in a list of the most changed ones."""
    n_tokens: int


def compare_changes(
    stores: Sequence[Store], first: int, last: int, group: str = "true", k: int = 50
) -> RunChanges:
    """The change of each token of `group` in several runs; the first one is compared with.

    The group is evaluated once, in the first store, which must have the checkpoints. Raises
    StoreError if the stores hold different tokens, GroupError, and QueryError for the region.
    """
    for other in stores[1:]:
        refuse_other_tokens(stores[0], other)
    rows = stores[0].nonempty_members(group)
    have = [s for s in stores if s is stores[0] or {first, last} <= {*s.steps}]
    changes = {str(s.path): _changes(s, rows, first, last) for s in have}
    own = changes[str(stores[0].path)]
    k = min(k, len(rows))
    frame = [{"run": run, **_compared(own, change, k)} for run, change in changes.items()]
    lacking = [str(s.path) for s in stores if s not in have]
    return RunChanges(pd.DataFrame(frame), _histograms(changes), lacking, k, len(rows))


def _changes(store: Store, rows: np.ndarray, first: int, last: int) -> np.ndarray:
    """Nats, float64 (rows,)."""
    columns = np.array([store.matrix.place(step) for step in (first, last)])
    losses = store.matrix.rows(rows, columns).astype(np.float64)
    change: np.ndarray = losses[:, 1] - losses[:, 0]
    return change


def _compared(own: np.ndarray, change: np.ndarray, k: int) -> dict[str, float]:
    varies = len(own) > 1 and own.std() > 0 and change.std() > 0
    first, second = (np.argsort(values, kind="stable") for values in (own, change))
    top = len(own) - k
    return {
        "mean_change": float(change.mean()),
        "share_rose": float((change > 0).mean()),
        "correlation": float(np.corrcoef(own, change)[0, 1]) if varies else float("nan"),
        "shared_decreased": len(np.intersect1d(first[:k], second[:k])),
        "shared_increased": len(np.intersect1d(first[top:], second[top:])),
    }


def _histograms(changes: dict[str, np.ndarray]) -> pd.DataFrame:
    """Shares of the tokens in bins that all runs have."""
    edges = np.histogram_bin_edges(np.concatenate([*changes.values()]), BINS)
    frames = [
        pd.DataFrame(
            {
                "run": run,
                "low": edges[:-1],
                "high": edges[1:],
                "share": np.histogram(change, edges)[0] / len(change),
            }
        )
        for run, change in changes.items()
    ]
    return pd.concat(frames, ignore_index=True)


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

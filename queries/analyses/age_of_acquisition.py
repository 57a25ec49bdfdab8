"""Age of acquisition of token types: when a sigmoid fitted to their loss is half-way down."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd

from queries.analyses.base import Chart, Group, WithScript, python_script
from queries.engine.sums import Summation
from queries.errors import QueryError, too_few
from queries.stats.acquisition_curve import FEWEST, Age, age
from queries.store import Store

ONCE = "no error: the type occurs once in the group, so this is the step of one token"
COLUMNS = ["log10_step", "step", "status", "threshold", "upper", "lower", "midpoint", "scale"]


@dataclass(frozen=True)
class AgeOfAcquisition(WithScript):
    """Token types and when they were acquired."""

    frame: pd.DataFrame
    """token_id, token_str, n_tokens (occurrences in the group), log10_step and step (NaN unless the
    fitted curve crosses the threshold between two checkpoints), status ("crossed", "not acquired",
    "before the first checkpoint", "no fit"), threshold, upper, lower (nats), midpoint, scale (log10
    steps) of the sigmoid, verdict (empty, or that a type occurs only once, so that nothing says how
    far its step is off); earliest first."""

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.age_of_acquisition(self.frame)


def age_of_acquisition(
    store: Store,
    *,
    where: Annotated[str, Group("group to analyse")] = "true",
    vocabulary: Annotated[
        int | None, "size of the model's softmax, for a threshold from chance (default: highest)"
    ] = None,
    share: Annotated[float, "threshold: 0 is at the start of the fall, 1 at its end"] = 0.5,
    min_count: Annotated[int, "minimum number of occurrences of a type"] = 20,
) -> AgeOfAcquisition:
    """The step at which a sigmoid fitted to each token type's mean loss crosses a threshold.

    Chang and Bergen 2022 (TACL 10:1; formulas in `queries.stats.acquisition_curve`): a sigmoid with
    four free parameters is fitted to the mean loss of the type's occurrences over log10(step), and
    the threshold is half-way between chance and the lowest mean loss. Chance is ln `vocabulary`,
    the number of outputs of the softmax, which a store does not record; without it the highest mean
    loss is taken instead, a variant in their code. Step 0 has no log10 and is left out.

    Raises GroupError for the group, and QueryError if an argument is out of range, for fewer than
    five checkpoints after step 0, or if no type is that frequent.
    """
    _check(vocabulary, share)
    rows = store.nonempty_members(where)
    types, at, counts = np.unique(store.token_ids[rows], return_inverse=True, return_counts=True)
    frequent = np.flatnonzero(counts >= min_count)
    if not len(frequent):
        raise QueryError(
            f"no token type occurs {min_count:,} times in the group: lower the minimum count"
        )
    x, means = _curves(store, rows, at, counts)
    chances = means.max(axis=1) if vocabulary is None else np.full(len(types), np.log(vocabulary))
    ages = [age(x, means[i], float(chances[i]), share) for i in frequent]
    first = np.unique(at, return_index=True)[1][frequent]
    frame = pd.DataFrame(
        {
            "token_id": types[frequent],
            "token_str": store.facts["token_str"].to_numpy()[rows[first]],
            "n_tokens": counts[frequent],
        }
    ).join(pd.DataFrame([_row(found) for found in ages], columns=COLUMNS))
    frame["verdict"] = np.where(frame["n_tokens"] == 1, ONCE, "")
    code = python_script(
        store,
        age_of_acquisition,
        where=where,
        vocabulary=vocabulary,
        share=share,
        min_count=min_count,
    )
    return AgeOfAcquisition(frame.sort_values(["step", "token_id"], ignore_index=True), code=code)


def _check(vocabulary: int | None, share: float) -> None:
    if vocabulary is not None and vocabulary < 2:
        raise QueryError(f"a vocabulary of {vocabulary}: expected the number of token types, 2 up")
    if not 0 < share < 1:
        raise QueryError(f"a share of {share}: expected a number between 0 and 1")


def _curves(
    store: Store, rows: np.ndarray, at: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """log10 steps (checkpoints,) and mean losses (types, checkpoints), without step 0."""
    steps = np.array(store.steps)
    trained = steps > 0
    if trained.sum() < FEWEST:
        raise QueryError(
            f"{too_few(int(trained.sum()), 'checkpoint')} to fit a sigmoid, step 0 aside: score at "
            f"least {FEWEST} after step 0"
        )
    sums = Summation(store.matrix, store.source_of_row).by_slot(rows, at, len(counts))
    return np.log10(steps[trained]), (sums / counts[:, None])[:, trained]


def _row(found: Age) -> tuple[object, ...]:
    place, curve = found.log10_step, found.curve
    fitted = (curve.upper, curve.lower, curve.midpoint, curve.scale) if curve else (np.nan,) * 4
    return (place, 10**place, found.status, found.threshold, *fitted)

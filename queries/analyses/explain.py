"""Which groups explain a region of training: of all candidates, which changed differently?"""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd

from queries.analyses.base import Between, Chart, WithScript, python_script
from queries.engine.measures import MeasureName
from queries.errors import QueryError
from queries.groups.candidates import Candidates, candidates
from queries.stats.changes import Region, region_change
from queries.stats.power import detectable
from queries.stats.two_way import (
    Changes,
    Claim,
    Method,
    false_discovery,
    group_differences,
    refuse_other_claims,
)
from queries.store import Store

FALSE_RATE = 0.05
"""The false discovery rate at which a difference is usually claimed."""


@dataclass(frozen=True)
class Explanation(WithScript):
    """Groups and how differently from the rest they changed in a region."""

    frame: pd.DataFrame
    """kind, token_group, clause; n_tokens, n_docs, n_docs_effective, n_types, n_types_effective;
    mean_change and rest_change (nats or the measure's unit, last minus first), difference (of the
    two), standard_error, degrees_of_freedom, detectable (the smallest true difference that p < 0.05
    would usually detect), p_value, q_value, verdict (why there is no p; else empty). Smallest
    p_value first, then those without one."""
    region: Region

    def chart(self) -> Chart:
        from queries.charts import analyses

        return analyses.explain(self.frame, *self.region)


def explain(
    store: Store,
    region: Annotated[Region, Between("the region")],
    *,
    min_count: Annotated[int, "minimum number of tokens in a group"] = 20,
    claim: Annotated[
        Claim,
        "what a difference would also hold for: other documents and token types (both), other "
        "documents of these token types, or other types in these documents",
    ] = "both",
    fdr: Annotated[
        Method, "q-values by Benjamini and Hochberg (bh), or Benjamini and Yekutieli (by)"
    ] = "bh",
    measure: Annotated[MeasureName, "what changed: the loss, or a measure of predictions"] = "loss",
) -> Explanation:
    """How differently from all other tokens each group changed in `region`.

    Tries the named groups; bands of corpus frequency, position, earlier occurrences and parts of
    words; copyable tokens, token types and source documents, if they have at least `min_count`
    tokens. Of groups with the same tokens the first is kept; named groups come first.

    Standard errors treat both documents and token types as sampled (`queries.stats.two_way`), so a
    frequency band is called only if it would be in other text with other words. A single token type
    or document says nothing about others, so there `verdict` is "cannot tell"; `claim` restricts
    the claim to these very types ("documents") or to these very documents ("types").

    q_value is the expected share of false rows among those up to it (`two_way.false_discovery` has
    the conditions). Groups overlap: a row says that a group changed differently, not that the
    property in its name is the reason. If nothing is found, `detectable` says how large a
    difference would usually have been detected (80% power). Raises QueryError.
    """
    refuse_other_claims(claim, fdr)
    tried, source = candidates(store, min_count)
    matrix = store.matrix_of(measure, *region)
    change = region_change(matrix, np.arange(store.manifest.n_tokens), region)
    changes = Changes(change.astype(np.float64), source, store.token_ids)
    found = explanations(tried, changes, min_count, claim, fdr)
    options = {"min_count": min_count, "claim": claim, "fdr": fdr, "measure": measure}
    code = python_script(store, explain, region=region, **options)
    return Explanation(found, region, code=code)


def explanations(
    tried: list[Candidates],
    changes: Changes,
    min_count: int,
    claim: Claim = "both",
    fdr: Method = "bh",
) -> pd.DataFrame:
    """`Explanation.frame` of the candidates. Raises QueryError if no group is large enough."""
    rows = pd.concat([_rows(c, changes, claim) for c in tried if c.names], ignore_index=True)
    rows = rows[(rows["n_tokens"] >= min_count) & (rows["n_tokens"] < len(changes.change))]
    if rows.empty:
        raise QueryError(
            f"no group with {min_count:,} or more tokens leaves other tokens: lower the minimum, "
            "but expect little evidence"
        )
    rows = rows.drop_duplicates(["n_tokens", "n_docs", "n_types", "mean_change"])
    rows.insert(len(rows.columns) - 1, "q_value", false_discovery(rows["p_value"].to_numpy(), fdr))
    free = rows["degrees_of_freedom"].to_numpy()
    smallest = detectable(rows["standard_error"].to_numpy(), free)
    rows.insert(list(rows).index("p_value"), "detectable", smallest)
    return rows.sort_values("p_value", kind="stable", ignore_index=True)


def _rows(groups: Candidates, changes: Changes, claim: Claim) -> pd.DataFrame:
    frame = group_differences(groups.label, len(groups.names), changes, claim)
    frame.insert(0, "kind", groups.kind)
    frame.insert(1, "token_group", groups.names)
    frame.insert(2, "clause", groups.clauses)
    return frame

"""`make bench`: a group's trajectory from the loss matrix, beside plain SQL over the long Parquet.

Both sides answer the same question on the same store in one run, in turn; the ratio is of their
medians. Ours also computes the band, which the SQL does not.
"""

import argparse
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np

from queries import Store

GROUPS = {
    "position": "position = 500",
    "surnames": "word in ('Washington', 'Lincoln', 'Roosevelt')",
    "regular expression": "regexp_matches(token_str, '^ [A-Z]')",
    "word start": "is_word_start",
    "all tokens": "true",
}
# What the long format lacks comes from the token table.
PLAIN = """
    select l.checkpoint, avg(l.loss) as mean_loss
    from read_parquet('{store}/losses/*.parquet') as l
    join (select doc, "position" from read_parquet('{store}/tokens.parquet') where {clause})
    using (doc, "position")
    group by all order by all
"""


def main() -> None:
    """Print one line a group: both medians and their ratio, after checking that they agree."""
    options = _options()
    store = Store(options.store)
    tokens, steps = store.manifest.n_tokens, len(store.steps)
    print(f"{tokens:,} tokens x {steps:,} checkpoints, {platform.machine()}, {options.runs} runs")
    print(f"{'group':<20}{'tokens':>9}{'ours':>12}{'plain SQL':>12}{'ratio':>8}")
    for name, clause in GROUPS.items():
        plain = PLAIN.format(store=options.store, clause=clause)
        ours = store.trajectories({name: clause})
        theirs = duckdb.sql(plain).df()
        np.testing.assert_allclose(ours["mean_loss"], theirs["mean_loss"], atol=1e-6)
        mine, other = _medians(
            options.runs,
            lambda clause=clause: store.trajectories({"g": clause}),
            lambda plain=plain: duckdb.sql(plain).df(),
        )
        n = int(ours["n_tokens"].iloc[0])
        print(f"{name:<20}{n:>9,}{mine * 1e3:>9.1f} ms{other * 1e3:>9.1f} ms{other / mine:>7.0f}x")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", nargs="?", type=Path, default=Path("data/demo"))
    parser.add_argument("--runs", type=int, default=7)
    return parser.parse_args()


def _medians(runs: int, *sides: Callable[[], object]) -> list[float]:
    """Median seconds of each side, the sides taking turns."""
    seconds: list[list[float]] = [[] for _ in sides]
    for _ in range(runs):
        for side, taken in zip(sides, seconds, strict=True):
            started = time.perf_counter()
            side()
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in seconds]


if __name__ == "__main__":
    main()

"""`make bench`: two groups' means with bands and their difference, next to other ways to the means.

All ways are interleaved in one run, on the same files, warm; the numbers are medians. `ours` also
computes bands and the difference; the others compute only the two means. `floor` is numpy summing
exactly the members' rows of the matrix, one group at a time; `report` is the report's way, a Python
function that is called for each token at each checkpoint, measured on two checkpoints and scaled to
all. All means are checked for equality before they are timed.
"""

import argparse
import itertools
import os
import platform
import re
import resource
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl

from queries import Store
from tests.bench.large import SIZES, build

Token = dict[str, Any]
WORDS = {"Washington", "Lincoln", "Bush", "Clinton"}
CAPITAL, ING = re.compile("^ [A-Z]"), re.compile("ing$")
# Each group as a clause and, as in the report, as a function from a token to a boolean.
PAIRS: dict[str, dict[str, Callable[[Token], bool]]] = {
    "positions": {
        "position = 500": lambda token: token["position"] == 500,
        "position = 50": lambda token: token["position"] == 50,
    },
    "surnames": {
        "word in ('Washington', 'Lincoln', 'Bush', 'Clinton')": lambda token: (
            token["word"] in WORDS
        ),
        "word = 'Congress'": lambda token: token["word"] == "Congress",
    },
    "regular expressions": {
        "regexp_matches(token_str, '^ [A-Z]')": lambda token: bool(
            CAPITAL.search(token["token_str"])
        ),
        "regexp_matches(token_str, 'ing$')": lambda token: bool(ING.search(token["token_str"])),
    },
    "word start": {
        "is_word_start": lambda token: token["is_word_start"],
        "not is_word_start": lambda token: not token["is_word_start"],
    },
    "thirds": {
        "row % 3 = 0": lambda token: token["row"] % 3 == 0,
        "row % 3 = 1": lambda token: token["row"] % 3 == 1,
    },
    "all and half": {
        "true": lambda token: True,
        "row % 2 = 0": lambda token: token["row"] % 2 == 0,
    },
}
# Columns that the loss files lack come from the token table, joined on the row number.
PLAIN = """
    select l.checkpoint, avg(l.loss) as mean_loss
    from read_parquet('{store}/losses/*.parquet', file_row_number = true) as l
    join (select "row" from read_parquet('{store}/tokens.parquet') where {clause}) as t
    on t."row" = l.file_row_number
    group by all order by all
"""
_NUMBERS = itertools.count()
Way = Callable[[], object]


def main() -> None:
    """Print a line for each pair of groups, after checking that all ways agree."""
    options = _options()
    path = build(options.size, Path("build")) if options.size else options.store
    started = time.perf_counter()
    store = Store(path)
    _ = store.matrix
    opened = time.perf_counter() - started
    print(f"{platform.machine()}, {os.cpu_count()} cores, medians of {options.runs} runs")
    print(f"{path}: {store.manifest.n_tokens:,} tokens x {len(store.steps):,} checkpoints")
    print(f"opening: {opened:.2f} s\n")
    print(
        f"{'milliseconds':<20}{'tokens':>17}{'ours':>9}{'floor':>9}{'SQL':>9}{'polars':>9}"
        f"{'report':>12}{'SQL/ours':>10}{'report/ours':>13}"
    )
    for name, pair in PAIRS.items():
        _compare(store, path, name, pair, options.runs)
    region = store.steps[len(store.steps) // 3], store.steps[len(store.steps) // 2]
    zoom = _medians(options.runs, lambda: store.zoom(*region))[0]
    print(f"\nzoom into steps {region[0]:,} to {region[1]:,}: {zoom * 1e3:.0f} ms")
    print(
        f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GB, "
        "including the other ways' and the mapped matrix's pages"
    )


def _compare(
    store: Store, path: Path, name: str, pair: dict[str, Callable[[Token], bool]], runs: int
) -> None:
    ours = store.trajectories({clause: clause for clause in pair})
    plain = [PLAIN.format(store=path, clause=clause) for clause in pair]
    members = [store.members(clause) for clause in pair]
    for clause, query, rows in zip(pair, plain, members, strict=True):
        mine = ours[ours["token_group"] == clause]["mean_loss"]
        np.testing.assert_allclose(mine, duckdb.sql(query).df()["mean_loss"], atol=1e-6)
        np.testing.assert_allclose(
            mine, _polars(path, rows, store.manifest.n_tokens)["loss"], atol=1e-6
        )
        np.testing.assert_allclose(mine, _floor(store, rows), atol=1e-2)
    ways: list[Way] = [
        lambda: _ours(store, pair),
        lambda: [_floor(store, rows) for rows in members],
        lambda: [duckdb.sql(query).df() for query in plain],
        lambda: [_polars(path, rows, store.manifest.n_tokens) for rows in members],
    ]
    times = [1e3 * seconds for seconds in _medians(runs, *ways)]
    report = 1e3 * sum(
        _report_way(store, path, selects, len(rows))
        for selects, rows in zip(pair.values(), members, strict=True)
    )
    counts = "/".join(f"{len(rows):,}" for rows in members)
    print(
        f"{name:<20}{counts:>17}"
        + "".join(f"{ms:>9,.0f}" for ms in times)
        + f"{report:>12,.0f}{times[2] / times[0]:>9.0f}x{report / times[0]:>12,.0f}x",
        flush=True,
    )


def _ours(store: Store, pair: Iterable[str]) -> None:
    """The comment makes each clause a new one, so that nothing comes from a cache."""
    first, second = (f"{clause} /* {next(_NUMBERS)} */" for clause in pair)
    store.trajectories({first: first, second: second})
    store.difference(first, second)


def _floor(store: Store, rows: np.ndarray) -> np.ndarray:
    """Means over `rows` of each block of the matrix, by numpy."""
    return np.concatenate([block[rows].sum(axis=0) for block in store.matrix.blocks]) / len(rows)


def _polars(path: Path, rows: np.ndarray, n_tokens: int) -> pl.DataFrame:
    """Means over `rows`: the row number in all files, modulo the tokens, is a token's row."""
    losses = pl.scan_parquet(path / "losses" / "*.parquet", row_index_name="at")
    row = (pl.col("at") % n_tokens).cast(pl.Int64)
    members = pl.LazyFrame({"row": rows})
    return (
        losses.select("checkpoint", "loss", row=row)
        .join(members, on="row", how="semi")
        .group_by("checkpoint")
        .agg(pl.col("loss").cast(pl.Float64).mean())
        .sort("checkpoint")
        .collect(engine="streaming")
    )


def _report_way(store: Store, path: Path, selects: Callable[[Token], bool], n: int) -> float:
    """Seconds for all checkpoints, extrapolated from two.

    The function is called on every row, and the losses of the rows that it selects enter a running
    mean. Reading the files is not counted.
    """
    tokens = pl.read_parquet(path / "tokens.parquet").to_dicts()
    files = [path / "losses" / f"checkpoint-{step:09d}.parquet" for step in store.steps[:2]]
    tables = [pl.read_parquet(file)["loss"].to_list() for file in files]
    started = time.perf_counter()
    for losses in tables:
        mean, count = 0.0, 0
        for token, loss in zip(tokens, losses, strict=True):
            if selects(token):
                count += 1
                mean += (loss - mean) / count
        assert count == n
    return (time.perf_counter() - started) * len(store.steps) / 2


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, help="build and measure a store of this size")
    parser.add_argument(
        "--store", type=Path, default=Path("data/demo"), help="or measure an existing one"
    )
    parser.add_argument("--runs", type=int, default=5)
    return parser.parse_args()


def _medians(runs: int, *ways: Way) -> list[float]:
    """Median seconds of each way; the ways are interleaved."""
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(runs):
        for way, taken in zip(ways, seconds, strict=True):
            started = time.perf_counter()
            way()
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in seconds]


if __name__ == "__main__":
    main()

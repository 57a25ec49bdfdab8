"""Do a store's probes belong to its losses, and are they whole? Needs no torch."""

from collections.abc import Iterator
from typing import Any

from ingest.errors import IngestError
from ingest.tables import read_table
from store import schema
from store.layout import Layout

HIGHEST = 1.01  # of a score: attention weights sum to 1 but for rounding, in bfloat16 a coarse one


def probe_problems(layout: Layout, weights: dict[int, str | None]) -> Iterator[str]:
    """What is wrong with a store's probes; `weights`: the sha256 of each scored checkpoint's."""
    if not layout.probes.exists():
        return
    try:
        table = read_table(layout.probes)
    except IngestError as error:
        yield str(error)
        return
    if not table.schema.equals(schema.PROBES, check_metadata=False):
        yield "probes.parquet has other columns than expected: delete it and run with --probes"
        return
    again = "run again with --probes"
    by_checkpoint: dict[int, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        by_checkpoint.setdefault(row["checkpoint"], []).append(row)
    for number in sorted(by_checkpoint.keys() - weights.keys()):
        yield f"probes.parquet: checkpoint {number} has probes but no losses: {again}"
    for number in sorted(weights.keys() - by_checkpoint.keys()):
        yield f"probes.parquet: checkpoint {number} has losses but no probes: {again}"
    for number in sorted(weights.keys() & by_checkpoint.keys()):
        yield from (
            f"probes.parquet: checkpoint {number} {fault}: {again}"
            for fault in _faults(by_checkpoint[number], weights[number])
        )


def _faults(rows: list[dict[str, Any]], sha256: str | None) -> Iterator[str]:
    if {row["weights_sha256"] for row in rows} != {sha256}:
        yield "was probed with other weights than it was scored with"
    places = [(row["probe"], row["layer"], row["head"]) for row in rows]
    names = [name for name, _, _ in places]
    once = all(names.count(name) == 1 for name in (schema.LOSS_FIRST, schema.LOSS_SECOND))
    if not once or len(set(places)) != len(places) or schema.PREFIX_MATCHING not in names:
        yield "has a probe twice or not at all"
    for row in rows:
        value = row["value"]
        most = HIGHEST if row["probe"] == schema.PREFIX_MATCHING else float("inf")
        if value is None and row["layer"] is None and row["probe"] == schema.PREFIX_MATCHING:
            continue  # a model without attention weights
        if value is None or not 0 <= value <= most or value == float("inf"):
            yield f"has a {row['probe']} of {value}"

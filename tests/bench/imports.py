"""Speed and peak memory of `ingest import`, in a process of its own; part of `make bench-ingest`.

The results are random, but have the shape of real ones: a Zipfian vocabulary of 50,257 token types,
docs of 500 tokens. They are written as a long table in Parquet, once by checkpoint and once by
token, as lists per document in Parquet, and as a float32 matrix with its tokens.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SIZES = {"small": (20_000, 10), "report": (100_000, 100), "full": (1_000_000, 100)}
"""Tokens, checkpoints."""
DOC = 500
FASTEST, LARGEST = 2.0, 2.0
"""What we expect at the full size: at least so many million losses per second, at most so many
GB."""


def main() -> None:
    """Print the measurements, one line per shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="report", help="(%(default)s)")
    parser.add_argument("--shape", choices=SHAPES, help="only this one")
    options = parser.parse_args()
    tokens, checkpoints = SIZES[options.size]
    folder = Path("build", "bench-imports")
    print(f"import: {tokens:,} tokens x {checkpoints} checkpoints, {tokens * checkpoints:,} losses")
    for name, write in SHAPES.items():
        if options.shape in (None, name):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            arguments = write(folder, tokens, checkpoints)
            seconds, busy, peak = _measure([*arguments, "--store", str(folder / "store")])
            rate, of_core = (tokens * checkpoints / s / 1e6 for s in (seconds, busy))
            print(
                f"  {name:20} {rate:5.2f} M losses/s (at least {FASTEST} expected), {of_core:.2f} "
                f"M per second of one core, {peak:.2f} GB at most (limit {LARGEST})",
                flush=True,
            )
    shutil.rmtree(folder, ignore_errors=True)


def _measure(arguments: list[str]) -> tuple[float, float, float]:
    """Seconds, start of Python included; seconds of processor time; and GB of memory at most."""
    began = time.perf_counter()
    code = (
        "import sys, resource; from ingest.__main__ import main; status = main(sys.argv[1:]); "
        "used = resource.getrusage(resource.RUSAGE_SELF); "
        "print(used.ru_utime + used.ru_stime, used.ru_maxrss); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "import", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    unit = 1 if sys.platform == "darwin" else 1024
    *_, busy, peak = done.stdout.split()
    return time.perf_counter() - began, float(busy), int(peak) * unit / 1e9


def _ids(tokens: int) -> np.ndarray:
    return (np.random.default_rng(0).zipf(1.3, tokens) % 50_257).astype(np.int32)


def _losses(tokens: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).exponential(3, tokens).astype(np.float32)


def _columns(tokens: int) -> dict[str, np.ndarray]:
    return {"doc": np.arange(tokens) // DOC, "position": np.arange(tokens) % DOC + 1}


def _by_checkpoint(folder: Path, tokens: int, checkpoints: int) -> list[str]:
    ids = _ids(tokens)
    texts = pa.array([f" w{i}" for i in range(50_257)]).take(pa.array(ids))
    path = folder / "long.parquet"
    writer: pq.ParquetWriter | None = None
    for step in range(checkpoints):
        found = {"checkpoint": np.full(tokens, step), **_columns(tokens), "token_id": ids}
        table = pa.table({**found, "token_str": texts, "loss": _losses(tokens, step)})
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    assert writer
    writer.close()
    return [str(path)]


def _by_token(folder: Path, tokens: int, checkpoints: int) -> list[str]:
    path = folder / "long.parquet"
    writer: pq.ParquetWriter | None = None
    ids, of = _ids(tokens), _columns(tokens)
    for start in range(0, tokens, 10_000):
        some = slice(start, start + 10_000)
        found = {name: np.repeat(values[some], checkpoints) for name, values in of.items()}
        n = len(found["doc"])
        found["checkpoint"] = np.tile(np.arange(checkpoints), n // checkpoints)
        found |= {"token_id": np.repeat(ids[some], checkpoints), "loss": _losses(n, start)}
        writer = writer or pq.ParquetWriter(path, pa.table(found).schema)
        writer.write_table(pa.table(found))
    assert writer
    writer.close()
    return [str(path)]


def _lists(folder: Path, tokens: int, checkpoints: int) -> list[str]:
    offsets = pa.array(np.arange(0, tokens + 1, DOC), pa.int32())
    ids = pa.ListArray.from_arrays(offsets, pa.array(_ids(tokens)))
    for step in range(checkpoints):
        losses = pa.ListArray.from_arrays(offsets, pa.array(_losses(tokens, step)))
        path = folder / "nested" / f"step{step}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table({"token_ids": ids, "losses": losses}), path)
    return [str(folder / "nested")]


def _matrix(folder: Path, tokens: int, checkpoints: int) -> list[str]:
    path = folder / "losses.npy"
    array = np.lib.format.open_memmap(path, "w+", np.float32, (tokens, checkpoints))
    for start in range(0, tokens, 10_000):
        some = array[start : start + 10_000]
        some[:] = _losses(some.size, start).reshape(some.shape)
    del array
    np.save(folder / "tokens.npy", _ids(tokens).reshape(-1, DOC))
    steps = ",".join(map(str, range(checkpoints)))
    return [str(path), "--tokens", str(folder / "tokens.npy"), "--checkpoints", steps]


SHAPES: dict[str, Callable[[Path, int, int], list[str]]] = {
    "long, by checkpoint": _by_checkpoint,
    "long, by token": _by_token,
    "nested": _lists,
    "matrix": _matrix,
}

if __name__ == "__main__":
    main()

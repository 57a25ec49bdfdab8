"""`make calibrate`: how often each procedure claims something false, and what it finds.

The results replace those of the same procedures in docs/calibration.csv, from which
docs/calibration.md is written. The small size only checks that everything runs.
"""

import argparse
import datetime
import platform
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import scipy

from tests.calibrate import cross_section, page, time_series

SUITES: tuple[ModuleType, ...] = (time_series, cross_section)
"""Each has `all_designs()`, and `calibrate(designs, n_trials, seed, workers)`."""
DOCS = Path(__file__).parents[2] / "docs"
TRIALS, SMALL = 200, 1
EVERY = 16
"""In the small size, one design of so many is tried."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print the table, and write the page unless the size is small."""
    options = _options(arguments)
    small = options.size == "small"
    parts = [_simulated(suite, options, small) for suite in SUITES]
    found = pd.concat(parts, ignore_index=True)
    if found.empty:
        print(f"No procedure is named {options.procedure}: expected {', '.join(_names())}")
        return 2
    print(found.to_string(float_format="{:.3f}".format))
    if not small:
        date = datetime.datetime.now(datetime.UTC).date().isoformat()
        write(found.assign(seed=options.seed, date=date, versions=_versions()), DOCS)
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.calibrate", description=__doc__)
    parser.add_argument("--size", choices=["full", "small"], default="full")
    parser.add_argument("--trials", type=int, help=f"per design (default: {TRIALS})")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--procedure", default="", help="only this one (default: all)")
    return parser.parse_args(arguments)


def _simulated(suite: ModuleType, options: argparse.Namespace, small: bool) -> pd.DataFrame:
    designs = [d for d in suite.all_designs() if options.procedure in ("", d.procedure)]
    if small:
        designs = designs[::EVERY]
    n_trials = options.trials or (SMALL if small else TRIALS)
    if not designs:
        return pd.DataFrame()
    found: pd.DataFrame = suite.calibrate(designs, n_trials, options.seed, options.workers)
    by_name = {(d.procedure, d.name): d for d in designs}
    drawn = [by_name[key] for key in zip(found["procedure"], found["design"], strict=True)]
    noise: list[Any] = [getattr(d, "noise", None) for d in drawn]
    asked = [getattr(d, "asked", True) for d in drawn]
    return found.assign(noise=noise, easy=[d.easy for d in drawn], asked=asked)


def _names() -> list[str]:
    designs: list[Any] = [design for suite in SUITES for design in suite.all_designs()]
    return sorted({design.procedure for design in designs})


def _versions() -> str:
    modules = (np, scipy, pd)
    libraries = [f"{module.__name__} {module.__version__}" for module in modules]
    return ", ".join([f"Python {platform.python_version()}", *libraries])


def write(found: pd.DataFrame, docs: Path) -> None:
    """Replace the results of the procedures in `found`, and write the page again."""
    table = docs / "calibration.csv"
    earlier = page.read(table) if table.exists() else found[:0]
    kept = earlier[~earlier["procedure"].isin(found["procedure"])]
    frame = pd.concat([part for part in (kept, found) if len(part)], ignore_index=True)
    frame = frame.sort_values("procedure", kind="stable")
    frame.to_csv(table, index=False, float_format="%.5g")
    (docs / "calibration.md").write_text(page.render(page.read(table)), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())

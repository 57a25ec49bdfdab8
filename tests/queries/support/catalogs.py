"""Query a catalog as users do: without our functions, or on DuckDB's command line."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest

# The environment's own comes first: it is there without being on the PATH.
_BIN = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
COMMAND_LINE = shutil.which("duckdb", path=_BIN)
needs_command_line = pytest.mark.skipif(
    COMMAND_LINE is None, reason="no duckdb command line: install the package duckdb-cli"
)


def ask(catalog: Path, query: str, **values: Any) -> pd.DataFrame:
    with duckdb.connect(str(catalog), read_only=True) as connection:
        return connection.execute(query, values or None).df()


def ask_command_line(catalog: Path, query: str, folder: Path) -> pd.DataFrame:
    """The answer of DuckDB's command line, run in `folder` and fed as by `< query.sql`."""
    done = subprocess.run(
        [str(COMMAND_LINE), "-readonly", "-csv", str(catalog)],
        input=query,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return read_csv(done.stdout)


def read_csv(text: str) -> pd.DataFrame:
    """A table that was printed as CSV, where an empty verdict looks like a missing value."""
    found = pd.read_csv(io.StringIO(text))
    if "verdict" in found:
        found["verdict"] = found["verdict"].astype("str").where(found["verdict"].notna(), "")
    return found


def same(theirs: pd.DataFrame, ours: pd.DataFrame, rtol: float = 1e-6, atol: float = 1e-9) -> None:
    """Check that columns and rows are equal, and numbers up to the tolerances."""
    assert list(theirs) == list(ours)
    for column in ours:
        if ours[column].dtype.kind in "fiu":
            numbers = [frame[column].astype(float) for frame in (theirs, ours)]
            np.testing.assert_allclose(*numbers, rtol=rtol, atol=atol)
        else:
            assert theirs[column].tolist() == ours[column].tolist()

"""`python -m queries report STORE --html out.html`: the report's ten figures on a store."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from queries.errors import QueryError
from queries.store import Store


def add_command(add: Any) -> None:
    """Add it with `add(name, command, help)`, which returns the command's parser."""
    told = add(
        "report", _report, "the report's ten figures on this store, and what is seen in them"
    )
    told.add_argument("--html", type=Path, help="a page to write, instead of the table of findings")


def _report(store: Store, options: argparse.Namespace) -> tuple[pd.DataFrame, None]:
    from queries.report import report, to_html, to_table

    found = report(store)
    if not options.html:
        return to_table(found), None
    content = to_html(found).encode()
    try:
        options.html.write_bytes(content)
    except OSError as error:
        raise QueryError(f"{options.html} cannot be written: {error.strerror}") from error
    written = {"file": str(options.html), "n_figures": len(found.exhibits), "bytes": len(content)}
    return pd.DataFrame([written]), None

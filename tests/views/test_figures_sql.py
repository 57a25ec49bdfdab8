"""The SQL or Python behind every chart of every page gives the chart's data.

The SQL is run in DuckDB's command line, the Python in an interpreter's own namespace.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.queries.support.catalogs import ask_command_line, needs_command_line
from tests.views.apps import drawn, python_gives_the_data
from views.widgets.figure import Figure

PAGES: dict[str, tuple[str, dict[str, Any]]] = {
    "two groups": ("trajectories", {}),
    "many groups": (
        "trajectories",
        {
            "group": [
                "copyable",
                "position < 9",
                "loss_at(row, 8) > 3",
                '{"text":"word_start","name":"a -- b"}',
            ]
        },
    ),
    "ratio": ("trajectories", {"compare": "ratio", "group": ["position > 3", "seen_before = 0"]}),
    "zoom": ("zoom", {"first": "8", "last": "400"}),
    "zoom of a group": ("zoom", {"where": ["seen_before = 0"], "span": "whole run"}),
}


CALLS: dict[str, tuple[str, dict[str, Any], int]] = {
    "matched": (
        "matched",
        {"compared": ["seen_before = 0"], "on": ["position", "token_str"], "bins": "3"},
        3,
    ),
    "clusters": ("clusters", {"cluster": "true", "where": ["position > 2"]}, 3),
    "level of two": (
        "clusters",
        {"cluster": "true", "n_clusters": "2", "compared_by": "level"},
        2,
    ),
    "n-grams": ("ngrams", {"where": ["position > 2"]}, 2),
    "rho": ("clusters", {"grouped": "by Rho-1's four categories"}, 1),
}


def sql_gives_the_data(figure: Figure, folder: Path) -> None:
    """The SQL behind a figure gives its data."""
    theirs = ask_command_line(folder / "catalog.duckdb", figure.script, folder)
    ours = figure.frame
    if "row" in theirs:
        theirs = theirs[theirs["checkpoint"].isin(ours["checkpoint"])]
        ours = ours.drop_duplicates(["row", "checkpoint"]).sort_values(["row", "checkpoint"])
    assert len(theirs) == len(ours), figure.title
    shared = [c for c in theirs if c in ours and theirs[c].dtype.kind in "fiu"]
    assert len(shared) >= 3
    for column in shared:
        np.testing.assert_allclose(theirs[column], ours[column], rtol=1e-6, atol=1e-9)


@needs_command_line
@pytest.mark.parametrize("name", PAGES)
def test_the_sql_behind_a_chart_gives_its_data(name: str, folder: Path) -> None:
    page, query = PAGES[name]
    figures = drawn(folder, page, **query)
    assert len(figures) == (3 if page == "positions" else 2)
    for figure in figures:
        sql_gives_the_data(figure, folder)


@pytest.mark.parametrize("name", CALLS)
def test_the_python_behind_a_chart_gives_its_data(name: str, folder: Path) -> None:
    page, query, count = CALLS[name]
    figures = [figure for figure in drawn(folder, page, **query) if figure.language == "python"]
    assert len(figures) == count
    for figure in figures:
        python_gives_the_data(figure)


@needs_command_line
def test_the_sql_behind_the_report_gives_its_data(folder: Path) -> None:
    figures = drawn(folder, "report")
    assert len(figures) > 8
    for figure in figures:
        sql_gives_the_data(figure, folder)

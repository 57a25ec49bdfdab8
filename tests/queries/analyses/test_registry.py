"""Every analysis of the registry runs on the demo: its table, chart, script and command."""

import shlex
from pathlib import Path
from typing import Any

import pytest

import queries
from queries import Store
from queries.__main__ import main
from queries.analyses.base import Argument, arguments_of
from queries.analyses.registry import ANALYSES, Analysis
from queries.charts.render import render
from store.layout import Layout
from tests.queries.conftest import DEMO
from tests.queries.support.catalogs import ask, ask_command_line, needs_command_line, same
from tests.queries.support.stores import build_store

OF_ONE_STORE = [analysis for analysis in ANALYSES if not analysis.of_runs]
one_store = pytest.mark.parametrize("analysis", OF_ONE_STORE, ids=lambda analysis: analysis.name)


def required(analysis: Analysis) -> dict[str, Any]:
    """Values of the arguments without a default, by their role."""
    regions = iter([(1380, 1640), (1660, 2300)])
    values: dict[str, Any] = {}
    for argument in analysis.arguments:
        if argument.required:
            values[argument.name] = next(regions) if argument.role == "region" else "copyable"
    return values


WINDOW = {"mechanism": {"between": (1000, None)}}
"""Of the analyses with tables that are empty for the whole run."""


@pytest.fixture(scope="module")
def results(demo: Store) -> dict[str, Any]:
    return {a.name: a.function(demo, **required(a), **WINDOW.get(a.name, {})) for a in OF_ONE_STORE}


@one_store
def test_it_has_a_table_and_a_chart(results: dict[str, Any], analysis: Analysis) -> None:
    result = results[analysis.name]
    assert type(result) is analysis.result
    assert len(result.frame) > 0
    # The demo's trajectories are a continuum: no group is over-represented in the only cluster.
    assert {name for name, table in result.tables.items() if table(result).empty} <= {"features"}
    drawn = render(result.chart(), "svg")
    assert drawn.startswith(b"<svg") and b"NaN" not in drawn


@one_store
def test_its_script_gives_its_table(
    results: dict[str, Any], analysis: Analysis, demo: Store
) -> None:
    result = results[analysis.name]
    if result.language == "python":
        names: dict[str, Any] = {}
        exec(result.script(), names)
        theirs = names["result"].frame
    else:
        theirs = ask(Layout(demo.path).catalog, result.script())
    same(theirs, result.frame, atol=1e-7)


@needs_command_line
@pytest.mark.parametrize("name", [a.name for a in OF_ONE_STORE])
def test_sql_scripts_run_in_the_command_line(
    results: dict[str, Any], name: str, demo: Store
) -> None:
    result = results[name]
    if result.language == "sql":
        found = ask_command_line(Layout(demo.path).catalog, result.script(), demo.path)
        numbers = result.frame.select_dtypes("number").columns
        same(found[numbers], result.frame[numbers], atol=1e-7)


def test_positions_slope_score_and_type_changes_have_sql(results: dict[str, Any]) -> None:
    sql = {name for name, result in results.items() if result.language == "sql"}
    assert {"positions", "position_slope", "in_context_score", "type_changes"} <= sql


@pytest.mark.parametrize("analysis", ANALYSES, ids=lambda analysis: analysis.name)
def test_its_example_runs(
    analysis: Analysis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "build").mkdir()
    (tmp_path / "data" / "demo").symlink_to(DEMO)
    for seed in ("seed-1", "seed-2"):
        build_store(tmp_path / "data" / seed)
    output = ["--output", "build/output"] if "--output" not in analysis.example else []
    assert main([analysis.command, *shlex.split(analysis.example), *output]) == 0
    assert any(path.stat().st_size for path in (tmp_path / "build").iterdir())


def test_names_commands_and_titles_are_unique_and_described() -> None:
    for values in zip(*((a.name, a.command, a.title) for a in ANALYSES), strict=True):
        assert len(set(values)) == len(ANALYSES)
    for analysis in ANALYSES:
        assert analysis.function.__name__ == analysis.name
        assert getattr(queries, analysis.name) is analysis.function
        assert analysis.name in queries.__all__
        assert analysis.sentence.endswith(".") and analysis.function.__doc__


def test_arguments_are_read_from_the_signature() -> None:
    (overlap,) = (a for a in ANALYSES if a.name == "overlap")
    by_name = {argument.name: argument for argument in overlap.arguments}
    assert [by_name[n].role for n in ("region", "where", "other", "k")] == [
        "region",
        "group",
        "store",
        "value",
    ]
    assert by_name["region"].required and by_name["region"].positional
    assert by_name["k"].default == 50 and not by_name["k"].positional
    (compare,) = (a for a in ANALYSES if a.name == "compare")
    assert {a.name: a.choices for a in compare.arguments}["by"] == ("step", "tokens_seen")
    assert all(isinstance(a, Argument) and a.help for an in ANALYSES for a in an.arguments)


def test_an_argument_without_help_is_refused() -> None:
    def analysis(store: Store, group: str) -> None: ...

    with pytest.raises(TypeError, match="group has no help text"):
        arguments_of(analysis)


def test_the_documentation_lists_every_analysis() -> None:
    page = (DEMO.parents[1] / "docs" / "queries.md").read_text(encoding="utf-8")
    table = page.partition("<!-- analyses -->\n")[2].partition("<!-- end -->")[0]
    rows = [f"| `{a.command}` | {a.sentence} |" for a in ANALYSES]
    expected = "\n".join(["| command | what it answers |", "|---|---|", *rows, ""])
    assert table == expected, f"paste this between the two comments of docs/queries.md:\n{expected}"

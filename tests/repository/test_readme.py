"""README and docs/ tell the truth: their commands, Python and SQL run as they stand."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

import ingest.__main__
import queries.__main__
from tests.queries.catalogs import COMMAND_LINE

ROOT = Path(__file__).parents[2]
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "README.md",
        "docs/ingest.md",
        "docs/queries.md",
        "docs/groups.md",
        "docs/methods.md",
        "data/README.md",
    )
}
MAINS = {"queries": queries.__main__.main, "ingest": ingest.__main__.main}
OURS = ("data", "ingest", "queries", "store")


def blocks(language: str, name: str = "") -> list[str]:
    """Of all pages, in order, or of one."""
    text = PAGES[name] if name else "\n".join(PAGES.values())
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A folder that looks like a clone, where build/ is not ours."""
    folder = tmp_path_factory.mktemp("clone")
    for name in OURS:
        (folder / name).symlink_to(ROOT / name)
    (folder / "build").mkdir()
    return folder


def run(folder: Path, *arguments: str, program: str = sys.executable) -> str:
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def answer(clone: Path, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command says; ours run in this process, which saves seconds of imports for each."""
    name, *arguments = shlex.split(command)
    if name == "duckdb":
        return run(clone, *arguments, program=COMMAND_LINE) if COMMAND_LINE else "not installed"
    assert (name, arguments[0]) == ("python", "-m")
    assert MAINS[arguments[1]](arguments[2:]) == 0, command
    return capsys.readouterr().out


def test_every_command_runs(clone, monkeypatch, capsys):
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) > 5
    monkeypatch.chdir(clone)
    for command in commands:
        assert answer(clone, command, capsys) or "--output" in command


def test_a_command_runs_by_itself(clone):
    assert "position_500" in run(clone, "-m", "queries", "groups", "data/demo")
    assert "whole and consistent" in run(clone, "-m", "ingest", "verify", "data/demo")


def test_the_python_runs(clone):
    for block in blocks("python"):
        assert run(clone, "-c", block)


def test_other_tools_give_the_same_means(monkeypatch):
    monkeypatch.chdir(ROOT)
    means = []
    for block in [b for b in blocks("python", "docs/queries.md") if "means" in b][-3:]:
        names: dict[str, Any] = {}
        exec(block, names)
        means.append(names["means"])
    ours, pandas, polars = means
    assert len(ours) > 100
    assert pandas.to_numpy() == pytest.approx(ours.to_numpy(), abs=1e-5)
    assert polars["loss"].to_numpy() == pytest.approx(ours.to_numpy(), abs=1e-5)


def test_the_sql_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    for block in blocks("sql"):
        assert len(duckdb.sql(block).df()) > 100


def test_the_groups_in_the_table_are_groups():
    from queries import Store

    store = Store(ROOT / "data" / "demo")
    clauses = re.findall(r"^\| [^|]+ \| `(.+)` \|$", PAGES["docs/groups.md"], flags=re.MULTILINE)
    assert len(clauses) == 6
    for clause in clauses:
        assert len(store.members(clause)) > 0


def test_every_page_is_tested():
    pages = {str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md")}
    assert pages == {name for name in PAGES if name.startswith("docs/")}


@pytest.mark.parametrize("name", PAGES)
def test_every_file_and_target_that_is_named_exists(name):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([a-z][a-z-]+)", PAGES[name])):
        assert f"\n{target}:" in makefile, target
    for path in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        assert (ROOT / name).parent.joinpath(path).exists(), path

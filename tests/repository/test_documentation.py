"""README, docs/ and data/README.md are true: their commands, Python, SQL and notebook run."""

import io
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
import nbformat
import pytest
from nbclient import NotebookClient

import ingest.__main__
import queries.__main__
from queries import Store
from queries.analyses.registry import ANALYSES
from tests.models import byte_level, save_mixed_run, save_second_run
from tests.queries.support.catalogs import COMMAND_LINE

ROOT = Path(__file__).parents[2]
PAGES = {
    name: (ROOT / name).read_text(encoding="utf-8")
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "docs/app.md",
        "docs/architectures.md",
        "docs/calibration.md",
        "docs/gpu.md",
        "docs/import.md",
        "docs/ingest.md",
        "docs/queries.md",
        "docs/groups.md",
        "docs/methods.md",
        "data/README.md",
    )
}
MAINS = {"queries": queries.__main__.main, "ingest": ingest.__main__.main}
TOUR = ROOT / "docs" / "tour.ipynb"


def blocks(language: str, name: str = "") -> list[str]:
    """Code blocks of all pages, in order, or of one page."""
    text = PAGES[name] if name else "\n".join(PAGES.values())
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a clone and has a build/ of its own."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("data", "docs", "ingest", "queries", "store"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "build").mkdir()
    return folder


def run(folder: Path, *arguments: str, program: str = sys.executable) -> str:
    done = subprocess.run(
        [program, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def output(clone: Path, command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints. Ours run in this process, which saves their imports."""
    name, *arguments = shlex.split(command)
    if name == "duckdb":
        return run(clone, *arguments, program=COMMAND_LINE) if COMMAND_LINE else "not installed"
    assert (name, arguments[0]) == ("python", "-m")
    assert MAINS[arguments[1]](arguments[2:]) == 0, command
    return capsys.readouterr().out


def test_every_command_runs(
    clone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) > 5
    monkeypatch.chdir(clone)
    for command in commands:
        assert output(clone, command, capsys) or "--output" in command


def test_the_audit_that_is_shown_is_what_plan_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "build").mkdir()
    mixed = save_mixed_run(tmp_path / "build" / "mixed", byte_level())
    save_second_run(tmp_path / "build" / "second", mixed)
    monkeypatch.chdir(tmp_path)
    (shown,) = (b for b in blocks("text", "docs/ingest.md") if b.startswith("$ "))
    command, printed = shown.removeprefix("$ ").split("\n", 1)
    assert output(tmp_path, command, capsys) == printed


def test_the_python_runs(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clone)
    for block in blocks("python"):
        if "xarray" in block and not find_spec("xarray"):
            continue  # optional: `make .venv/arrays`
        printed = io.StringIO()
        with redirect_stdout(printed):
            exec(block, {"__name__": "__main__"})
        assert printed.getvalue(), block


def test_other_tools_give_the_same_means(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_the_sql_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for block in blocks("sql"):
        assert len(duckdb.sql(block).df()) > 100


def test_the_notebook_runs() -> None:
    notebook = nbformat.read(TOUR, as_version=4)
    folder = {"metadata": {"path": str(TOUR.parent)}}  # where Jupyter starts
    NotebookClient(notebook, timeout=300, resources=folder).execute()
    shown = [c.outputs for c in notebook.cells if c.cell_type == "code"]
    assert len(shown) > 5 and all(shown)


def test_the_notebook_is_stored_without_outputs() -> None:
    cells = nbformat.read(TOUR, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def test_the_groups_in_the_table_are_groups() -> None:
    store = Store(ROOT / "data" / "demo")
    clauses = re.findall(r"^\| [^|]+ \| `(.+)` \|$", PAGES["docs/groups.md"], flags=re.MULTILINE)
    assert len(clauses) == 6
    for clause in clauses:
        assert len(store.members(clause)) > 0


def test_the_pages_of_the_app_are_described() -> None:
    described = re.findall(r"^\| ([A-Z][^|]*) \|", PAGES["docs/app.md"], flags=re.MULTILINE)
    drawn = {path.stem for path in (ROOT / "views" / "pages").glob("[a-z]*.py")} - {"generic"}
    titles = {analysis.name: analysis.title for analysis in ANALYSES}
    other = {"sql": "SQL"}  # general pages have the names of their files
    assert sorted(described) == sorted(
        titles.get(name) or other.get(name) or name.capitalize() for name in drawn
    )


def test_every_page_is_tested() -> None:
    pages = {str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md")}
    assert pages == {name for name in PAGES if name.startswith("docs/")}


@pytest.mark.parametrize("name", PAGES)
def test_every_link_and_target_exists(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"`make ([a-z][a-z-]+)", PAGES[name])):
        assert f"\n{target}:" in makefile, target
    for link in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent.joinpath(path)
        assert target.exists(), link
        assert not anchor or anchor in anchors(target.read_text(encoding="utf-8")), link


def anchors(page: str) -> set[str]:
    """Of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


FOLDERS = (".ci", ".streamlit", "data", "docs", "ingest", "queries", "store", "tests", "views")


def missing(text: str) -> list[str]:
    """Files and folders of this repository that a text names in backticks and that do not exist."""
    named = re.findall(rf"`((?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*)`", text)
    return [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_is_named_exists(name: str) -> None:
    assert missing(PAGES[name]) == []


def test_the_check_of_named_files_can_fail() -> None:
    assert missing("`queries/store.py`, `queries/stores.py`, `views/`") == ["queries/stores.py"]


def test_every_citation_of_a_docstring_is_among_the_sources() -> None:
    sources = PAGES["docs/methods.md"].split("## Sources")[1]
    sources = re.sub(r"\s+", " ", sources).replace("ü", "ue")
    cited = set()
    for folder in ("queries", "store"):
        for path in (ROOT / folder).rglob("*.py"):
            text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8")).replace("ü", "ue")
            cited |= set(re.findall(r"\b([A-Z][a-z]\w+(?: et al\.)? (?:19|20)\d\d)\b", text))
    assert len(cited) > 20
    assert {name for name in cited if name not in sources} == set()

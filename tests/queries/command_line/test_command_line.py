"""Every command in every format prints the library's answer; errors are never tracebacks."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import typer

from queries import Store
from queries.__main__ import PICTURES, TABLES, app, main
from store.layout import Layout

ROOT = Path(__file__).parents[3]
BEGINNINGS = {"svg": b"<svg", "png": b"\x89PNG\r\n\x1a\n", "html": b"<!DOCTYPE html>"}


class Ended(NamedTuple):
    status: int
    output: bytes
    error: str


Run = Callable[..., Ended]


@pytest.fixture
def run(folder: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Runs one command on the small store, in this process."""

    def run(command: str, *arguments: object, store: Path = folder) -> Ended:
        status = main([command, str(store), *map(str, arguments)])
        output, error = capsysbinary.readouterr()
        return Ended(status, output, error.decode())

    return run


def read(content: bytes, kind: str) -> pd.DataFrame:
    if kind == "csv":
        # A missing value is empty; a token may be the text NULL.
        return pd.read_csv(io.BytesIO(content), keep_default_na=False, na_values=[""])
    if kind == "json":
        return pd.DataFrame(json.loads(content))
    return pd.read_parquet(io.BytesIO(content))


def check_equal(ours: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """The same columns and values, missing ones too; formats differ in their types."""
    assert ours.columns.tolist() == theirs.columns.tolist()
    assert len(ours) == len(theirs)
    for name in theirs:
        values = theirs[name]
        if pd.api.types.is_numeric_dtype(values):
            got = ours[name].to_numpy(values.dtype)  # CSV has as many digits as the type needs
            np.testing.assert_allclose(got, values, rtol=1e-12, atol=1e-12)
        else:
            assert _texts(ours[name]) == _texts(values)


def _texts(values: pd.Series) -> list[object]:
    return values.astype(object).where(values.notna(), "").tolist()


@pytest.mark.parametrize("kind", TABLES)
def test_trajectories_are_those_of_the_store(run: Run, store: Store, kind: str) -> None:
    ended = run("trajectories", "word_start", "row = 3", "--format", kind)
    assert (ended.status, ended.error) == (0, "")
    expected = store.trajectories({"word_start": "is_word_start", "row = 3": "row = 3"})
    check_equal(read(ended.output, kind), expected)


@pytest.mark.parametrize("kind", TABLES)
def test_difference_is_that_of_the_store(run: Run, store: Store, kind: str) -> None:
    ended = run("difference", "is_word_start", "not is_word_start", "--format", kind)
    expected = store.difference("is_word_start", "not is_word_start")
    check_equal(read(ended.output, kind), expected)


@pytest.mark.parametrize("kind", TABLES)
def test_sql_is_answered(run: Run, store: Store, kind: str) -> None:
    query = "select l.*, word, year from losses l join tokens using (doc, position) order by all"
    check_equal(read(run("sql", query, "--format", kind).output, kind), store.sql(query))


@pytest.mark.parametrize("kind", TABLES)
def test_zoom_lists_each_token_in_its_text(run: Run, store: Store, kind: str) -> None:
    ended = run("zoom", 4, 400, "--where", "is_word_start", "--top", 5, "--format", kind)
    found = read(ended.output, kind)
    zoom = store.zoom(4, 400, "is_word_start", 5)
    for name in ("decreased", "increased", "random"):
        mine = found[found["token_list"] == name]
        expected = getattr(zoom, name).drop_duplicates("row")
        assert mine["row"].tolist() == expected["row"].tolist()
        np.testing.assert_allclose(mine["change"], expected["change"], rtol=1e-6)
    np.testing.assert_allclose(found["last_loss"] - found["first_loss"], found["change"], atol=1e-6)
    assert (found["token"] == found["token_str"]).all()
    context = store.context(found["row"]).drop_duplicates("row").set_index("row")
    assert found["before"].fillna("").tolist() == context.loc[found["row"], "before"].tolist()


def test_lists_have_fifty_tokens_by_default(run: Run, store: Store) -> None:
    found = read(run("zoom", 0, 8).output, "csv")
    assert (found.groupby("token_list")["row"].nunique() <= 50).all()
    assert (found["token_list"] == "random").sum() == min(50, store.manifest.n_tokens)


@pytest.mark.parametrize("kind", TABLES)
def test_groups_are_listed_with_their_sizes(run: Run, store: Store, kind: str) -> None:
    found = read(run("groups", "--format", kind).output, kind).set_index("name")
    assert found.index.tolist() == list(store.named_groups)
    assert found.loc["word_start", "n_tokens"] == len(store.members("is_word_start"))
    assert found.loc["word_start", "clause"] == "is_word_start"
    assert found.loc["position_500", "n_tokens"] == 0  # these docs are shorter


def test_the_catalog_is_built_and_listed(run: Run, own: Path) -> None:
    catalog = Layout(own).catalog
    catalog.unlink(missing_ok=True)
    found = read(run("catalog", store=own).output, "csv")
    assert catalog.is_file()
    assert {"losses", "tokens", "docs", "checkpoints"} <= set(found["name"])


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize(
    "arguments",
    [("trajectories", "is_word_start"), ("trajectories", "true", "row = 1"), ("zoom", 0, 8)],
)
def test_pictures_have_the_requested_format(
    run: Run,
    tmp_path: Path,
    kind: str,
    arguments: tuple[object, ...],
) -> None:
    path = tmp_path / f"picture.{kind}"
    assert run(*arguments, "--format", kind, "--output", path) == (0, b"", "")
    assert path.read_bytes().startswith(BEGINNINGS[kind])


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("arguments", [("groups",), ("sql", "select 1")])
def test_an_answer_without_a_chart_gets_a_sentence(
    run: Run, arguments: tuple[object, ...], kind: str
) -> None:
    ended = run(*arguments, "--format", kind)
    assert ended.status == 2
    assert ended.error == "error: this answer has no chart: use --format csv or json or parquet\n"


@pytest.mark.parametrize("kind", TABLES)
def test_a_file_contains_what_would_be_printed(run: Run, tmp_path: Path, kind: str) -> None:
    printed = run("difference", "true", "row > 3", "--format", kind).output
    path = tmp_path / "answer"
    assert run("difference", "true", "row > 3", "--format", kind, "--output", path)[1] == b""
    assert path.read_bytes() == printed


@pytest.mark.parametrize("kind", TABLES)
def test_awkward_values_survive(run: Run, kind: str) -> None:
    query = (
        "select 'ä\n\"🎉,' as text, null::double as nothing, 0.1 + 0.2 as sum, 2**53::bigint as big"
    )
    line = read(run("sql", query, "--format", kind).output, kind).iloc[0]
    assert line["text"] == 'ä\n"🎉,'
    assert pd.isna(line["nothing"])
    assert line["sum"] == pytest.approx(0.3, abs=1e-15) and line["big"] == 2**53


def test_dates_are_strings_in_json(run: Run) -> None:
    query = "select date '2020-01-31' as day, interval 36 hour as span"
    ended = run("sql", query, "--format", "json")
    assert json.loads(ended.output) == [{"day": "2020-01-31T00:00:00.000", "span": "P1DT12H0M0S"}]
    assert ended.error == ""


def test_a_type_that_the_format_lacks_gets_a_sentence(run: Run) -> None:
    ended = run(
        "sql", "select 1 as a union all select union_value(b := 'x')", "--format", "parquet"
    )
    assert ended.status == 2 and one_line(ended.error)


def one_line(error: str) -> bool:
    return bool(re.fullmatch(r"error: [^\n]+\n", error)) and "Traceback" not in error


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("trajectories", ["positoin = 1"], "did you mean position"),
        ("trajectories", ["true", "position =\n\n999"], "`position = 999` selects none of"),
        ("trajectories", ["true", "true) or (false"], "expected one condition"),
        ("difference", ["true", "loss > 1"], "loss_at"),
        ("difference", ["nofunc(row)", "true"], "there is no function nofunc"),
        ("zoom", [5, 8], "checkpoint 5 is not in the store: the nearest are"),
        ("zoom", [8, 4], "the region 8 to 4 is empty"),
        ("zoom", [0, 8, "--top", 0], "got lists of 0 tokens: expected at least 1"),
        ("zoom", [0, 8, "--where", "false"], "selects none"),
        ("sql", ["select\n nocolumn\nfrom tokens"], "nocolumn"),
        ("sql", ["selct 1"], "expected a query that begins with select"),
        ("sql", ["drop table token_rows"], "only SELECT is allowed"),
        ("sql", [""], "found 0 statements, expected one SELECT"),
    ],
)
def test_an_invalid_query_gets_one_line(
    run: Run,
    command: str,
    arguments: list[object],
    sentence: str,
) -> None:
    ended = run(command, *arguments)
    assert (ended.status, ended.output) == (2, b"")
    assert one_line(ended.error) and sentence in ended.error


@pytest.mark.parametrize("command", [["groups"], ["sql", "select 1"], ["trajectories", "true"]])
def test_an_unusable_store_gets_one_line(run: Run, own: Path, command: list[str]) -> None:
    (own / "tokens.parquet").write_bytes(b"PAR1")
    for store, sentence in (
        (own, "tokens.parquet"),
        (own / "gone", "gone does not exist: a store"),
    ):
        ended = run(*command, store=store)
        assert ended.status == 2
        assert one_line(ended.error) and sentence in ended.error


def test_an_output_that_cannot_be_written_gets_one_line(run: Run, tmp_path: Path) -> None:
    for path, trouble in ((tmp_path, "Is a directory"), (tmp_path / "no" / "a", "No such file")):
        ended = run("trajectories", "true", "--output", path)
        assert ended.status == 2
        assert ended.error.startswith(f"error: {path} cannot be written: {trouble}")
        assert one_line(ended.error)


GOOD = "def is_wide(token_str: str) -> bool:\n    return len(token_str) > 4\n"


def test_functions_from_a_file_can_be_used(run: Run, store: Store, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(GOOD)
    ended = run("trajectories", "is_wide(token_str)", "--functions", tmp_path / "own.py")
    expected = store.trajectories({"is_wide(token_str)": "len(token_str) > 4"})
    check_equal(read(ended.output, "csv"), expected)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("gone.py", None, "gone.py is not a Python file: --functions takes a .py file"),
        ("own.txt", GOOD, "own.txt is not a Python file: --functions takes a .py file"),
        ("own.py", "def f(:", "own.py cannot be loaded: SyntaxError"),
        ("own.py", "1 / 0", "own.py cannot be loaded: ZeroDivisionError"),
        ("own.py", "import nothing_of_that_name", "own.py cannot be loaded: ModuleNotFoundError"),
        ("own.py", "def f(text):\n    return True", "the function f needs annotations of str"),
        ("own.py", "def f() -> bool:\n    return True", "the function f takes no argument"),
        (
            "own.py",
            "def loss_at(row: int) -> bool:\n    return True",
            "loss_at cannot be registered",
        ),
    ],
)
def test_unusable_functions_get_one_line(
    run: Run, tmp_path: Path, name: str, content: str | None, sentence: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    ended = run("trajectories", "true", "--functions", path)
    assert (ended.status, ended.output) == (2, b"")
    assert one_line(ended.error) and sentence in ended.error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["trajectories"],
            "Missing argument 'STORE' (see `python -m queries trajectories --help`)",
        ),
        (["change", "s", "true"], "Missing argument 'SINCE'"),
        (["zoom", "s", "x", "8"], "Invalid value for 'FIRST'"),
        (["sql", "s", "q", "--format", "x"], "'x' is not one of 'csv', 'json'"),
        (["trajectories", "s", "true", "--engine", "sprak"], "'sprak' is not one of 'matrix'"),
        (["events", "s", "--nothing"], "No such option: --nothing"),
        (["matched", "s", "true", "--on"], "'--on' requires an argument"),
        (["nothing"], "No such command 'nothing'"),
        (["zoom", "s", "1", "2", "3"], "unexpected extra argument"),
        (["groups", "s", "--save", "a", "b", "--delete", "c"], "s does not exist"),
    ],
)
def test_invalid_arguments_get_one_line(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    assert main(arguments) == 2
    output, error = capsys.readouterr()
    assert not output and one_line(error)
    assert sentence in error


def test_a_closed_pipe_is_not_an_error(folder: Path) -> None:
    query = "select * from losses a, (from range(200)) order by all"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", '"$PYTHON" -m queries sql "$STORE" "$QUERY" | head -n 1'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={
            "PYTHON": sys.executable,
            "STORE": str(folder),
            "QUERY": query,
            "PATH": "/usr/bin:/bin",
        },
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("checkpoint,doc,position")


def test_a_full_disk_behind_the_output_gets_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:  # closing it fails if anything is left to write
        monkeypatch.setattr("sys.stdout", full)
        assert main(["sql", str(folder), "select 1"]) == 2
    expected = "error: standard output cannot be written: No space left on device\n"
    assert capsys.readouterr().err == expected


def test_actions_cannot_be_combined(run: Run) -> None:
    ended = run("groups", "--save", "a", "true", "--delete", "b")
    assert ended.status == 2
    assert ended.error == "error: --save and --delete cannot be combined: use one of them\n"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["zoom", "--help"]])
def test_help_has_groups_defaults_and_an_example(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert main(arguments) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Example: python -m queries" in shown
    assert ("default: 50" if "zoom" in arguments else "Analyses: regions") in shown


def test_commands_can_be_completed() -> None:
    """By the shell completion of the console script."""
    group = typer.main.get_command(app)
    context = group.make_context("queries", [], resilient_parsing=True)
    names = [item.value for item in group.shell_complete(context, "posi")]
    assert names == ["positions", "position-slope"]
